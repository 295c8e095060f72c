"""The size of downloads that Ivy's processes rename while it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pacifictool.runtime.ivy import bytes_below

RENAMING = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
print("ready", flush=True)
while True:
    (folder / "a").rename(folder / "further" / "b")
    (folder / "further" / "b").rename(folder / "a")
"""


def test_files_that_are_renamed_meanwhile_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "further").mkdir()
    command = [sys.executable, "-c", RENAMING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as renaming:
        assert renaming.stdout is not None
        renaming.stdout.readline()
        try:
            # One in 200 met a file that was gone.
            assert {bytes_below(tmp_path) for _ in range(2000)} <= {0, 5, 10}
        finally:
            renaming.kill()
