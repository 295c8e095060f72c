"""The pages' blocks do what the pages say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pacifictool.local.stack import LocalStack
from tests.support.command_line import variables_of
from tests.support.documents import PAGES, ROOT, Reader, assert_same_form, blocks_of
from tests.support.snapshots import Snapshot, restore, snapshot

DOCS = ROOT / "docs"
WITH_A_STACK = [DOCS / "fleets.md", DOCS / "howto" / "real-server.md"]
ALONE = [DOCS / "tutorial.md"]
WITHOUT_SERVER = [DOCS / "your-analytics.md"]
AT_ONCE = [DOCS / "json-output.md"]


def test_every_page_with_blocks_to_run_is_run_here() -> None:
    runnable = [page for page in PAGES if any((block.directive or "").startswith("run") for block in blocks_of(page))]
    assert runnable == sorted(WITH_A_STACK + ALONE + WITHOUT_SERVER + AT_ONCE)


@pytest.mark.long
@pytest.mark.spark
def test_the_tutorial_as_it_is_written(tmp_path: Path) -> None:
    # The tutorial with windows of 2 s instead of 10 s, to keep the test short.
    text = (ROOT / "pacifictool" / "resources" / "tutorial.toml").read_text(encoding="utf-8")
    quick = text.replace('window = "10s"', 'window = "2s"').replace("rate = 10", "rate = 50")
    (tmp_path / "quick.toml").write_text(quick, encoding="utf-8")
    reader = Reader(
        tmp_path,
        {
            "PACIFICTOOL_STATE": str(tmp_path / "state"),
            "PACIFICTOOL_SCENARIO": str(tmp_path / "quick.toml"),
            "TMPDIR": str(tmp_path),
        },
        replace={"pacifictool sandbox up": "pacifictool sandbox up --free-ports"},
    )
    try:
        assert reader.read(ALONE[0]) == 12
        assert (tmp_path / "tutorial.html").stat().st_size > 1_000_000
        assert (tmp_path / "tutorial.png").read_bytes().startswith(b"\x89PNG")
    finally:
        reader.run("pacifictool sandbox down")


@pytest.mark.parametrize("page", WITH_A_STACK, ids=lambda page: page.stem)
def test_a_page_for_a_real_server(page: Path, stack: LocalStack, tmp_path: Path) -> None:
    before: Snapshot = snapshot(stack.platform.url)
    environ = {**variables_of(stack), "PACIFICTOOL_STATE": str(tmp_path / "state"), "TMPDIR": str(tmp_path)}
    try:
        assert Reader(tmp_path, environ).read(page) > 0
        assert snapshot(stack.platform.url) == before
    finally:
        restore(stack.platform.url, before)


AS_WRITTEN: dict[str, str] = {}
SHORTER = {"--duration 10m": "--duration 3m", "--duration 5m": "--duration 2m"}
"""Of recordings, as a replacement: to train the page's model on all that it names takes 15 s of processor time."""


@pytest.mark.parametrize(
    "replace", [SHORTER, pytest.param(AS_WRITTEN, marks=pytest.mark.long)], ids=["shorter", "as written"]
)
@pytest.mark.parametrize("page", WITHOUT_SERVER, ids=lambda page: page.stem)
def test_a_page_that_needs_no_server(page: Path, replace: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environ = {
        "PACIFICTOOL_STATE": str(tmp_path / "state"),
        "TMPDIR": str(tmp_path),
        "PACIFICTOOL_URL": "http://127.0.0.1:9",
    }
    assert Reader(tmp_path, environ, replace).read(page) > 4
    function = next(block.text for block in blocks_of(page) if block.language == "python")
    assert function in (tmp_path / "level.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", AT_ONCE, ids=lambda page: page.stem)
def test_a_page_that_needs_nothing(page: Path, tmp_path: Path) -> None:
    assert Reader(tmp_path, {"PACIFICTOOL_STATE": str(tmp_path / "state")}).read(page) == 4


def test_forms_that_agree_and_forms_that_do_not() -> None:
    assert_same_form("2 assets\nName  Id\n…\ndone in 3.1 s", "14 assets\n ───────\nName   Id\nA\nB\ndone in 10 s")
    assert_same_form("A  2026-11-24 03:15:00Z", "A     2027-01-01 00:00:00Z")
    for documented, printed in (("2 assets", "2 devices"), ("…\nend", "beginning"), ("one\ntwo", "one\nand\ntwo")):
        with pytest.raises(AssertionError):
            assert_same_form(documented, printed)


def test_a_block_that_fails_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- run -->\n```bash\npacifictool device list\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"exit code 1"):
        Reader(tmp_path, {"PACIFICTOOL_URL": "http://127.0.0.1:9"}).read(page)
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]
