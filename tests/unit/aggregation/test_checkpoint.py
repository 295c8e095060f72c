from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pacifictool.aggregation.checkpoint import BatchPlan, Checkpoint, OffsetRange
from pacifictool.aggregation.ledger import BatchOutcome
from pacifictool.errors import AggregationError, CheckpointInUse, CheckpointMismatch

IDENTITY = {"topic": "t", "window_ms": 10_000, "topic_id": "abc"}


def test_a_second_job_on_one_folder_is_refused(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "job"), pytest.raises(CheckpointInUse, match="Another job"):
        Checkpoint(tmp_path / "job")
    Checkpoint(tmp_path / "job").close()


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir(mode=0o755)
    with Checkpoint(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_same_job_goes_on_and_another_is_told_the_difference(tmp_path: Path) -> None:
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.check_identity(IDENTITY)
        checkpoint.check_identity(IDENTITY)
        with pytest.raises(CheckpointMismatch, match=r"topic: 't' there, 'u' now") as caught:
            checkpoint.check_identity(IDENTITY | {"topic": "u"})
        assert "--checkpoint" in (caught.value.hint or "")
        with pytest.raises(CheckpointMismatch, match="deleted and created again"):
            checkpoint.check_identity(IDENTITY | {"topic_id": "def"})


def test_what_could_not_be_found_out_matches_and_is_learnt_later(tmp_path: Path) -> None:
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.check_identity(IDENTITY | {"topic_id": None})
        checkpoint.check_identity(IDENTITY)
        with pytest.raises(CheckpointMismatch):
            checkpoint.check_identity(IDENTITY | {"topic_id": "def"})


def spark_folder(folder: Path, spark_id: str, *, committed: int | None = None) -> None:
    (folder / "spark" / "commits").mkdir(parents=True, exist_ok=True)
    (folder / "spark" / "metadata").write_text(json.dumps({"id": spark_id}), encoding="utf-8")
    if committed is not None:
        (folder / "spark" / "commits" / str(committed)).write_text("v1\n{}", encoding="utf-8")


def test_a_ledger_goes_with_one_spark_checkpoint_only(tmp_path: Path) -> None:
    with Checkpoint(tmp_path) as checkpoint:
        spark_folder(tmp_path, "one", committed=0)
        checkpoint.ledger.apply(BatchOutcome(0, []), lateness_ms=0)
        checkpoint.ledger.set_state("spark_checkpoint_id", "one")
        checkpoint.check_spark_id()

        spark_folder(tmp_path, "two")
        with pytest.raises(CheckpointMismatch, match="two"):
            checkpoint.check_spark_id()


def test_a_spark_checkpoint_that_was_removed_is_noticed(tmp_path: Path) -> None:
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.check_spark_id("one")
        checkpoint.ledger.apply(BatchOutcome(0, []), lateness_ms=0)
        with pytest.raises(CheckpointMismatch, match="none"):
            checkpoint.check_spark_id()


def test_a_ledger_that_was_removed_is_noticed(tmp_path: Path) -> None:
    spark_folder(tmp_path, "one", committed=4)
    with Checkpoint(tmp_path) as checkpoint, pytest.raises(CheckpointMismatch, match="further than the ledger"):
        checkpoint.check_spark_id()


def test_sparks_note_on_a_batch_is_read(tmp_path: Path) -> None:
    with Checkpoint(tmp_path) as checkpoint:
        offsets = tmp_path / "spark" / "offsets"
        offsets.mkdir(parents=True)
        (tmp_path / "spark" / "sources" / "0").mkdir(parents=True)
        (tmp_path / "spark" / "sources" / "0" / "0").write_bytes(b'\x00v1\n{"t":{"0":3}}')
        (offsets / "0").write_text('v1\n{"batchTimestampMs":17,"conf":{}}\n{"t":{"0":5,"1":9}}', encoding="utf-8")
        (offsets / "1").write_text('v1\n{"batchTimestampMs":18,"conf":{}}\n{"t":{"0":6,"1":9}}', encoding="utf-8")

        first, second = checkpoint.batch_plan(0, "t"), checkpoint.batch_plan(1, "t")
        assert first == BatchPlan(planned_ms=17, ends={0: 5, 1: 9})
        assert checkpoint.batch_ranges(0, first, "t") == [OffsetRange(0, 3, 5), OffsetRange(1, 0, 9)]
        assert checkpoint.batch_ranges(1, second, "t") == [OffsetRange(0, 5, 6)]
        with pytest.raises(AggregationError, match="batch 2"):
            checkpoint.batch_plan(2, "t")
        with pytest.raises(AggregationError, match="the start of batch 3"):
            checkpoint.batch_ranges(3, second, "t")


def test_a_range_comes_in_parts() -> None:
    whole = OffsetRange(4, 10, 35)
    assert whole.records == 25
    assert whole.parts(10) == [OffsetRange(4, 10, 20), OffsetRange(4, 20, 30), OffsetRange(4, 30, 35)]
    assert whole.parts(25) == [whole]
