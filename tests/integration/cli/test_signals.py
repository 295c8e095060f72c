"""Signals: what was ignored when a command started stays ignored, and an ended simulation says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command_line import kept_variables
from tests.support.mqtt_peer import ScriptedPeer
from tests.support.waiting import wait_until

INTERRUPTED = 130


@contextmanager
def simulating(peer: ScriptedPeer, folder: Path, ignored: Sequence[int] = ()) -> Iterator[subprocess.Popen[str]]:
    """A `simulate` that publishes already, started as `nohup` or a shell would with the signals that they ignore."""

    def set_signals() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-m", "pacifictool", "-q", "-o", "json", "simulate", "--token", "t"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env={**kept_variables(), "PACIFICTOOL_MQTT": f"127.0.0.1:{peer.port}", "PACIFICTOOL_SCENARIO": "s.toml"},
        preexec_fn=set_signals,  # noqa: PLW1509 - this process has threads, but the child only sets signals
    )
    try:
        wait_until(lambda: len(peer.received) > 2)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[ScriptedPeer]:
    (tmp_path / "s.toml").write_text(
        '[forwarding]\ntopic = "t"\ntelemetry = ["x"]\n'
        '[[devices]]\nname = "d"\ntelemetry = { x = { min = 1, max = 2 } }\nrate = 50\n',
        encoding="utf-8",
    )
    with ScriptedPeer() as peer:
        yield peer


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_at_the_start_ends_nothing(
    peer: ScriptedPeer, tmp_path: Path, number: signal.Signals
) -> None:
    others = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM} - {number}
    with simulating(peer, tmp_path, ignored=[number]) as process:
        os.kill(process.pid, number)
        before = len(peer.received)
        wait_until(lambda: len(peer.received) > before + 50)
        assert process.poll() is None
        os.kill(process.pid, min(others))
        assert process.wait(120) == INTERRUPTED


def test_a_simulation_that_a_signal_ended_is_not_complete(peer: ScriptedPeer, tmp_path: Path) -> None:
    with simulating(peer, tmp_path) as process:
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
    summary = json.loads(out)
    assert (process.returncode, summary["complete"], summary["stopped_by"]) == (INTERRUPTED, False, "stop")
    assert summary["lost"] == 0
