"""A platform alone, closed and shared: the shared one proves that the other user's attempts can succeed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.local.launcher import SandboxProcess
from tests.support import other_user
from tests.support.open_sockets import family, open_sockets
from tests.support.other_user import DEMO_TOKEN, MARK, as_another_user, demo_keys


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="pacifictool-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("generation", ["1", "4"])
@pytest.mark.parametrize("shared", [False, True])
def test_another_user_gets_something_only_from_a_shared_platform(
    generation: str, shared: bool, open_folder: Path
) -> None:
    options = ("--generation", generation, *(["--share"] if shared else []))
    with SandboxProcess(open_folder / "platform", options=options) as sandbox:
        assert sandbox._process is not None
        processes = family([sandbox._process.pid])
        ports = {opening.port for opening in open_sockets(processes)}
        assert ports == {sandbox.http_port, sandbox.mqtt_port}
        report = as_another_user(
            {
                "ports": sorted(ports),
                "brokers": [],
                "token": DEMO_TOKEN,
                "topic": "none",
                "folders": [str(open_folder)],
                "pids": [process.pid for process in processes],
            }
        )
        found = {key: got for key, got in report["found"].items() if got}
        known = demo_keys(sandbox.url)
        log = sandbox.log_path.read_text()
    if not shared:
        assert (found, known) == ({}, [])
        assert log.count(f"uid {other_user.UID}") == 1, log
        return
    assert found.keys() == {f"{sandbox.http_port} http", f"{sandbox.mqtt_port} mqtt"}
    assert "/api/auth/login: HTTP/1.1 200 OK" in found[f"{sandbox.http_port} http"]
    assert known == [MARK]
