"""A clock of one's own for a process and all that it starts, by libfaketime; a time namespace leaves the calendar alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# Waits are measured on the monotonic clock, which stays as it is; else Java waits too short, and in circles.
_CALENDAR_ONLY = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0", "NO_FAKE_STAT": "1"}


def faketime_environment(offset: str) -> dict[str, str]:
    """For a process whose clock is to be off by "+1h" or "-1h"."""
    return {"LD_PRELOAD": _library(), "FAKETIME": offset, **_CALENDAR_ONLY}


class SteppingClock:
    """A clock that is set while processes use it. Right at first."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds = 0
        self.set(0)

    @property
    def environ(self) -> dict[str, str]:
        """For the processes that are to use it. They notice a change within a second."""
        return {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            **_CALENDAR_ONLY,
        }

    def set(self, seconds: int) -> None:
        """From now on it is ahead by so many seconds."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n", encoding="utf-8")
        new.replace(self._file)
        self.seconds = seconds


def _library() -> str:
    package = importlib.util.find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    library = Path(package.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    assert library.exists()
    return str(library)
