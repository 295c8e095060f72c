"""Bounds the logs that processes of ours write."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

LOG_LIMIT_BYTES: Final = 10_000_000


def bound_log(path: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> bool:
    """Once a log is larger than the limit, its content becomes PATH.1, and it begins again. Returns whether it did so.

    The writers need not know: they append (O_APPEND) to the same file. What they write in that moment may be missing.
    Nothing is raised: where a log cannot be copied, as on a full disk, it is only emptied.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
        older = path.with_name(f"{path.name}.1")
        with contextlib.suppress(OSError), path.open("rb") as source:
            source.seek(-limit_bytes, os.SEEK_END)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(older, flags, 0o600), "wb") as target:
                target.write(source.read(limit_bytes))
        os.truncate(path, 0)
    except OSError:
        return False
    return True
