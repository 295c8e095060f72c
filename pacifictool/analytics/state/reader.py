"""A job as others see it: its folder, read while the job runs or later. Needs no Spark, changes nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from pacifictool.analytics.state.alarms import AlarmCounts
from pacifictool.analytics.state.lock import is_held
from pacifictool.analytics.state.queries import CountedBatch, StateQueries
from pacifictool.analytics.state.schema import ANALYTICS, FILE_NAME, VERSION
from pacifictool.analytics.windows import PREFERRED_TRIGGER_MS, arrival_without_timestamp_ms, trigger_interval_ms
from pacifictool.errors import AggregationError

_LOCK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """What the job noted of itself when it began."""

    topic: str
    topic_id: str | None
    target: str
    """Where its results go, for example "rest http://localhost:8080"."""
    analytics: Mapping[str, Mapping[str, Any]]
    """By name, what each computes: `group_by`, `window_ms`, `slide_ms`, `telemetry`, `entity`, …; see JobConfig."""

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self | None:
        """None for a job that has not noted it yet."""
        try:
            return cls(
                topic=str(document["topic"]),
                topic_id=document.get("topic_id"),
                target=str(document["target"]),
                analytics={
                    name.removeprefix(ANALYTICS): dict(what)
                    for name, what in document.items()
                    if name.startswith(ANALYTICS)
                },
            )
        except (ValueError, KeyError, TypeError):
            return None


class JobView(StateQueries):
    """Reads a job's folder; close it. Methods raise AggregationError when the state store cannot be read."""

    def __init__(self, folder: Path, *, formats: Container[int] = (VERSION,)) -> None:
        """Raises AggregationError when the folder holds no state store of one of these formats."""
        self.folder = folder
        self._path = folder / FILE_NAME
        self._formats = formats
        self._lock = threading.Lock()
        self._db = self._connect()

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """None when no job has begun in the folder."""
        if not (folder / FILE_NAME).is_file():
            return None
        try:
            view = cls(folder)
        except AggregationError:
            # A job that is just making the file: it has no tables yet.
            if is_held(folder):
                return None
            raise
        if JobIdentity.parse(view.identity_document()) is None:
            view.close()
            return None
        return view

    def close(self) -> None:
        self._db.close()

    @property
    def identity(self) -> JobIdentity:
        """What the job is. Raises AggregationError before it has noted that."""
        found = JobIdentity.parse(self.identity_document())
        if found is None:
            raise AggregationError(f"No job has begun in {self.folder}.")
        return found

    @property
    def is_running(self) -> bool:
        return is_held(self.folder)

    @property
    def bytes_on_disk(self) -> int:
        """Size of the state store and of the files that SQLite keeps next to it."""
        total = 0
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                total += self._path.with_name(f"{FILE_NAME}{suffix}").stat().st_size
        return total

    def starts_at(self, partition: int) -> int:
        """The first offset of a partition that the job was to count."""
        return (self.starting_offsets() or {}).get(partition, 0)

    def counted_until(self, partition: int) -> int | None:
        """The offset after the last one that is counted (or invalid); None when nothing has been counted yet."""
        return self.next_offsets().get(partition)

    def batch_with(self, partition: int, offset: int) -> CountedBatch | None:
        """The counted batch that this record was in; None when it is one of the older ones, or not counted."""
        for batch in self.batches():
            for each in batch.ranges:
                if each.partition == partition and each.start <= offset < each.end:
                    return batch
        return None

    def untimed_event_ms(self, batch: CountedBatch) -> int:
        """At which time the batch's records without timestamp were counted."""
        slides = [int(each["slide_ms"]) for each in self.identity.analytics.values()]
        return arrival_without_timestamp_ms(
            batch.planned_ms, trigger_interval_ms(min(slides, default=2 * PREFERRED_TRIGGER_MS))
        )

    def _connect(self) -> sqlite3.Connection:
        # Read only: the job is the only one that writes. Where not even SQLite's files next to the store can be made,
        # nobody writes it either.
        for mode in ("mode=ro", "mode=ro&immutable=1"):
            database = sqlite3.connect(
                f"file:{quote(str(self._path.absolute()))}?{mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=_LOCK_SECONDS,
            )
            try:
                version = database.execute("PRAGMA user_version").fetchone()[0]
            except sqlite3.Error as error:
                database.close()
                failure = error
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    break
                continue
            if version in self._formats:
                return database
            database.close()
            raise AggregationError(
                f"{self._path} was written by another version of pacifictool (format {version}, not {VERSION}).",
                hint="Look at it with that version.",
            )
        raise self._unreadable(failure)

    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> AggregationError:
        return AggregationError(f"The job's state store {self._path} cannot be read: {error}.")


def identity_of(folder: Path) -> JobIdentity | None:
    """What the job in a folder noted of itself; None when no job has begun there, or it cannot be read."""
    with contextlib.suppress(AggregationError):
        view = JobView.open(folder)
        if view is not None:
            with contextlib.closing(view):
                return view.identity
    return None


def target_of(folder: Path) -> str | None:
    """Where the results of the job in a folder go; None when no job has begun there, or it cannot be read.

    Knows the stores of earlier versions, too, which the next run brings over.
    """
    if (folder / FILE_NAME).is_file():
        with contextlib.suppress(AggregationError):
            with contextlib.closing(JobView(folder, formats=range(2, VERSION + 1))) as view:
                target = view.identity_document().get("target")
            return target if isinstance(target, str) else None
    return None


def has_alarms(folder: Path) -> bool:
    """Whether the job in a folder has alarms, which it may have to clear although nothing raises any now."""
    with contextlib.suppress(AggregationError):
        if (view := JobView.open(folder)) is not None:
            with contextlib.closing(view):
                return view.alarm_counts() != AlarmCounts()
    return False
