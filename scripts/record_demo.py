"""Makes the pictures of README and documentation from real runs of `demo --fast` and `watch` (`make pictures`).

docs/pictures/demo.svg is an animation of the terminal: the program runs in a pseudo terminal, a terminal emulator
(pyte) renders the screen, and each line becomes a text that is visible for as long as it was on the screen. Viewers
without animation show the last frame. docs/pictures/watch.svg is made in the same way, docs/pictures/report.svg is the
demo's report.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import json
import math
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import pyte

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
COLUMNS, LINES = 92, 38
LONGEST_SECONDS = 24.0
"""A longer run is shortened to this time."""
MIN_FRAME_SECONDS = 0.4
SHORTEST_SECONDS = 0.4
"""In the animation's time: frames that are shorter are left out."""
WATCHED_AFTER_SECONDS = 70.0
"""By then there are some means to show."""
LAST_SECONDS = 8.0
"""How long the last frame is shown before the animation restarts."""

LETTER, LINE, SIZE = 8.43, 19.0, 14.0
COLOURS = {
    "default": "#d6dee6",
    "black": "#3b4652",
    "red": "#ff7b72",
    "green": "#5fd38a",
    "brown": "#e3b341",
    "yellow": "#e3b341",
    "blue": "#79b8ff",
    "magenta": "#d2a8ff",
    "cyan": "#76d9e6",
    "white": "#ffffff",
}

Span = tuple[str, str, bool, bool]
"""Text, colour, bold, dim."""


@dataclass
class Shown:
    """One line of the screen, from when to when."""

    row: int
    spans: tuple[Span, ...]
    begin: float
    end: float | None = None


@dataclass
class Recorder:
    """The screen over time."""

    screen: pyte.Screen
    shown: list[Shown] = field(default_factory=list)
    _now: dict[int, Shown] = field(default_factory=dict)

    def sample(self, at: float) -> None:
        for row in range(self.screen.lines):
            spans = self._spans(row)
            before = self._now.get(row)
            if before is not None and before.spans == spans:
                continue
            if before is not None:
                before.end = at
                del self._now[row]
            if spans:
                self._now[row] = Shown(row, spans, at)
                self.shown.append(self._now[row])

    def _spans(self, row: int) -> tuple[Span, ...]:
        spans: list[Span] = []
        line = self.screen.buffer[row]
        for column in range(self.screen.columns):
            letter = line[column]
            # pyte has no "dim": Rich's dim text comes as it is, and is distinguished by the handling of SGR 2.
            style = (letter.fg, letter.bold, letter.italics)
            if spans and style == spans[-1][1:]:
                spans[-1] = (spans[-1][0] + letter.data, *style)
            else:
                spans.append((letter.data, *style))
        while spans and not spans[-1][0].strip():
            spans.pop()
        return tuple(spans)


def record(command: list[str]) -> Recorder:
    """Runs `command` in a terminal of its own. Exits when it fails."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream, decoder = pyte.Stream(screen), codecs.getincrementaldecoder("utf-8")("replace")
    recorder = Recorder(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    began = looked = time.monotonic()
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # on Linux, the end of a terminal is an error
            break
        if not data:
            break
        # "Dim" is unknown to pyte; italics, which nothing here uses, stand for it.
        stream.feed(decoder.decode(data).replace("\x1b[2m", "\x1b[3m").replace("\x1b[2;", "\x1b[3;"))
        if time.monotonic() - looked >= MIN_FRAME_SECONDS:
            looked = time.monotonic()
            recorder.sample(looked - began)
    recorder.sample(time.monotonic() - began)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        sys.exit(f"{command} failed: {code}")
    return recorder


def draw(recorder: Recorder, title: str) -> str:
    """The moving picture."""
    last = max(shown.begin for shown in recorder.shown)
    speed = max(1.0, last / LONGEST_SECONDS)
    total = last / speed + LAST_SECONDS
    rows = 1 + max(shown.row for shown in recorder.shown)
    width, height = recorder.screen.columns * LETTER + 40, rows * LINE + 64
    lines = "\n".join(_line(shown, speed, total) for shown in _thinned(recorder.shown, SHORTEST_SECONDS * speed))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" xml:space="preserve">
<title>{escape(title)}</title>
<style>text {{ font: {SIZE}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; }}</style>
<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#11161c"/>
<circle cx="20" cy="20" r="6" fill="#ff5f57"/><circle cx="40" cy="20" r="6" fill="#febc2e"/>\
<circle cx="60" cy="20" r="6" fill="#28c840"/>
<text x="{width / 2:.0f}" y="25" fill="#9aa7b4" text-anchor="middle">{escape(title)}</text>
{lines}
</svg>
"""


