"""Wrong clocks, with libfaketime; a time namespace cannot change the wall clock.

As a program, `python faketime.py FILE COMMAND…` is pacifictool on a machine whose clock is a SteppingClock.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Waits are measured on the monotonic clock, which must stay right; otherwise Java's waits end too early and repeat.
_CALENDAR_ONLY = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0", "NO_FAKE_STAT": "1"}
_NOTICED_SECONDS = 0.5


def faketime_environment(offset: str) -> dict[str, str]:
    """The environment of a process whose clock is off by "+1h" or "-1h"."""
    return {"LD_PRELOAD": _library(), "FAKETIME": offset, **_CALENDAR_ONLY}


class SteppingClock:
    """A clock that can be set while programs use it; they notice within a second. It begins with the right time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seconds = 0
        self.set(0)

    def set(self, seconds: int) -> None:
        """Sets the clock ahead by this many seconds."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n", encoding="utf-8")
        new.replace(self.file)
        self.seconds = seconds


def use_stepping_clock(file: Path) -> None:
    """From now on, this process and those that it starts use the SteppingClock of `file`.

    In this process only Python does: libfaketime knows nothing of C11's `cnd_timedwait`, so that the waits of
    librdkafka would come to nothing, which a clock that was really set does not do to them.
    """
    os.environ |= {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        **_CALENDAR_ONLY,
    }
    time.time = _Stepping(time.time, file)


class _Stepping:
    def __init__(self, right: Callable[[], float], file: Path) -> None:
        self._right = right
        self._file = file
        self._ahead = 0
        self._read_at = -1.0

    def __call__(self) -> float:
        if time.monotonic() - self._read_at > _NOTICED_SECONDS:
            self._ahead = int(self._file.read_text(encoding="utf-8"))
            self._read_at = time.monotonic()
        return self._right() + self._ahead


def _library() -> str:
    package = importlib.util.find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    library = Path(package.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    assert library.exists()
    return str(library)


if __name__ == "__main__":
    use_stepping_clock(Path(sys.argv.pop(1)))
    from pacifictool.cli.main import main

    main()
