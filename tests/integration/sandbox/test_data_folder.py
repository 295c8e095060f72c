"""What `sandbox … --data DIR` may touch: folders of a sandbox, and no others with the same names."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from pacifictool.errors import ForeignFolder, PacificToolError, SandboxError
from pacifictool.local.daemon import SandboxState, check_data, delete_data, read_state, stop_daemon
from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.own_folder import BROKER, PLATFORM, SANDBOX, claim


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


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    for path, kind in ((folder, SANDBOX), (folder / "kafka", BROKER), (folder / "platform", PLATFORM)):
        claim(path, kind)
    (folder / "kafka" / "topics").mkdir()
    (folder / "sandbox.log").touch()
    return folder


def test_a_folder_of_the_user_is_not_emptied(foreign: Path) -> None:
    before = files(foreign)
    for action in (delete_data, check_data, stop_daemon, read_state):
        with pytest.raises(ForeignFolder, match=str(foreign)):
            action(foreign)
    assert files(foreign) == before


def test_a_sandbox_is_emptied_and_can_be_used_again(sandbox: Path) -> None:
    delete_data(sandbox)
    assert [path.name for path in sandbox.iterdir()] == [".pacifictool-folder.json"]
    delete_data(sandbox)
    claim(sandbox, SANDBOX)


@pytest.mark.parametrize("part", ["kafka", "platform"])
def test_a_foreign_subfolder_stops_the_reset_before_the_first_change(sandbox: Path, part: str) -> None:
    (sandbox / part / ".pacifictool-folder.json").unlink()
    (sandbox / part / "thesis.txt").write_text("ten years")
    before = files(sandbox)
    with pytest.raises(ForeignFolder, match=str(sandbox / part)):
        delete_data(sandbox)
    assert files(sandbox) == before


@pytest.mark.parametrize("part", ["kafka", "platform"])
def test_a_linked_subfolder_stops_the_reset(sandbox: Path, foreign: Path, part: str) -> None:
    delete_data(sandbox)
    (sandbox / part).symlink_to(foreign)
    before = files(foreign)
    with pytest.raises(ForeignFolder, match="symbolic link"):
        delete_data(sandbox)
    assert files(foreign) == before
    assert (sandbox / part).is_symlink()


def test_links_inside_are_deleted_and_not_followed(sandbox: Path, foreign: Path) -> None:
    (sandbox / "kafka" / "link").symlink_to(foreign)
    (sandbox / "kafka" / "topics" / "link").symlink_to(foreign)
    before = files(foreign)
    delete_data(sandbox)
    assert files(foreign) == before
    assert not (sandbox / "kafka").exists()


def test_what_cannot_be_deleted_is_reported(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(SandboxError, match=r"cannot be deleted: permission denied .*topics"):
        delete_data(sandbox)
    monkeypatch.undo()
    delete_data(sandbox)


def test_a_state_file_in_a_foreign_folder_stops_no_process(foreign: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        created = psutil.Process(process.pid).create_time()
        state = SandboxState(process.pid, created, "", "", "", str(foreign))
        (foreign / "sandbox.json").write_text(json.dumps(asdict(state)))
        with pytest.raises(ForeignFolder):
            stop_daemon(foreign)
        assert process.poll() is None
        process.kill()


def test_reading_the_state_creates_no_folder(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert read_state(missing) is None
    assert not stop_daemon(missing)
    delete_data(missing)
    assert not missing.exists()


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
