"""The folder of a job: Spark's checkpoint, the ledger, the lock, and a note of whose checkpoint it is."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pacifictool.aggregation.ledger import Ledger
from pacifictool.errors import AggregationError, CheckpointInUse, CheckpointMismatch, StorageFull
from pacifictool.runtime.cache import disk_is_full

_BLINK_SECONDS = 0.05
_SPARK_ID = "spark_checkpoint_id"
_TITLES = {
    "topic": "topic",
    "topic_id": "topic id (it changes when a topic is deleted and created again)",
    "cluster_id": "Kafka cluster id",
    "window_ms": "window in ms",
    "zone_key": "key of the zone",
    "value_key": "key of the value",
    "valid": "valid range",
    "target": "target of the results",
}
TWO_WAYS_ON = (
    "Two ways on, both with a new folder for --checkpoint: `--starting-offsets earliest` counts everything that the "
    "topic holds now, `--starting-offsets latest` only what comes from now on. Means that were posted stay."
)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What Spark wrote down before it ran a batch."""

    planned_ms: int
    """This machine's clock, in milliseconds since the epoch."""
    ends: Mapping[int, int]
    """By partition: the offset after the last record of the batch."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Records of one partition, from offset `start` to before `end`."""

    partition: int
    start: int
    end: int

    @property
    def records(self) -> int:
        """How many it holds at most: offsets have gaps."""
        return self.end - self.start

    def parts(self, records: int) -> list[OffsetRange]:
        """The same in pieces of at most so many records."""
        return [
            OffsetRange(self.partition, start, min(start + records, self.end))
            for start in range(self.start, self.end, records)
        ]


def has_batches(folder: Path) -> bool:
    """Whether a job has planned batches with this checkpoint folder, which need not exist."""
    offsets = folder / "spark" / "offsets"
    return offsets.is_dir() and any(entry.name.isdigit() for entry in offsets.iterdir())


