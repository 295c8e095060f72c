"""Folders of jobs, as `aggregate` leaves them, without Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.analytics.windows import UNITS, PartialAggregate, join_group
from pacifictool.scenario import Scenario
from pacifictool.settings import KafkaEndpoint

Windows = Mapping[tuple[str, tuple[str, ...], int], int]
"""Number of readings by analytics, group and end of the window in ms since the epoch."""


def job_identity(scenario: Scenario, *, target: str = "console", topic_id: str | None = "x") -> dict[str, Any]:
    """What a job of the scenario notes of itself."""
    config = JobConfig(
        kafka=KafkaEndpoint("127.0.0.1:1"),
        topic=scenario.forwarding.topic,
        rules=RecordRules.of_scenario(scenario),
        checkpoint=Path(),
        spark=cast(Any, None),
    )
    return {**config.identity(cast(Any, SimpleNamespace(target=target))), "topic_id": topic_id}


@contextmanager
def job_checkpoint(folder: Path, scenario: Scenario) -> Iterator[Checkpoint]:
    """The folder of a job that runs."""
    with Checkpoint(folder, scenario.forwarding.topic, RecordRules.of_scenario(scenario)) as checkpoint:
        yield checkpoint


def count_windows(
    checkpoint: Checkpoint, scenario: Scenario, windows: Windows, *, end: int, invalid: Sequence[InvalidRecord] = ()
) -> None:
    """Counts records up to offset `end` of partition 0, each window with a mean of 40."""
    layouts = {each.name: StateLayout(each) for each in scenario.analytics}
    partials = [
        PartialAggregate(name, join_group(group), end_ms, count, layouts[name].sum_state(count, 40 * UNITS * count))
        for (name, group, end_ms), count in windows.items()
    ]
    valid = max(0, end - len(invalid)) if not windows else sum(windows.values())
    checkpoint.store.apply(
        BatchOutcome([OffsetRange(0, 0, end)], partials, valid, invalid, watermark_ms=1, planned_ms=1, done_ms=1)
    )


def write_job(
    folder: Path,
    scenario: Scenario,
    *,
    windows: Windows,
    end: int,
    invalid: int = 2,
    target: str = "console",
    topic_id: str = "x",
) -> None:
    """A job's folder, all of whose windows are delivered."""
    with job_checkpoint(folder, scenario) as checkpoint:
        checkpoint.check_identity(job_identity(scenario, target=target, topic_id=topic_id))
        topic = scenario.forwarding.topic
        bad = [InvalidRecord(topic, 0, offset, "no number", 1, b"") for offset in range(invalid)]
        count_windows(checkpoint, scenario, windows, end=end, invalid=bad)
        checkpoint.store.mark_delivered(checkpoint.store.due(None, 1000))
