from __future__ import annotations

import os
import stat
from pathlib import Path

from pacifictool.runtime.log_files import bound_log


def test_a_log_begins_again_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(writer, b"x" * 100)
        assert not bound_log(path, 100)
        os.write(writer, b"y" * 50)
        assert bound_log(path, 100)
        os.write(writer, b"more")
    finally:
        os.close(writer)
    assert path.read_bytes() == b"more"
    older = tmp_path / "a.log.1"
    assert older.read_bytes() == b"x" * 50 + b"y" * 50
    assert stat.S_IMODE(older.stat().st_mode) == 0o600


def test_it_grows_no_further_whatever_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for _ in range(100):
        with path.open("ab") as file:
            file.write(b"z" * 70)
        bound_log(path, 100)
        assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 270


def test_what_cannot_be_kept_is_only_emptied(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 200)
    (tmp_path / "a.log.1").mkdir()
    assert bound_log(path, 100)
    assert path.read_bytes() == b""
    assert not bound_log(tmp_path / "missing", 100)
