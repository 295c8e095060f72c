"""The lock on a job's folder: one job at a time. It ends with the process that holds it, however that ends.

The one lock that is not filelock's: two programs that ask `is_held` at once must not take each other for a job, and
filelock has no shared lock on an open file.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

_RETRY_SECONDS: Final = 0.05


def take(folder: Path) -> int:
    """Locks the folder and returns the descriptor that holds the lock. Raises BlockingIOError when a job has it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody who only asks `is_held` lets go at once.
            time.sleep(_RETRY_SECONDS)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.utime(lock)  # says since when: see `held_since_ms`
    except BaseException:
        os.close(lock)
        raise
    return lock


def held_since_ms(folder: Path) -> int | None:
    """When the job that holds the folder now took it, in ms since the epoch; None when there is none."""
    if not is_held(folder):
        return None
    try:
        return (folder / "lock").stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def is_held(folder: Path) -> bool:
    """Whether a job holds the folder now. Asking takes a shared lock for a moment; see `take`."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
