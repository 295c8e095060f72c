"""What a job uses unless the user decides: the folder of its checkpoint, and its sink. Needs no Spark."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pacifictool.analytics.sinks.registry import SinkOptions, sink_kind
from pacifictool.analytics.state.reader import identity_of, target_of
from pacifictool.mqtt import ANALYTICS_GATEWAY
from pacifictool.progress import SILENT, Reporter

if TYPE_CHECKING:
    from pacifictool.rest import Platform
    from pacifictool.scenario import Scenario
    from pacifictool.settings import Settings

MANY_GROUPS: Final = 500
"""Groups whose results 4.x may need seconds to take over REST (docs/servers/4.x.md#telemetry-over-rest, row 2)."""

REST: Final = "rest"
GATEWAY: Final = "gateway"


@dataclass(frozen=True, slots=True)
class JobFolders:
    """The checkpoint folders of the jobs that these settings and this scenario describe."""

    settings: Settings
    scenario: Scenario
    state_dir: Path
    """See `runtime.default_state_dir`."""

    def default(self, sink: str | None = None, target: str | None = None, *, only: Sequence[str] = ()) -> Path:
        """The folder for a job with this sink: the same settings find the same folder again.

        A job that computes `only` some analytics has a folder of its own. `target` is where exactly the sink writes;
        None: what the settings say. Without `sink`, the folder of the job that `aggregate` would continue.
        """
        if sink is None:
            rest, gateway = self.default(REST, only=only), self.default(GATEWAY, only=only)
            return gateway if last_used_sink(rest, gateway) == GATEWAY else rest
        if target is None:
            target = sink_kind(sink).target(SinkOptions(self.settings, self.scenario, partial(_connect, self.settings)))
        topic = self.scenario.forwarding.topic
        facts = (self.settings.kafka.bootstrap, topic, target, *sorted(only))
        digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
        return self.jobs / f"{re.sub(r'[^A-Za-z0-9._-]', '_', topic)}-{sink}-{digest}"

    def of_topic(self) -> list[Path]:
        """The folder that `default` returns, then those of all other jobs on the scenario's topic."""
        likeliest = self.default()
        others = [
            folder
            for folder in sorted(self.jobs.glob("*"))
            if folder != likeliest
            and (identity := identity_of(folder)) is not None
            and identity.topic == self.scenario.forwarding.topic
        ]
        return [likeliest, *others]

    @property
    def jobs(self) -> Path:
        """The folder that holds the checkpoints."""
        return self.state_dir / "jobs"


def choose_sink(
    scenario: Scenario,
    checkpoint_of: Callable[[str], Path],
    connect: Callable[[], Platform],
    *,
    gateway_device: str = ANALYTICS_GATEWAY,
    reporter: Reporter = SILENT,
) -> str:
    """The name of the sink for a job without an explicit one: assets over REST, or the gateway for many groups.

    A 4.x server responds to each write over REST after 100 ms (docs/servers/4.x.md#telemetry-over-rest, row 2): half a
    minute for ten thousand, where the gateway takes seconds (docs/sinks.md). A job that has a checkpoint keeps its
    sink: with another, it would be another job.

    `checkpoint_of` returns the folder that a job with the given sink would use. The platform is only asked when there
    are many groups and no checkpoint yet. Reports why it is not the usual sink. Raises PlatformError.
    """
    used = last_used_sink(checkpoint_of(REST), checkpoint_of(GATEWAY))
    if used is not None:
        if used == GATEWAY:
            reporter.info("This job publishes results through the gateway since its first run; --sink changes that.")
        return used
    groups = group_count(scenario)
    names = {device.name for device in scenario.devices}
    if groups < MANY_GROUPS or any(names & set(scenario.entities(kind)) for kind in ("asset", "device")):
        return REST
    with connect() as platform:
        device = platform.devices.find(gateway_device)
    if device is not None and device.is_gateway:
        reporter.info(
            f"The scenario has {groups} groups, so the results go through the gateway {gateway_device!r} to one device"
            " per group; --sink rest writes them to assets."
        )
        return GATEWAY
    reporter.info(
        f"The scenario has {groups} groups; writing their results over REST may take longer than a window."
        " `pacifictool setup --gateway` creates a gateway, which is many times faster."
    )
    return REST


def group_count(scenario: Scenario) -> int:
    """The number of groups that all analytics have together, as far as the devices of the scenario make them known, or
    those of its fleet if it has no others."""
    if not scenario.devices and scenario.fleet is not None:
        scenario = scenario.with_fleet(scenario.fleet.groups)
    return sum(len(scenario.groups(analytics)) for analytics in scenario.analytics)


def last_used_sink(*folders: Path) -> str | None:
    """The sink, rest or gateway, of the job that ran last in one of these folders; None if none ran there."""
    used = [
        (_last_used(folder), sink)
        for folder in folders
        if (sink := (target_of(folder) or "").partition(" ")[0]) in (REST, GATEWAY)
    ]
    return max(used)[1] if used else None


def _last_used(folder: Path) -> float:
    for name in ("state.sqlite", "ledger.sqlite"):
        with contextlib.suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0


def _connect(settings: Settings) -> Platform:
    from pacifictool.rest import Platform

    return Platform.connect(settings)
