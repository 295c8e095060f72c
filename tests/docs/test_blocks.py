"""The pages' blocks do what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import Reader, assert_same_form


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
