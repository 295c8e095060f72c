"""The folder of a job, held by one process: the state store, the lock, logs and scratch space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state import lock, migration
from pacifictool.analytics.state.database import sync_folder
from pacifictool.analytics.state.schema import ANALYTICS, FILE_NAME
from pacifictool.analytics.state.store import StateStore
from pacifictool.errors import AggregationError, CheckpointInUse, CheckpointMismatch, StorageFull
from pacifictool.progress import SILENT, Reporter
from pacifictool.runtime.cache import disk_is_full
from pacifictool.runtime.own_folder import CHECKPOINT, claim

_TITLES = {
    "topic": "topic",
    "topic_id": "topic id (it changes when a topic is deleted and created again)",
    "cluster_id": "Kafka cluster id",
    "records": "records",
    "target": "target of the results",
}
TWO_WAYS_ON = (
    "Two ways on, both with a new folder for --checkpoint: `--starting-offsets earliest` counts everything that the "
    "topic holds now, `--starting-offsets latest` only what comes from now on. Means that were posted stay."
)


def has_begun(folder: Path) -> bool:
    """Whether a job has run with this checkpoint folder, which need not exist."""
    return any((folder / name).is_file() for name in (FILE_NAME, "ledger.sqlite"))


class Checkpoint:
    """A job's folder, held by this process until `close`.

    Layout: state.sqlite (identity, what is counted and delivered, the invalid records), lock, spark.log and
    spark-jvm.log, tmp/ (emptied at the start), and the marker of own_folder.
    """

    def __init__(
        self,
        folder: Path,
        topic: str,
        rules: RecordRules,
        *,
        gives_up: Callable[[], bool] = lambda: False,
        reporter: Reporter = SILENT,
    ) -> None:
        """Claims the folder, created when missing, and locks it.

        Raises ForeignFolder for a folder that holds something else, CheckpointInUse, StorageFull or AggregationError.
        """
        self.folder = folder
        try:
            is_new = not folder.exists()
            claim(folder, CHECKPOINT)
            if is_new:
                sync_folder(folder.absolute().parent)
            self._lock = lock.take(folder)
        except BlockingIOError as error:
            raise CheckpointInUse(
                f"Another job is using the checkpoint folder {folder}.",
                hint="Stop that job first, or give this one a folder of its own with --checkpoint.",
                checkpoint=str(folder),
            ) from error
        except OSError as error:
            raise _translated(error, folder) from error
        try:
            shutil.rmtree(self.tmp, ignore_errors=True)
            self.tmp.mkdir(mode=0o700, exist_ok=True)
            if migration.bring_over(folder, topic, rules):
                reporter.info(f"The checkpoint in {folder} is brought over from an earlier version.")
            self.store = StateStore(folder / FILE_NAME, rules, gives_up=gives_up, reporter=reporter)
        except OSError as error:
            os.close(self._lock)
            raise _translated(error, folder) from error
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def tmp(self) -> Path:
        """Scratch space of this run."""
        return self.folder / "tmp"

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Compares with the job that made the folder, or notes `identity` in a new one; then the store is ready for it.

        A value None means "could not be found out" and matches anything; what is new, such as an analytics that was
        added, is noted. Raises CheckpointMismatch.
        """
        known = self.store.identity_document()
        differences = {
            name: "; ".join(_differences(_title(name), known[name], value))
            for name, value in identity.items()
            if value is not None and known.get(name) is not None and known[name] != value
        }
        if differences.keys() == {"topic_id"}:
            raise another_topic(str(identity["topic"]))
        if differences:
            raise CheckpointMismatch(
                f"The checkpoint in {self.folder} belongs to another job ({'; '.join(differences.values())}).",
                hint="Run with the former settings to go on where that job stopped, or give another folder with "
                "--checkpoint (or remove this one) to start again.",
                checkpoint=str(self.folder),
            )
        merged = known | {name: value for name, value in identity.items() if value is not None}
        if merged != known:
            self.store.set_identity(merged)
        self.store.begin()

    def close(self) -> None:
        """Lets go of the folder."""
        self.store.close()
        shutil.rmtree(self.tmp, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _title(name: str) -> str:
    return _TITLES.get(name) or name.replace(ANALYTICS, "analytics ", 1)


def _differences(title: str, before: Any, now: Any) -> Iterator[str]:
    """In words; of two objects only the members that differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys((*before, *now)):
            if before.get(name) != now.get(name):
                yield from _differences(f"{title}, {name}", before.get(name), now.get(name))
    else:
        yield f"{title}: {before!r} there, {now!r} now"


def another_topic(topic: str) -> CheckpointMismatch:
    """The error for a topic that was deleted and created again."""
    return CheckpointMismatch(
        f"Topic {topic} was deleted and created again: the offsets that the job remembers mean other records now.",
        hint=TWO_WAYS_ON,
    )


def records_gone(topic: str, folder: Path) -> CheckpointMismatch:
    """The error for a topic that lost records before they were counted."""
    return CheckpointMismatch(
        f"Topic {topic} no longer holds the records that the checkpoint {folder} goes on from.",
        hint="Either the topic was created again, or its retention removed records that were not counted yet, or "
        f"the broker lost some. {TWO_WAYS_ON}",
        log=str(folder / "spark.log"),
    )


def storage_full(folder: Path) -> StorageFull:
    """The error for a checkpoint on a full disk."""
    return StorageFull(
        f"No space is left for the checkpoint in {folder}.",
        hint="Free some space and start again: the job goes on where it stopped.",
        checkpoint=str(folder),
    )


def _translated(error: OSError, folder: Path) -> StorageFull | AggregationError:
    if disk_is_full(folder if folder.is_dir() else Path("/"), str(error)):
        return storage_full(folder)
    return AggregationError(
        f"The checkpoint folder {folder} cannot be used: {error.strerror or error}.",
        hint="Give a folder that can be written with --checkpoint.",
    )
