"""Single keys from a terminal, which is given back as it was however the watching ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

try:
    import termios
    import tty
except ImportError:  # Windows: Ctrl-C is the way out
    termios = tty = None  # type: ignore[assignment]

QUIT_KEYS = frozenset("qQ\x04\x1b")
"""q, Ctrl-D and Escape."""


class Keyboard:
    """Keys as they are pressed, without echo. Without a terminal there are none."""

    def __init__(self, stream: TextIO) -> None:
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, ValueError):  # a test's StringIO has no descriptor
            self._descriptor = stream.fileno() if termios is not None and stream.isatty() else None

    @property
    def is_there(self) -> bool:
        """Whether there is a terminal to read keys from."""
        return self._descriptor is not None

    @contextlib.contextmanager
    def listening(self, *, suspend: Callable[[], None], resume: Callable[[], None]) -> Iterator[None]:
        """Within, keys come one by one. On Ctrl-Z calls `suspend`, gives the terminal back, and `resume` afterwards."""
        if self._descriptor is None:
            yield
            return
        descriptor, before = self._descriptor, termios.tcgetattr(self._descriptor)

        def stop(number: int, _frame: FrameType | None) -> None:
            suspend()
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            # Here the process stands still until it is continued.
            signal.signal(number, stop)
            tty.setcbreak(descriptor, termios.TCSADRAIN)
            resume()

        previous = signal.signal(signal.SIGTSTP, stop)
        try:
            tty.setcbreak(descriptor, termios.TCSADRAIN)
            yield
        finally:
            signal.signal(signal.SIGTSTP, previous)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

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
    return keys in QUIT_KEYS or (not keys.startswith("\x1b") and bool(QUIT_KEYS & set(keys)))
