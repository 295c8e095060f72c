"""Polls the folder of a job that runs (or ran) on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pacifictool.analytics.state.fitting import WantedJob
from pacifictool.analytics.state.lock import held_since_ms, is_held
from pacifictool.analytics.state.queries import CountedBatch
from pacifictool.analytics.state.reader import JobIdentity, JobView, identity_of
from pacifictool.analytics.windows import join_group
from pacifictool.errors import AggregationError, StorageFull
from pacifictool.watch.states import JobState

BATCHES: Final = 5
"""Number of batches that the rate is measured over: records are counted in bursts, about one every two seconds."""
_BETWEEN_BATCHES_MS: Final = 5_000
"""A job that planned its last batch longer ago than this has nothing to count or hangs."""

CountedWindow = tuple[str, str, int]
"""An analytics, the name of a group's entity, and the end of a window in ms since the epoch."""


@dataclass(frozen=True, slots=True)
class AskedWindow:
    """A window whose number of readings is asked for."""

    analytics: str
    group: tuple[str, ...]
    entity: str
    end_ms: int


class JobPoller:
    """Polls the job. For one thread at a time."""

    def __init__(self, wanted: WantedJob, folders: Callable[[], Sequence[Path]], clock_ms: Callable[[], int]) -> None:
        """`folders`: where the job may be, most likely first; called at each poll, because jobs start and end."""
        self._wanted = wanted
        self._folders = folders
        self._clock_ms = clock_ms

    def poll(self, topic_id: str | None, windows: Iterable[AskedWindow]) -> tuple[JobState, dict[CountedWindow, int]]:
        """The job, and the number of readings of each of `windows` that the state store still has.

        Never that of another platform or scenario. `topic_id`: ignore jobs of an earlier topic of this name; None: not
        known.
        """
        found, refused = self._find(topic_id)
        if found is None:
            reason = f"No job on this machine reads {self._wanted.topic} for {self._wanted.url};"
            other = "" if refused is None else f" The one in {refused[0]} {refused[1]}."
            return JobState(unknown=f"{reason} `pacifictool aggregate` starts one.{other}"), {}
        folder, identity = found
        try:
            return self._read(folder, identity, windows)
        except (AggregationError, StorageFull) as error:
            return JobState(str(folder), identity.target, unknown=error.message), {}

    def _find(self, topic_id: str | None) -> tuple[tuple[Path, JobIdentity] | None, tuple[Path, str] | None]:
        """The job, or None and the first that was refused with the reason."""
        candidates, refused = [], None
        for folder in dict.fromkeys(self._folders()):
            identity = identity_of(folder)
            if identity is None or identity.topic != self._wanted.topic:
                continue
            reason = self._wanted.refusal(identity, topic_id)
            if reason is None:
                candidates.append((folder, identity))
            else:
                refused = refused or (folder, reason)
        running = [candidate for candidate in candidates if is_held(candidate[0])]
        return next(iter(running or candidates), None), refused

    def _read(
        self, folder: Path, identity: JobIdentity, windows: Iterable[AskedWindow]
    ) -> tuple[JobState, dict[CountedWindow, int]]:
        view = JobView(folder)
        try:
            counters = view.counters()
            counted, batches = view.next_offsets(), view.batches()[-BATCHES - 1 :]
            due, invalid = view.due_windows(), view.invalid_counts()
            failures = view.function_failures(newest=1)
            counts = {}
            for asked in windows:
                if asked.analytics not in identity.analytics:
                    continue
                window = view.window(asked.analytics, join_group(asked.group), asked.end_ms)
                if window is not None and window.delivered:
                    counts[asked.analytics, asked.entity, asked.end_ms] = window.delivered
        finally:
            view.close()
        records = counters.get("valid", 0) + sum(invalid.values())
        since_ms = held_since_ms(folder)
        runs = since_ms is not None
        return JobState(
            folder=str(folder),
            target=identity.target,
            is_running=runs,
            is_starting=since_ms is not None and not any(batch.planned_ms >= since_ms for batch in batches),
            counted=counted,
            records=records,
            rejects=invalid,
            posted=counters.get("posted", 0),
            corrections=counters.get("corrections", 0),
            refused=counters.get("refused", 0),
            function_failures=counters.get("function_failures", 0),
            last_function_failure=failures[0].failure if failures else None,
            open_windows=due,
            rate=_rate(batches, self._clock_ms()) if runs else 0.0,
        ), counts


def _rate(batches: Sequence[CountedBatch], now_ms: int) -> float | None:
    """Records per second over the last batches; None when there are too few."""
    if len(batches) < 2:
        return None
    first, last = batches[0], batches[-1]
    idle_ms = max(0, now_ms - last.planned_ms - _BETWEEN_BATCHES_MS)
    if idle_ms > 2 * _BETWEEN_BATCHES_MS:
        return 0.0
    span_ms = last.planned_ms - first.planned_ms + idle_ms
    return sum(batch.records for batch in batches[1:]) * 1000 / span_ms if span_ms > 0 else None


def lag(ends: dict[int, int], counted: dict[int, int]) -> int | None:
    """Records in the topic that are not counted yet; None when either is not known."""
    if not ends or not counted:
        return None
    return sum(max(0, end - counted.get(partition, 0)) for partition, end in ends.items())
