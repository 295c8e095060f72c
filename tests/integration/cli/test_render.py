from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence

import pytest

from pacifictool.local.stack import LocalStack
from tests.support.command_line import variables_of

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_terminal(stack: LocalStack, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, str, int]:
    """Runs the program with a terminal of 100 columns as stdout and stderr; returns both together, raw and plain."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pacifictool", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**clean, "TERM": "xterm-256color", **variables_of(stack), **environ},
    )
    os.close(slave)
    pieces = []
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(master)
    raw = b"".join(pieces).decode()
    return raw, _CONTROL.sub("", raw), process.wait(30)


def test_a_terminal_gets_progress_bars_and_colours(stack: LocalStack) -> None:
    raw, plain, code = on_terminal(stack, ["setup", "--dry-run"], {})
    assert code == 0
    assert "\x1b[?25l" in raw  # Rich hides the cursor while a bar moves
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")
    assert "Comparing the scenario with the server" in plain
    assert "━" in plain or "0/" in plain
    assert "10 to create" in plain or "unchanged" in plain
    error, _, code = on_terminal(stack, ["device", "token", "nosuch"], {})
    assert code == 1
    assert "\x1b[1;31m" in error


@pytest.mark.parametrize(("arguments", "environ"), [((), {"NO_COLOR": "1"}), (("--no-color",), {})])
def test_no_color_takes_the_colours_away(
    stack: LocalStack, arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    raw, plain, code = on_terminal(stack, ["device", "token", "nosuch", *arguments], environ)
    assert code == 1
    assert "Error: There is no device 'nosuch'" in plain
    assert re.search(r"\x1b\[(?:\d+;)*(?:3[0-7]|38|9[0-7])(?:;|m)", raw) is None


def test_a_dumb_terminal_gets_plain_lines(stack: LocalStack) -> None:
    raw, _, code = on_terminal(stack, ["setup", "--dry-run"], {"TERM": "dumb"})
    assert code == 0
    assert "Comparing the scenario with the server …" in raw
    assert "\x1b" not in raw


def test_quiet_draws_no_bars(stack: LocalStack) -> None:
    raw, _, code = on_terminal(stack, ["setup", "--dry-run", "-q"], {})
    assert code == 0
    assert "Comparing" not in raw
    assert "\x1b[?25l" not in raw
