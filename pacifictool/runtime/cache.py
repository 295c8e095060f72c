"""The folders for downloads and state, and how a full or read-only disk is distinguished from other failures."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pacifictool.errors import RuntimeMissing, StorageFull
from pacifictool.tools.folders import expanded, required_folder

CACHE_VARIABLE = "PACIFICTOOL_CACHE"
STATE_VARIABLE = "PACIFICTOOL_STATE"

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that mean: no space. EFBIG is raised at the process's own limit of file sizes (ulimit -f)."""

_FULL_DISK_WORDS = ("No space left on device", "Disk quota exceeded", "File too large")
"""The same errors in Java's messages, which are the C library's texts."""

_NEXT_TO_NOTHING_BYTES = 256 * 1024


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """The folder for verified jars and the Java shim: $PACIFICTOOL_CACHE, else the user's cache folder."""
    if chosen := environ.get(CACHE_VARIABLE):
        return expanded(chosen).absolute()
    return required_folder("cache", CACHE_VARIABLE)


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """The folder for checkpoints and the sandbox: $PACIFICTOOL_STATE, else the user's state folder."""
    if chosen := environ.get(STATE_VARIABLE):
        return expanded(chosen)
    return required_folder("state", STATE_VARIABLE)


def disk_is_full(folder: Path, log: str) -> bool:
    """Whether a program failed because the disk of `folder` is full; its log says so, if the log had space left."""
    if any(words in log for words in _FULL_DISK_WORDS):
        return True
    try:
        return shutil.disk_usage(folder).free < _NEXT_TO_NOTHING_BYTES
    except OSError:
        return False  # The folder itself is gone.


def storage_full(folder: Path, purpose: str) -> StorageFull:
    """The error for a disk without space below `folder`; `purpose` says what was being written ("the jar cache")."""
    return StorageFull(
        f"No space is left for {purpose} in {folder}.",
        hint=f"Free some space there, or choose another folder (for downloads: {CACHE_VARIABLE}=FOLDER).",
        folder=str(folder),
    )


@contextmanager
def writing(folder: Path, purpose: str) -> Iterator[None]:
    """Turns an OSError of the block into StorageFull, or RuntimeMissing where the folder cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise storage_full(folder, purpose) from error
        raise RuntimeMissing(
            f"{purpose[0].upper()}{purpose[1:]} in {folder} cannot be written: {error.strerror or error}.",
            hint=f"Make the folder writable, or choose another (for downloads: {CACHE_VARIABLE}=FOLDER).",
            folder=str(folder),
        ) from error
