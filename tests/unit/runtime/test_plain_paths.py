from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.runtime import plain_paths
from pacifictool.runtime.plain_paths import plain_path

NASTY = ("a b", "ck#run", "ck%41", "grün", "a,b", "${x}", "a:b", "a\\b", "a\nb", "'\"", "[x]*?")


def test_a_plain_path_is_itself(tmp_path: Path) -> None:
    assert plain_path(tmp_path) == tmp_path


@pytest.mark.parametrize("name", NASTY)
def test_any_other_folder_gets_a_link_with_a_plain_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "file").write_text("here", encoding="utf-8")
    link = plain_path(folder)
    assert plain_paths._PLAIN.fullmatch(str(link))
    assert (link / "file").read_text(encoding="utf-8") == "here"
    assert plain_path(folder) == link
    assert link.parent.stat().st_mode & 0o077 == 0
