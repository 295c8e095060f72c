"""Single keys from a terminal, which is given back as it was however the watching ends."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

try:
    import termios
    import tty
except ImportError:  # Windows: Ctrl-C is the way out
    termios = tty = None  # type: ignore[assignment]

QUIT_KEYS = frozenset("qQ\x04\x1b")
"""q, Ctrl-D and Escape."""

_CODES = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O.)")
"""Arrows, function keys and the like."""


class Keyboard:
    """Keys as they are pressed, without echo. Without a terminal there are none."""

    def __init__(self, stream: TextIO) -> None:
        self.asked_to_stand_still = False
        self._before: list[Any] | None = None
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, ValueError):  # a test's StringIO has no descriptor
            self._descriptor = stream.fileno() if termios is not None and stream.isatty() else None

    @property
    def is_there(self) -> bool:
        """Whether there is a terminal to read keys from."""
        return self._descriptor is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within, keys come one by one, and Ctrl-Z waits until `stand_still` is called."""
        if self._descriptor is None:
            yield
            return
        self._before = termios.tcgetattr(self._descriptor)
        previous = signal.signal(signal.SIGTSTP, self._ask)
        try:
            self._take()
            yield
        finally:
            signal.signal(signal.SIGTSTP, previous)
            self._give_back()

    def stand_still(self) -> None:
        """Gives the terminal back and stops this process, as Ctrl-Z asks for; returns when it is continued."""
        self.asked_to_stand_still = False
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        # Not here: the signal may have come in the middle of a line that is being written.
        self.asked_to_stand_still = True

    def _take(self) -> None:
        if self._descriptor is not None:
            tty.setcbreak(self._descriptor, termios.TCSADRAIN)

    def _give_back(self) -> None:
        if self._descriptor is not None and self._before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def pressed(self, seconds: float) -> str:
        """What was pressed within so many seconds; empty for nothing, or without a terminal.

        An arrow or function key is one press, and its text several characters.
        """
        if self._descriptor is None:
            return ""
        with contextlib.suppress(InterruptedError):
            if select.select([self._descriptor], [], [], seconds)[0]:
                return os.read(self._descriptor, 32).decode(errors="replace")
        return ""


def asks_to_quit(keys: str) -> bool:
    """Whether one of the keys means "enough". Escape alone does; as the beginning of another key's code it does not."""
    return bool(QUIT_KEYS & set(_CODES.sub("", keys)))
