"""The live view on a terminal: redrawn at every interval, ended by a key. The terminal is restored however it ends."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import monotonic
from types import FrameType
from typing import Any, TextIO

from rich.live import Live

from pacifictool.console import Console
from pacifictool.watch.choice import EVERYTHING, SORTS, Choice
from pacifictool.watch.collector import Collector
from pacifictool.watch.terminal import ALARM_ROWS, fitted, view

try:
    import termios
    import tty
except ImportError:  # Windows: Ctrl-C ends the view
    termios = tty = None  # type: ignore[assignment]

_POLL_SECONDS = 0.1
_FINAL_ROWS = 50
"""Groups and devices of the last view, which stays on the terminal."""

QUIT_KEYS = frozenset("qQ\x04\x1b")
"""q, Ctrl-D and Escape."""

_CODES = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O.)")
"""Arrows, function keys and the like."""


class Screen:
    """Uses the whole terminal while it runs; the last view stays on it afterwards."""

    def __init__(self, stdout: TextIO, stdin: TextIO, *, colour: bool, choice: Choice = EVERYTHING) -> None:
        """`choice`: the groups to show first; keys change it."""
        self._console = Console(stdout, colour=colour)
        self._keyboard = Keyboard(stdin)
        self._choice = choice

    def run(self, collector: Collector, interval_seconds: float, stop: threading.Event, deadline: float | None) -> None:
        """Runs until q is pressed, `stop` is set, or `deadline` (monotonic seconds). Raises AuthenticationFailed."""
        console = self._console
        live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

        with self._keyboard.listening(), live:
            self._loop(collector, live, interval_seconds, stop, deadline)
        console.print(
            view(collector.snapshot(), width=console.width, rows=_FINAL_ROWS, alarms=ALARM_ROWS, choice=self._choice)
        )

    def _loop(
        self,
        collector: Collector,
        live: Live,
        interval_seconds: float,
        stop: threading.Event,
        deadline: float | None,
    ) -> None:
        due, drawn_for = 0.0, self._console.size
        while not stop.is_set() and (deadline is None or monotonic() < deadline):
            collector.raise_failure()
            if monotonic() >= due or self._console.size != drawn_for:
                # Until every part has responded once, each response is shown immediately.
                due = monotonic() + (interval_seconds if collector.has_polled_all else _POLL_SECONDS)
                drawn_for = self._console.size
                snapshot = collector.snapshot()
                hint = hint_of(self._choice, len(snapshot.platform.analytics))
                live.update(fitted(snapshot, self._console, hint, self._choice), refresh=True)
            if self._keyboard.suspend_requested:
                live.stop()
                self._keyboard.suspend()
                live.start()
                due = 0.0
            if self._keyboard.is_available:
                keys = self._keyboard.pressed(_POLL_SECONDS)
                if asks_to_quit(keys):
                    return
                changed = changed_choice(self._choice, keys, collector.analytics)
                if changed != self._choice:
                    self._choice, due = changed, 0.0
            else:
                stop.wait(_POLL_SECONDS)


def hint_of(choice: Choice, analytics: int) -> str:
    """What the keys do."""
    order = "" if choice.sort == "scenario" else f" ({choice.sort})"
    return "q quits, " + ("a analytics, " if analytics > 1 else "") + f"s sort{order}"


def changed_choice(choice: Choice, keys: str, analytics: Sequence[str]) -> Choice:
    """`choice` after these keys: a shows the next analytics, s sorts in the next way."""
    for key in _CODES.sub("", keys).lower():
        if key == "s":
            choice = replace(choice, sort=SORTS[(SORTS.index(choice.sort) + 1) % len(SORTS)])
        elif key == "a" and len(analytics) > 1:
            names = [None, *analytics]
            choice = replace(choice, analytics=names[(names.index(choice.analytics) + 1) % len(names)])
    return choice


class Keyboard:
    """Single keys as they are pressed, without echo. Without a terminal there are none."""

    def __init__(self, stream: TextIO) -> None:
        self.suspend_requested = False
        self._before: list[Any] | None = None
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, ValueError):  # a test's StringIO has no descriptor
            self._descriptor = stream.fileno() if termios is not None and stream.isatty() else None

    @property
    def is_available(self) -> bool:
        """Whether there is a terminal to read keys from."""
        return self._descriptor is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within this context keys come one by one, and Ctrl-Z waits until `suspend` is called."""
        if self._descriptor is None:
            yield
            return
        self._before = termios.tcgetattr(self._descriptor)
        previous = signal.signal(signal.SIGTSTP, self._request_suspend)
        try:
            self._set_raw()
            yield
        finally:
            signal.signal(signal.SIGTSTP, previous)
            self._restore()

    def suspend(self) -> None:
        """Restores the terminal and stops this process, as Ctrl-Z does; returns when it is continued."""
        self.suspend_requested = False
        self._restore()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._set_raw()

    def _request_suspend(self, _number: int, _frame: FrameType | None) -> None:
        # Not here: the signal may interrupt a line that is being written.
        self.suspend_requested = True

    def _set_raw(self) -> None:
        if self._descriptor is not None:
            tty.setcbreak(self._descriptor, termios.TCSADRAIN)

    def _restore(self) -> None:
        if self._descriptor is not None and self._before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def pressed(self, seconds: float) -> str:
        """The keys pressed within that time; empty for none. An arrow or function key is several characters."""
        if self._descriptor is None:
            return ""
        with contextlib.suppress(InterruptedError):
            if select.select([self._descriptor], [], [], seconds)[0]:
                return os.read(self._descriptor, 32).decode(errors="replace")
        return ""


def asks_to_quit(keys: str) -> bool:
    """Whether one of the keys is in QUIT_KEYS; an Escape that begins the code of another key is not."""
    return bool(QUIT_KEYS & set(_CODES.sub("", keys)))
