"""What the job's folder tells, if the job runs (or ran) on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from pacifictool.aggregation.checkpoint import is_held, read_batch_plan
from pacifictool.aggregation.inspection import JobIdentity
from pacifictool.aggregation.ledger import Ledger
from pacifictool.errors import AggregationError, StorageFull
from pacifictool.watch.model import JobState
from pacifictool.watch.rates import RateMeter

MEANS_RATE_SECONDS: Final = 60.0
"""Means come in bursts at the end of each window, so that their rate needs a longer look."""

_HEADER_BYTES: Final = 100
_USER_VERSION: Final = slice(60, 64)
"""Where SQLite keeps `user_version` (the file format's section 1.3)."""
_REJECT: Final = "reject:"

Window = tuple[str, int]
"""A zone and the end of a window in ms since the epoch."""


class JobEye:
    """Looks at the job. One thread at a time."""

    def __init__(self, topic: str, folders: Callable[[], Sequence[Path]]) -> None:
        """`folders`: where the job may be, the likeliest first; asked at each look, for jobs begin and end."""
        self._topic = topic
        self._folders = folders
        self._folder: Path | None = None
        self._records = RateMeter()
        self._means = RateMeter(MEANS_RATE_SECONDS)

    def look(self, topic_id: str | None, windows: Iterable[Window]) -> tuple[JobState, dict[Window, int]]:
        """The job, and of `windows` how many readings each holds, as far as the ledger still knows.

        `topic_id`: jobs of an earlier topic of this name are left aside; None: not known.
        """
        found = self._find(topic_id)
        if found is None:
            self._forget()
            reason = f"No job on this machine has begun with {self._topic}: `pacifictool aggregate` is one."
            return JobState(unknown=reason), {}
        folder, identity = found
        if folder != self._folder:
            self._forget()
            self._folder = folder
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
        posted = counters.get("posted", 0)
        now, runs = monotonic(), is_held(folder)
        rates = self._records.add(now, records), self._means.add(now, posted)
        return JobState(
            folder=str(folder),
            target=identity.target,
            is_running=runs,
            counted=_counted(folder, batch_id, self._topic),
            records=records,
            rejects=dict(sorted(rejects.items(), key=lambda item: -item[1])),
            posted=posted,
            corrections=counters.get("corrections", 0),
            refused=counters.get("refused", 0),
            open_windows=due,
            rate=rates[0] if runs else 0.0,
            means_rate=rates[1] if runs else 0.0,
        ), counts

    def _forget(self) -> None:
        self._folder = None
        self._records.forget()
        self._means.forget()


def _has_begun(path: Path) -> bool:
    """Whether the ledger is there with its tables: opening it a moment earlier would be in the way of its making."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return False
    return len(header) == _HEADER_BYTES and any(header[_USER_VERSION])


def _counted(folder: Path, batch_id: int | None, topic: str) -> dict[int, int]:
    """By partition, how far the topic is counted; empty when nothing is, or when Spark's note is gone."""
    if batch_id is None:
        return {}
    try:
        return dict(read_batch_plan(folder / "spark", batch_id, topic).ends)
    except AggregationError:
        return {}


def lag(ends: dict[int, int], counted: dict[int, int]) -> int | None:
    """Records in the topic that are not counted; None when one of the two is not known."""
    if not ends or not counted:
        return None
    return sum(max(0, end - counted.get(partition, 0)) for partition, end in ends.items())
