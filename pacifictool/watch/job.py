"""What the job's folder tells, if the job runs (or ran) on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from pacifictool.aggregation.checkpoint import BatchPlan, is_held, read_batch_plan
from pacifictool.aggregation.inspection import JobIdentity
from pacifictool.aggregation.ledger import Ledger
from pacifictool.errors import AggregationError, StorageFull
from pacifictool.watch.model import JobState

BATCHES: Final = 5
"""Over so many batches the rate is taken: records are counted in bursts, one every two seconds or so."""
_BETWEEN_BATCHES_MS: Final = 5_000
"""A job that planned its last batch longer ago than this has nothing to count, or is stuck."""

_HEADER_BYTES: Final = 100
_USER_VERSION: Final = slice(60, 64)
"""Where SQLite keeps `user_version` (the file format's section 1.3)."""
_REJECT: Final = "reject:"

Window = tuple[str, int]
"""A zone and the end of a window in ms since the epoch."""


class JobEye:
    """Looks at the job. One thread at a time."""

    def __init__(self, topic: str, folders: Callable[[], Sequence[Path]], clock_ms: Callable[[], int]) -> None:
        """`folders`: where the job may be, the likeliest first; asked at each look, for jobs begin and end."""
        self._topic = topic
        self._folders = folders
        self._clock_ms = clock_ms

    def look(self, topic_id: str | None, windows: Iterable[Window]) -> tuple[JobState, dict[Window, int]]:
        """The job, and of `windows` how many readings each holds, as far as the ledger still knows.

        `topic_id`: jobs of an earlier topic of this name are left aside; None: not known.
        """
        found = self._find(topic_id)
        if found is None:
            reason = f"No job on this machine has begun with {self._topic}: `pacifictool aggregate` is one."
            return JobState(unknown=reason), {}
        folder, identity = found
        try:
            return self._read(folder, identity, windows)
        except (AggregationError, StorageFull) as error:
            return JobState(str(folder), identity.target, unknown=error.message), {}

    def _find(self, topic_id: str | None) -> tuple[Path, JobIdentity] | None:
        candidates = []
        for folder in dict.fromkeys(self._folders()):
            identity = JobIdentity.read(folder)
            if identity is None or identity.topic != self._topic or not _has_begun(folder / "ledger.sqlite"):
                continue
            if None in (topic_id, identity.topic_id) or topic_id == identity.topic_id:
                candidates.append((folder, identity))
        running = [candidate for candidate in candidates if is_held(candidate[0])]
        return next(iter(running or candidates), None)

    def _read(
        self, folder: Path, identity: JobIdentity, windows: Iterable[Window]
    ) -> tuple[JobState, dict[Window, int]]:
        ledger = Ledger(folder / "ledger.sqlite")
        try:
            counters = ledger.counters()
            batch_id = ledger.last_batch_id
            _kept, due = ledger.count_windows()
            counts = {}
            for zone, end in windows:
                window = ledger.window(end, zone)
                if window is not None and window.delivered:
                    counts[zone, end] = window.delivered
        finally:
            ledger.close()
        rejects = {name.removeprefix(_REJECT): n for name, n in counters.items() if name.startswith(_REJECT)}
        records = counters.get("valid", 0) + sum(rejects.values())
        plans = _plans(folder, batch_id, self._topic)
        runs = is_held(folder)
        return JobState(
            folder=str(folder),
            target=identity.target,
            is_running=runs,
            counted=dict(plans[-1].ends) if plans else {},
            records=records,
            rejects=dict(sorted(rejects.items(), key=lambda item: -item[1])),
            posted=counters.get("posted", 0),
            corrections=counters.get("corrections", 0),
            refused=counters.get("refused", 0),
            open_windows=due,
            rate=_rate(plans, self._clock_ms()) if runs else 0.0,
        ), counts


def _has_begun(path: Path) -> bool:
    """Whether the ledger is there with its tables: opening it a moment earlier would be in the way of its making."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return False
    return len(header) == _HEADER_BYTES and any(header[_USER_VERSION])


def _plans(folder: Path, batch_id: int | None, topic: str) -> list[BatchPlan]:
    """Spark's notes on the newest counted batches, oldest first; those that are gone are left out."""
    found: list[BatchPlan] = []
    for number in range(-1 if batch_id is None else batch_id, -1, -1):
        try:
            found.insert(0, read_batch_plan(folder / "spark", number, topic))
        except AggregationError:
            break
        if len(found) > BATCHES:
            break
    return found


def _rate(plans: Sequence[BatchPlan], now_ms: int) -> float | None:
    """Records per second over the last batches; None when there are too few."""
    if len(plans) < 2:
        return None
    first, last = plans[0], plans[-1]
    idle_ms = max(0, now_ms - last.planned_ms - _BETWEEN_BATCHES_MS)
    if idle_ms > 2 * _BETWEEN_BATCHES_MS:
        return 0.0
    span_ms = last.planned_ms - first.planned_ms + idle_ms
    return (sum(last.ends.values()) - sum(first.ends.values())) * 1000 / span_ms if span_ms > 0 else None


def lag(ends: dict[int, int], counted: dict[int, int]) -> int | None:
    """Records in the topic that are not counted; None when one of the two is not known."""
    if not ends or not counted:
        return None
    return sum(max(0, end - counted.get(partition, 0)) for partition, end in ends.items())
