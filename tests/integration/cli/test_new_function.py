"""The files of `analytics new` as their author uses them: with pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.command_line import CommandLine


def test_the_test_of_a_new_function_passes(tmp_path: Path, command_line: CommandLine) -> None:
    assert command_line("analytics", "new", "vibration_level", "--folder", "own").code == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path / "own",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
