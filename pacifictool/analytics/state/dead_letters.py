"""Changes to the invalid records that a job has kept, by somebody else than the job: while it runs, and later.

Each change is one short transaction, so that it holds the job up for milliseconds.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from pacifictool.analytics.state.database import create_added_tables, unusable
from pacifictool.analytics.state.invalid_store import HOUR_MS, delete_oldest
from pacifictool.analytics.state.queries import InvalidRecord
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.state.schema import FILE_NAME
from pacifictool.errors import AggregationError
from pacifictool.runtime.own_folder import CHECKPOINT, check

_LOCK_SECONDS: Final = 10.0
_CHUNK: Final = 500


class DeadLetters:
    """The invalid records in a job's folder. Use it as a context manager.

    Raises ForeignFolder for a folder that is not a checkpoint of this user, AggregationError when no job has run in it
    or its store cannot be used, StorageFull.
    """

    def __init__(self, folder: Path) -> None:
        view = JobView.open(folder) if check(folder, CHECKPOINT) else None
        if view is None:
            raise no_job(folder)
        self.view = view
        self._path = folder / FILE_NAME
        with self._translated():
            self._db = sqlite3.connect(
                f"file:{quote(str(self._path.absolute()))}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=_LOCK_SECONDS,
            )
            self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction():
                create_added_tables(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self.view.close()

    def mark_replayed(self, records: Sequence[InvalidRecord]) -> None:
        """Notes that these were sent to their topic again."""
        at_ms = round(time.time() * 1000)
        with self._translated(), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO replays VALUES (?, ?, ?, ?)",
                [(each.topic, each.partition, each.offset, at_ms) for each in records],
            )

    def expire(self, kept_before_ms: int) -> int:
        """Removes the records that the job kept before that time, to the hour. Returns how many.

        Those of which it is not known when they were kept, by an earlier version, count as kept when the first one was
        of which it is.
        """
        with self._translated():
            ((last,),) = self._db.execute(
                "SELECT max(last) FROM invalid_hours WHERE (hour + 1) * ? <= ?", (HOUR_MS, kept_before_ms)
            )
            expired = 0
            while last is not None:
                with self._transaction():
                    deleted = len(delete_oldest(self._db, limit=_CHUNK, until=last))
                expired += deleted
                if deleted < _CHUNK:
                    break
        return expired

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise unusable(self._path, error) from error


def no_job(folder: Path) -> AggregationError:
    """The error for a folder in which no job has begun."""
    return AggregationError(
        f"No job has run with the checkpoint {folder}.", hint="Name the job's folder with --checkpoint."
    )