class Checkpoint:
    """A job's folder, held by this process until `close`.

    Layout: spark/ (Spark's own), ledger.sqlite (what is counted and delivered, and the rejects), job.json (identity),
    lock, spark.log and spark-jvm.log, tmp/ (emptied at the start).
    """

    def __init__(self, folder: Path) -> None:
        """Creates the folder when missing and locks it. Raises CheckpointInUse, StorageFull or AggregationError."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _translated(error, folder) from error
        try:
            _take(self._lock)
        except OSError as error:
            os.close(self._lock)
            raise CheckpointInUse(
                f"Another job is using the checkpoint folder {folder}.",
                hint="Stop that job first, or give this one a folder of its own with --checkpoint.",
                checkpoint=str(folder),
            ) from error
        try:
            # Records and results are nobody else's business, also in a folder that somebody made beforehand.
            folder.chmod(0o700)
            shutil.rmtree(self.tmp, ignore_errors=True)
            self.tmp.mkdir(mode=0o700)
            self.ledger = Ledger(folder / "ledger.sqlite")
        except OSError as error:
            os.close(self._lock)
            raise _translated(error, folder) from error
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def spark(self) -> Path:
        """Spark's checkpoint location."""
        return self.folder / "spark"

    @property
    def tmp(self) -> Path:
        """Scratch space of this run."""
        return self.folder / "tmp"

    @property
    def is_new(self) -> bool:
        """Whether no batch has been planned here yet."""
        return not has_batches(self.folder)

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Compares with the job that made the folder, or notes `identity` in a new one.

        A value None means "could not be found out" and matches anything. Raises CheckpointMismatch.
        """
        path = self.folder / "job.json"
        try:
            known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            known = {}
        except (OSError, ValueError) as error:
            raise AggregationError(
                f"{path} cannot be read: {error}.", hint="Give another folder with --checkpoint to start afresh."
            ) from error
        differences = {
            name: f"{_TITLES.get(name, name)}: {known[name]!r} there, {value!r} now"
            for name, value in identity.items()
            if value is not None and known.get(name) is not None and known[name] != value
        }
        if differences.keys() == {"topic_id"}:
            raise another_topic(str(identity["topic"]))
        if differences:
            raise self._mismatch("; ".join(differences.values()))
        merged = known | {name: value for name, value in identity.items() if value is not None}
        if merged != known:
            self._write(path, json.dumps(merged, indent=2, sort_keys=True) + "\n")

    def check_spark_id(self, spark_id: str | None = None) -> None:
        """Makes sure that Spark's checkpoint is the one that the ledger was written along with.

        Without `spark_id` the id is read from Spark's folder, when it is there. Raises CheckpointMismatch.
        """
        if spark_id is None:
            metadata = self.spark / "metadata"
            try:
                spark_id = str(json.loads(metadata.read_text(encoding="utf-8"))["id"])
            except (OSError, ValueError, KeyError, TypeError):
                spark_id = None
        known = self.ledger.state(_SPARK_ID)
        committed = max((int(path.name) for path in self.spark.glob("commits/*") if path.name.isdigit()), default=-1)
        if committed > (self.ledger.last_batch_id if self.ledger.last_batch_id is not None else -1):
            raise self._mismatch("Spark's part of it is further than the ledger: they do not go together")
        if known is None and self.ledger.last_batch_id is None:
            if spark_id is not None:
                self.ledger.set_state(_SPARK_ID, spark_id)
        elif known != spark_id:
            raise self._mismatch(f"the ledger goes with Spark's checkpoint {known}, not with {spark_id or 'none'}")

    def batch_plan(self, batch_id: int, topic: str) -> BatchPlan:
        """Spark's own note on a batch. Raises AggregationError when it cannot be understood."""
        return read_batch_plan(self.spark, batch_id, topic)

    def planned_ends(self, topic: str) -> Mapping[int, int]:
        """By partition: the offset up to which Spark has planned batches; empty before the first."""
        planned = max((int(path.name) for path in self.spark.glob("offsets/*") if path.name.isdigit()), default=None)
        return {} if planned is None else self.batch_plan(planned, topic).ends

    def batch_ranges(self, batch_id: int, plan: BatchPlan, topic: str) -> list[OffsetRange]:
        """The records of a batch. Raises AggregationError when Spark's note on where it begins cannot be understood."""
        path = self.spark / "offsets" / str(batch_id - 1) if batch_id else self.spark / "sources" / "0" / "0"
        try:
            # A first byte of zero and the format's version stand before the offsets of the start.
            starts = _offsets(path.read_text(encoding="utf-8").splitlines()[-1], topic)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _unreadable(f"the start of batch {batch_id}", path, error) from error
        # A partition that is new since then begins with its first record.
        ranges = [OffsetRange(partition, starts.get(partition, 0), end) for partition, end in plan.ends.items()]
        return [each for each in ranges if each.records]

    def close(self) -> None:
        """Lets go of the folder."""
        self.ledger.close()
        shutil.rmtree(self.tmp, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mismatch(self, difference: str) -> CheckpointMismatch:
        return CheckpointMismatch(
            f"The checkpoint in {self.folder} belongs to another job ({difference}).",
            hint="Run with the former settings to go on where that job stopped, or give another folder with "
            "--checkpoint (or remove this one) to start afresh.",
            checkpoint=str(self.folder),
        )

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise _translated(error, self.folder) from error


def is_held(folder: Path) -> bool:
    """Whether a job holds the folder at this moment. For a blink, this takes a shared hold of it; see `_take`."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _take(lock: int) -> None:
    """Locks the file, or raises OSError. Somebody who only asked `is_held` is gone at the second attempt."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        time.sleep(_BLINK_SECONDS)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_batch_plan(spark: Path, batch_id: int, topic: str) -> BatchPlan:
    """See `Checkpoint.batch_plan`; `spark` is Spark's checkpoint location."""
    path = spark / "offsets" / str(batch_id)
    try:
        version, metadata, source = path.read_text(encoding="utf-8").splitlines()
        if version != "v1":
            raise ValueError(f"unknown format {version}")
        return BatchPlan(int(json.loads(metadata)["batchTimestampMs"]), _offsets(source, topic))
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _unreadable(f"batch {batch_id}", path, error) from error


def _unreadable(what: str, path: Path, error: Exception) -> AggregationError:
    return AggregationError(
        f"Spark's note on {what} ({path}) cannot be read: {error}.",
        hint="Give another folder with --checkpoint to start afresh.",
    )


def _offsets(text: str, topic: str) -> dict[int, int]:
    return {int(partition): int(offset) for partition, offset in json.loads(text)[topic].items()}


def another_topic(topic: str) -> CheckpointMismatch:
    """The error for a topic that was deleted and created again."""
    return CheckpointMismatch(
        f"Topic {topic} was deleted and created again: the offsets that the job remembers mean other records now.",
        hint=TWO_WAYS_ON,
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
