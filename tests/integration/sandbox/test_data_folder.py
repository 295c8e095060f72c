"""What `sandbox … --data DIR` may touch: folders of a sandbox, and no others with the same names."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from pacifictool.errors import ForeignFolder, PacificToolError
from pacifictool.local.daemon import SandboxState, stop_daemon
from pacifictool.local.launcher import SandboxProcess


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder of the user with the names that a sandbox uses."""
    folder = tmp_path / "project"
    for name in ("kafka/notes.txt", "platform/src/main.c", "sandbox.log", "sandbox.json", "page.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("the user's own")
    return folder


def test_a_state_file_in_a_foreign_folder_stops_no_process(foreign: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        created = psutil.Process(process.pid).create_time()
        state = SandboxState(process.pid, created, "", "", "", str(foreign))
        (foreign / "sandbox.json").write_text(json.dumps(asdict(state)))
        with pytest.raises(ForeignFolder):
            stop_daemon(foreign)
        assert process.poll() is None
        process.kill()


def test_a_platform_does_not_start_in_a_foreign_folder(foreign: Path) -> None:
    foreign.chmod(0o755)
    before = files(foreign)
    with pytest.raises(PacificToolError, match="cannot be used for the data of the sandbox platform"):
        SandboxProcess(foreign).start()
    assert files(foreign) == before
    assert foreign.stat().st_mode & 0o777 == 0o755


def test_a_platforms_data_of_an_earlier_version_is_adopted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with SandboxProcess(data):
        pass
    (data / ".pacifictool-folder.json").unlink()
    with SandboxProcess(data):
        assert (data / ".pacifictool-folder.json").is_file()
