"""`watch` in a terminal: a real one (a pseudo-terminal), and none."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform
from pacifictool.scenario import Scenario
from tests.integration.watch.conftest import scenario_text
from tests.support.command_line import CommandLine
from tests.support.waiting import SOON_SECONDS

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
OTHER_SCREEN, BACK = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """`pacifictool watch` on a pseudo-terminal of a given size."""

    def __init__(
        self, *arguments: str, environ: Mapping[str, str], folder: Path, columns: int = 120, rows: int = 40
    ) -> None:
        self._main, self._child = pty.openpty()
        self.resize(columns, rows)
        self.modes = termios.tcgetattr(self._child)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pacifictool", "watch", *arguments],
            stdin=self._child,
            stdout=self._child,
            stderr=self._child,
            env={**environ, "TERM": "xterm-256color"},
            cwd=folder,
            start_new_session=True,
        )
        self.text = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def wait_for(self, text: str, seconds: float = SOON_SECONDS) -> str:
        """The output since the last call, up to and including the text."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, self.text[-3000:]
            assert self._read(0.1) or self.process.poll() is None, self.text[-3000:]
        came, _, self.text = self.text.partition(text)
        return came + text

    def next_frame(self) -> str:
        return self.wait_for("\x1b[H")

    def end(self, seconds: float = SOON_SECONDS) -> tuple[int, str]:
        """Exit code and all the rest."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        assert self.process.poll() is not None, "it did not end"
        while self._read(0.05):
            pass
        return self.process.returncode, self.text

    def _read(self, seconds: float) -> bool:
        if not select.select([self._main], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._main, 65_536)
        except OSError:
            return False
        self.text += piece.decode(errors="replace")
        return bool(piece)

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self._child) == self.modes

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._main)
        os.close(self._child)


@pytest.fixture
def environ(sandbox: SandboxProcess, tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return {
        **kept,
        "PACIFICTOOL_URL": sandbox.url,
        "PACIFICTOOL_KAFKA": "127.0.0.1:1",
        "PACIFICTOOL_STATE": str(tmp_path / "state"),
        "PACIFICTOOL_SCENARIO": str(tmp_path / "scenario.toml"),
        "XDG_CONFIG_HOME": str(tmp_path),
    }


@pytest.fixture(autouse=True)
def zone(platform: Platform, scenario: Scenario, unique: str, tmp_path: Path) -> str:
    """A zone with means on the platform, and its scenario as a file."""
    name = scenario.entities()[0]
    (tmp_path / "scenario.toml").write_text(scenario_text(unique))
    asset = platform.assets.create(name, scenario.asset_type)
    now_ms = time.time_ns() // 1_000_000
    platform.telemetry.write(asset, [(now_ms - 2000 * number, {"windSpeed": 40.25 + number}) for number in range(5)])
    return name


@pytest.fixture
def terminal(environ: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(environ=environ, folder=tmp_path)
    yield terminal
    terminal.close()


def test_q_ends_the_view_and_restores_the_terminal(terminal: Terminal, zone: str) -> None:
    seen = terminal.wait_for("40.25") + terminal.wait_for("▁")
    assert OTHER_SCREEN in seen
    assert zone in seen
    assert re.search("[▁▂▃▄▅▆▇█]{5}", seen)
    assert not terminal.is_as_before, "keys come one by one, without echo"
    terminal.press("x")
    terminal.press("\x1b[A")
    terminal.wait_for("40.25")
    terminal.press("q")
    code, rest = terminal.end()
    assert code == 0
    assert BACK in rest
    assert SHOW_CURSOR in rest
    assert "40.25" in rest.split(BACK)[1], "the last view stays"
    assert terminal.is_as_before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_view_and_restore_the_terminal(terminal: Terminal, number: signal.Signals) -> None:
    terminal.wait_for("40.25")
    began = time.monotonic()
    terminal.process.send_signal(number)
    code, rest = terminal.end()
    assert time.monotonic() - began < SOON_SECONDS
    assert code == 130
    assert BACK in rest
    assert SHOW_CURSOR in rest
    assert terminal.is_as_before


def test_ctrl_z_restores_the_terminal_until_it_is_continued(terminal: Terminal) -> None:
    terminal.wait_for("40.25")
    terminal.process.send_signal(signal.SIGTSTP)
    terminal.wait_for(BACK)
    deadline = time.monotonic() + SOON_SECONDS
    while not terminal.is_as_before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert terminal.is_as_before
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_for(OTHER_SCREEN)
    terminal.wait_for("40.25")
    terminal.press("q")
    assert terminal.end()[0] == 0
    assert terminal.is_as_before


def test_the_view_follows_the_size_of_the_terminal(terminal: Terminal) -> None:
    assert "───────→" in terminal.wait_for("40.25")
    terminal.resize(60, 40)
    narrow, lines = "", ["." * 80]
    deadline = time.monotonic() + SOON_SECONDS
    # A frame that was being drawn still has the terminal's former width.
    while "↓" not in narrow or max(map(len, lines)) > 60:
        assert time.monotonic() < deadline, narrow
        narrow = terminal.next_frame()
        lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", narrow).splitlines()
    assert len(lines) <= 40
    assert any("40.25" in line for line in lines), narrow
    terminal.resize(40, 10)
    small = narrow
    while len(small.splitlines()) > 10:
        assert time.monotonic() < deadline + 5
        small = terminal.next_frame()
    assert "40.25" in small, "the means are the last to go"


def test_the_view_ends_after_its_duration(environ: dict[str, str], tmp_path: Path) -> None:
    terminal = Terminal(
        "--duration", "4s", "--interval", "200ms", environ=environ, folder=tmp_path, columns=80, rows=12
    )
    try:
        code, text = terminal.end(15)
    finally:
        terminal.close()
    assert code == 0
    assert "40.25" in text


def test_a_wrong_password_ends_the_view_and_restores_the_terminal(environ: dict[str, str], tmp_path: Path) -> None:
    terminal = Terminal(environ={**environ, "PACIFICTOOL_PASSWORD": "wrong"}, folder=tmp_path)
    try:
        code, text = terminal.end(15)
        assert code == 1
        assert "Error:" in text
        assert terminal.is_as_before
    finally:
        terminal.close()


def test_without_a_terminal_each_snapshot_is_a_plain_line(
    command_line: CommandLine, environ: dict[str, str], zone: str
) -> None:
    outcome = command_line("watch", "--duration", "700ms", "--interval", "200ms", environ=environ)
    assert outcome.code == 0
    lines = outcome.stdout.splitlines()
    assert len(lines) >= 3
    assert all(f"{zone} 40.25 (" in line for line in lines)
    assert "\x1b" not in outcome.stdout


def test_json_is_one_document_per_line(command_line: CommandLine, environ: dict[str, str], zone: str) -> None:
    outcome = command_line("watch", "--duration", "700ms", "--interval", "200ms", "-o", "json", environ=environ)
    documents = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert len(documents) >= 3
    timestamps = [document["ts"] for document in documents]
    assert timestamps == sorted(set(timestamps))
    assert {document["analytics"][0]["groups"][0]["values"]["windSpeed"] for document in documents} == {40.25}


def test_once_prints_one_snapshot(command_line: CommandLine, environ: dict[str, str], zone: str) -> None:
    outcome = command_line("watch", "--once", "-o", "json", environ=environ)
    assert outcome.code == 0
    results = outcome.document["analytics"][0]["groups"][0]["results"]
    assert [result["values"]["windSpeed"] for result in results] == [44.25, 43.25, 42.25, 41.25, 40.25]
    outcome = command_line("watch", "--once", environ=environ)
    assert outcome.code == 0
    assert zone in outcome.stdout
    assert "40.25" in outcome.stdout


def test_once_without_a_platform_fails_with_the_reason(command_line: CommandLine, environ: dict[str, str]) -> None:
    outcome = command_line(
        "watch", "--once", "-o", "json", environ={**environ, "PACIFICTOOL_URL": "http://127.0.0.1:1"}
    )
    assert outcome.code == 1
    assert not outcome.document["ok"]
    assert "cannot be reached" in outcome.document["platform"]["unknown"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--web", "--once"),
        ("--port", "80"),
        ("--no-open",),
        ("--interval", "1ms"),
        ("--duration", "soon"),
        ("--sort", "size"),
        ("--key", "windDirection"),
        ("--web", "--sort", "age"),
    ],
)
def test_contradicting_options_are_rejected(command_line: CommandLine, arguments: tuple[str, ...]) -> None:
    assert command_line("watch", *arguments).code == 2
