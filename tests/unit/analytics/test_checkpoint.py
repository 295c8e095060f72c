from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.errors import CheckpointInUse, CheckpointMismatch, ForeignFolder
from tests.support.scenarios import mean_rules

RULES = mean_rules()
IDENTITY = {"topic": "t", "analytics.zones": {"window_ms": 10_000}, "topic_id": "abc"}


def test_a_second_job_on_one_folder_is_refused(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "job", "t", RULES), pytest.raises(CheckpointInUse, match="Another job"):
        Checkpoint(tmp_path / "job", "t", RULES)
    Checkpoint(tmp_path / "job", "t", RULES).close()


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir(mode=0o755)
    with Checkpoint(folder, "t", RULES):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir()} == {0}


def test_a_folder_that_holds_something_else_is_refused_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    (folder / "tmp").mkdir(parents=True, mode=0o755)
    (folder / "tmp" / "chapter-1.tex").write_text("precious", encoding="utf-8")
    folder.chmod(0o755)
    with pytest.raises(ForeignFolder, match="thesis"):
        Checkpoint(folder, "t", RULES)

    assert (folder / "tmp" / "chapter-1.tex").read_text(encoding="utf-8") == "precious"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert [path.name for path in folder.iterdir()] == ["tmp"]


def test_the_same_job_goes_on_and_another_learns_the_difference(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "t", RULES) as checkpoint:
        checkpoint.check_identity(IDENTITY)
        checkpoint.check_identity(IDENTITY)
        with pytest.raises(CheckpointMismatch, match=r"topic: 't' there, 'u' now") as caught:
            checkpoint.check_identity(IDENTITY | {"topic": "u"})
        assert "--checkpoint" in (caught.value.hint or "")
        with pytest.raises(CheckpointMismatch, match="deleted and created again"):
            checkpoint.check_identity(IDENTITY | {"topic_id": "def"})


def test_what_could_not_be_found_out_matches_and_is_learnt_later(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "t", RULES) as checkpoint:
        checkpoint.check_identity(IDENTITY | {"topic_id": None})
        checkpoint.check_identity(IDENTITY)
        with pytest.raises(CheckpointMismatch):
            checkpoint.check_identity(IDENTITY | {"topic_id": "def"})


def test_of_what_is_computed_only_the_difference_is_shown(tmp_path: Path) -> None:
    rules = {"attributes": ["geoZone"], "valid": {"windSpeed": {"min": 0.0}}}
    begun = IDENTITY | {"records": rules, "analytics.zones": {"window_ms": 1, "ts": "end"}}
    with Checkpoint(tmp_path, "t", RULES) as checkpoint:
        checkpoint.check_identity(begun)
        for changed, words in (
            ({"analytics.zones": {"window_ms": 5, "ts": "end"}}, "analytics zones, window_ms: 1 there, 5 now"),
            ({"analytics.zones": {"window_ms": 1}}, "analytics zones, ts: 'end' there, None now"),
            (
                {"records": rules | {"attributes": ["site"]}},
                r"records, attributes: \['geoZone'\] there, \['site'\] now",
            ),
        ):
            with pytest.raises(CheckpointMismatch, match=rf"another job \({words}\)"):
                checkpoint.check_identity(begun | changed)
        checkpoint.check_identity(IDENTITY | {"analytics.zones": None, "analytics.sites": {"window_ms": 7}})
        assert checkpoint.store.identity_document()["analytics.sites"] == {"window_ms": 7}


def test_a_range_comes_in_parts() -> None:
    whole = OffsetRange(4, 10, 35)
    assert whole.records == 25
    assert whole.parts(10) == [OffsetRange(4, 10, 20), OffsetRange(4, 20, 30), OffsetRange(4, 30, 35)]
    assert whole.parts(25) == [whole]
