"""A job as others see it: its folder, looked at while the job runs or after it has ended. Needs no Spark."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pacifictool.aggregation.checkpoint import BatchPlan, is_held, read_batch_plan
from pacifictool.aggregation.ledger import Ledger, Reject, WindowTotal
from pacifictool.aggregation.source import STARTING_OFFSETS
from pacifictool.aggregation.windows import trigger_interval_ms
from pacifictool.errors import AggregationError


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """What the job noted of itself when it began."""

    topic: str
    topic_id: str | None
    window_ms: int
    value_key: str
    target: str
    """Where its means go, for example "rest http://localhost:8080"."""

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """None when no job has begun in the folder, or when its note cannot be read."""
        try:
            document: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
            return cls(
                topic=str(document["topic"]),
                topic_id=document.get("topic_id"),
                window_ms=int(document["window_ms"]),
                value_key=str(document["value_key"]),
                target=str(document["target"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class CountedBatch:
    """A batch that is counted, as far as Spark still keeps notes on it."""

    batch_id: int
    plan: BatchPlan
    done_ms: int
    """This machine's clock when Spark noted that it was done."""


class JobView:
    """Reads a job's folder; close it. Methods raise AggregationError when the ledger cannot be read."""

    def __init__(self, folder: Path, identity: JobIdentity) -> None:
        self.folder = folder
        self.identity = identity
        self._ledger = Ledger(folder / "ledger.sqlite")

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """None when no job has begun in the folder."""
        identity = JobIdentity.read(folder)
        if identity is None or not (folder / "ledger.sqlite").is_file():
            return None
        return cls(folder, identity)

    @property
    def is_running(self) -> bool:
        return is_held(self.folder)

    def starts_at(self, partition: int) -> int:
        """The first offset that the job was to count, if it began at the topic's end; else 0."""
        kept = self._ledger.state(STARTING_OFFSETS)
        return int(json.loads(kept).get(str(partition), 0)) if kept else 0

    def counted_until(self, partition: int) -> int | None:
        """The offset after the last one that is counted (or rejected); None when nothing has been yet."""
        plan = self._plan(self._ledger.last_batch_id)
        return None if plan is None else plan.ends.get(partition)

    def batch_with(self, partition: int, offset: int) -> BatchPlan | None:
        """The counted batch that this record was in; None when Spark's note on it is gone."""
        found: BatchPlan | None = None
        batch_id = self._ledger.last_batch_id
        while batch_id is not None and batch_id >= 0:
            plan = self._plan(batch_id)
            if plan is None or plan.ends.get(partition, 0) <= offset:
                break
            found, batch_id = plan, batch_id - 1
        return found

    def unstamped_window_end_ms(self, plan: BatchPlan) -> int:
        """Into which window the batch's records without time stamp were counted."""
        window_ms = self.identity.window_ms
        arrived_ms = plan.planned_ms - trigger_interval_ms(window_ms) // 2
        return (arrived_ms // window_ms + 1) * window_ms

    def batches(self) -> list[CountedBatch]:
        """The batches that Spark still keeps notes on (the last hundred, about), oldest first."""
        found = []
        for commit in (self.folder / "spark" / "commits").glob("*"):
            plan = self._plan(int(commit.name)) if commit.name.isdigit() else None
            with contextlib.suppress(OSError):  # Spark removes old notes while we look
                if plan is not None:
                    found.append(CountedBatch(int(commit.name), plan, commit.stat().st_mtime_ns // 1_000_000))
        return sorted(found, key=lambda batch: batch.batch_id)

    def rejects(self) -> Iterator[Reject]:
        """Every record that was not counted, in the topic's order."""
        return self._ledger.rejects()

    def reject_at(self, partition: int, offset: int) -> str | None:
        """Why the record was not counted."""
        return self._ledger.reject_at(self.identity.topic, partition, offset)

    def window(self, window_end_ms: int, zone: str) -> WindowTotal | None:
        """One window as it stands; None when it is delivered and takes no more records."""
        return self._ledger.window(window_end_ms, zone)

    def refusal(self, window_end_ms: int, zone: str) -> str | None:
        """Why the target will never take the window's mean."""
        return self._ledger.refusal(window_end_ms, zone)

    def close(self) -> None:
        self._ledger.close()

    def _plan(self, batch_id: int | None) -> BatchPlan | None:
        if batch_id is None:
            return None
        try:
            return read_batch_plan(self.folder / "spark", batch_id, self.identity.topic)
        except AggregationError:
            return None
