"""The file of the state store, as the job that owns it works with it: opened, changed in transactions, closed."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state import migration
from pacifictool.analytics.state.queries import StateQueries, is_locked
from pacifictool.analytics.state.schema import ADDED, TABLES, VERSION
from pacifictool.errors import AggregationError, StorageFull
from pacifictool.progress import SILENT, Reporter
from pacifictool.runtime.cache import FULL

_LOCK_SECONDS: Final = 0.5
_LOG_BYTES: Final = 64 * 2**20
_PROBE_BYTES: Final = 65_536

Found = TypeVar("Found")


class StateDatabase(StateQueries):
    """Opened once per job, by the holder of the folder's lock. Thread-safe.

    Every method may raise StorageFull, or AggregationError when the file cannot be used. While another program holds a
    lock on the file, they wait, and say so once.
    """

    def __init__(
        self,
        path: Path,
        rules: RecordRules,
        *,
        gives_up: Callable[[], bool] = lambda: False,
        reporter: Reporter = SILENT,
    ) -> None:
        """Creates the file when missing. Waits for locks end with AggregationError once `gives_up` returns True."""
        self.path = path
        self._rules = rules
        self._layouts = {each.name: StateLayout(each) for each in rules.analytics}
        self._gives_up = gives_up
        self._reporter = reporter
        self._lock = threading.RLock()
        # SQLite gives its files next to the store the same access.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        with self._translated():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_LOCK_SECONDS)
            self._while_locked(self._open)

    def _open(self) -> None:
        # With a write-ahead log, readers do not hold up the job, nor it them. FULL: a transaction that has ended is on
        # the disk.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        # The log of a large batch would otherwise keep its size.
        self._db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        self._db.create_function("merged", 3, self._merged, deterministic=True)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version in (2, 3):
            with self._transaction():
                migration.upgrade(self._db, version, self._rules)
        elif version == 0:
            with self._transaction():
                for statement in TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise AggregationError(
                f"{self.path} was written by another version of pacifictool (format {version}, not {VERSION}).",
                hint="Go on with that version, or start again with another --checkpoint folder.",
            )
        with self._transaction():
            create_added_tables(self._db)
        sync_folder(self.path.parent)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _merged(self, analytics: str, one: bytes, other: bytes) -> bytes:
        return self._layouts[analytics].merge(one, other)

    def _set(self, name: str, value: str | int) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def _count(self, name: str, number: int) -> None:
        if number:
            self._db.execute(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (name, number),
            )

    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            return self._while_locked(lambda: self._db.execute(sql, parameters).fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._translated():
            self._while_locked(lambda: self._db.execute("BEGIN IMMEDIATE"))
            try:
                yield
                self._while_locked(lambda: self._db.execute("COMMIT"))
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _while_locked(self, attempt: Callable[[], Found]) -> Found:
        """What `attempt` returns, as soon as nobody else holds the lock that it needs."""
        since = time.monotonic()
        reported = False
        while True:
            try:
                found = attempt()
            except sqlite3.OperationalError as error:
                if not is_locked(error) or self._gives_up():
                    raise
                if not reported:
                    reported = True
                    self._reporter.warning(f"Another program has locked {self.path}. Waiting for it to let go.")
                continue
            if reported:
                self._reporter.info(f"{self.path} is free again after {time.monotonic() - since:.0f} s.")
            return found

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise unusable(self.path, error) from error


def create_added_tables(database: sqlite3.Connection) -> None:
    """Creates those of `schema.ADDED` that are missing."""
    for statement in ADDED.split(";\n"):
        database.execute(statement)


def unusable(path: Path, error: sqlite3.Error) -> AggregationError | StorageFull:
    """The error for a state store that SQLite cannot work with."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or _takes_no_more(path):
        return StorageFull(
            f"No space is left for the job's state store {path}.",
            hint="Free some space and start again: the job goes on where it stopped.",
        )
    return AggregationError(
        f"The job's state store {path} cannot be used: {error}.",
        hint="Check the folder given with --checkpoint, or start again with another one.",
    )


def sync_folder(folder: Path) -> None:
    """Makes the names of the files in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _takes_no_more(path: Path) -> bool:
    """Whether nothing can be written for want of space: SQLite calls a spent quota or limit an input/output error."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            # A limit on the size of files has to be met where the store's own files are.
            probe.seek(max(file.stat().st_size for file in path.parent.glob(f"{path.name}*")))
            probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno in FULL
    return False