def _thinned(shown: list[Shown], shortest: float) -> list[Shown]:
    """Without what nobody would see: a line that stood for less than `shortest` s is left to the one before it."""
    kept: list[Shown] = []
    newest: dict[int, Shown] = {}
    for line in shown:
        before = newest.get(line.row)
        if before is not None and before.end == line.begin and (line.end or math.inf) - before.begin < shortest:
            before.end = line.end
            continue
        newest[line.row] = line
        kept.append(line)
    return kept


def _line(shown: Shown, speed: float, total: float) -> str:
    y = 60 + shown.row * LINE
    texts, column = [], 0
    for text, colour, bold, dim in shown.spans:
        letters = text.rstrip() if text.strip() else ""
        if letters:
            blanks = len(letters) - len(letters.lstrip())
            x = 20 + (column + blanks) * LETTER
            attributes = ' font-weight="bold"' if bold else ""
            fill = COLOURS.get(colour, f"#{colour}" if len(colour) == 6 else COLOURS["default"])
            attributes += ' opacity="0.6"' if dim else ""
            length = (len(letters) - blanks) * LETTER
            texts.append(
                f'<text x="{x:.1f}" y="{y:.0f}" fill="{fill}"{attributes} textLength="{length:.1f}">'
                f"{escape(letters.lstrip(), quote=False)}</text>"
            )
        column += len(text)
    begin = shown.begin / speed / total
    end = 1.0 if shown.end is None else shown.end / speed / total
    times = [0.0, begin, end] if end < 1 else [0.0, begin]
    values = ["hidden", "visible", "hidden"][: len(times)]
    return (
        f'<g visibility="{"visible" if shown.end is None else "hidden"}">'
        f'<animate attributeName="visibility" calcMode="discrete" dur="{total:.1f}s" repeatCount="indefinite" '
        f'values="{";".join(values)}" keyTimes="{";".join(f"{at:.4f}" for at in times)}"/>'
        f"{''.join(texts)}</g>"
    )


def watched(program: str) -> Recorder:
    """`watch`, over a sandbox on which all three turbines have been turning for a minute."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        os.environ["PACIFICTOOL_STATE"] = folder
        up = subprocess.run([program, "sandbox", "up", "--free-ports", "-o", "json"], check=True, capture_output=True)
        running.callback(subprocess.run, [program, "-q", "sandbox", "down"], check=True, stdout=subprocess.DEVNULL)
        state = json.loads(up.stdout)
        os.environ |= {f"PACIFICTOOL_{name.upper()}": state[name] for name in ("url", "mqtt", "kafka")}
        subprocess.run([program, "-q", "setup"], check=True, stdout=subprocess.DEVNULL)
        for command in ("aggregate", "simulate"):
            process = subprocess.Popen(
                [program, "-q", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            running.callback(process.wait)
            running.callback(process.send_signal, signal.SIGINT)
        time.sleep(WATCHED_AFTER_SECONDS)
        return record([program, "watch", "--duration", "15s"])


def main() -> int:
    program = str(Path(sys.executable).with_name("pacifictool"))
    os.chdir(PICTURES)  # so that no path of this machine is on the screen
    recorder = record([program, "demo", "--fast", "--report", "report.svg"])
    (PICTURES / "demo.svg").write_text(draw(recorder, "pacifictool demo --fast"), encoding="utf-8")
    (PICTURES / "watch.svg").write_text(draw(watched(program), "pacifictool watch"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
