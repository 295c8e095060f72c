from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.errors import CheckpointInUse, CheckpointMismatch, ForeignFolder

IDENTITY = {"topic": "t", "window_ms": 10_000, "topic_id": "abc"}


def test_a_second_job_on_one_folder_is_refused(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "job", "t"), pytest.raises(CheckpointInUse, match="Another job"):
        Checkpoint(tmp_path / "job", "t")
    Checkpoint(tmp_path / "job", "t").close()


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir(mode=0o755)
    with Checkpoint(folder, "t"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir()} == {0}


def test_a_folder_that_holds_something_else_is_refused_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    (folder / "tmp").mkdir(parents=True, mode=0o755)
    (folder / "tmp" / "chapter-1.tex").write_text("precious", encoding="utf-8")
    folder.chmod(0o755)
    with pytest.raises(ForeignFolder, match="thesis"):
        Checkpoint(folder, "t")

    assert (folder / "tmp" / "chapter-1.tex").read_text(encoding="utf-8") == "precious"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert [path.name for path in folder.iterdir()] == ["tmp"]


def test_the_same_job_goes_on_and_another_learns_the_difference(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "t") as checkpoint:
        checkpoint.check_identity(IDENTITY)
        checkpoint.check_identity(IDENTITY)
        with pytest.raises(CheckpointMismatch, match=r"topic: 't' there, 'u' now") as caught:
            checkpoint.check_identity(IDENTITY | {"topic": "u"})
        assert "--checkpoint" in (caught.value.hint or "")
        with pytest.raises(CheckpointMismatch, match="deleted and created again"):
            checkpoint.check_identity(IDENTITY | {"topic_id": "def"})


def test_what_could_not_be_found_out_matches_and_is_learnt_later(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "t") as checkpoint:
        checkpoint.check_identity(IDENTITY | {"topic_id": None})
        checkpoint.check_identity(IDENTITY)
        with pytest.raises(CheckpointMismatch):
            checkpoint.check_identity(IDENTITY | {"topic_id": "def"})


def test_a_range_comes_in_parts() -> None:
    whole = OffsetRange(4, 10, 35)
    assert whole.records == 25
    assert whole.parts(10) == [OffsetRange(4, 10, 20), OffsetRange(4, 20, 30), OffsetRange(4, 30, 35)]
    assert whole.parts(25) == [whole]
