"""What a power cut leaves of a job's folder: synced data, and anything in place of the rest.

SQLite syncs its write-ahead log when a transaction ends. Behind the last transaction in the log there may be anything;
the index of the log (-shm), logs, scratch space and files that were about to be renamed are never synced.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Final

STORE: Final = "state.sqlite"
_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_BIG_ENDIAN_MAGIC: Final = 0x377F0683


def tear(folder: Path, random_: random.Random) -> None:
    """Damages what was not synced in the folder of a job that no process uses, and leaves version 0.1's notes there."""
    log, index = folder / f"{STORE}-wal", folder / f"{STORE}-shm"
    if log.exists():
        tear_log(log, random_)
    if index.exists():
        if random_.random() < 0.5:
            index.unlink()
        else:
            index.write_bytes(random_.randbytes(index.stat().st_size))
    unsynced = [path for path in (folder / "tmp").rglob("*") if path.is_file()]
    unsynced += folder.glob("spark*.log")
    for path in unsynced:
        if random_.random() < 0.5:
            with path.open("r+b") as file:
                file.truncate(random_.randint(0, path.stat().st_size))
    (folder / ".pacifictool-folder.json.new").write_bytes(b'{"kind": "chec')
    if random_.random() < 0.5:
        leave_notes_of_version_0_1(folder)


def tear_log(log: Path, random_: random.Random) -> None:
    """Replaces what follows the last complete transaction of a write-ahead log."""
    content = log.read_bytes()
    content = content[: synced_length(content)]
    page_size = _HEADER.unpack_from(content)[2] if content else 4096
    half = random_.randbytes(random_.randint(1, page_size))
    content += random_.choice(
        (
            b"",
            bytes(random_.randint(1, 3 * page_size)),
            random_.randbytes(random_.randint(1, 3 * page_size)),
            # The beginning of a frame, as if its transaction were the last one of the log.
            _FRAME.pack(1, 1, *(_HEADER.unpack_from(content)[4:6] if content else (0, 0)), 1, 2) + half,
        )
    )
    log.write_bytes(content)


def synced_length(content: bytes) -> int:
    """How many bytes of a write-ahead log belong to transactions that have ended. See sqlite.org/fileformat2.html#walformat."""
    if len(content) < _HEADER.size:
        return 0
    magic, _, page_size, _, salt1, salt2, *stored = _HEADER.unpack_from(content)
    order = ">" if magic == _BIG_ENDIAN_MAGIC else "<"
    sums = _checksum(content[:24], order, (0, 0))
    if list(sums) != stored:
        return 0
    length, at = 0, _HEADER.size
    while at + _FRAME.size + page_size <= len(content):
        _, size_after, *salts, sum1, sum2 = _FRAME.unpack_from(content, at)
        page = content[at + _FRAME.size : at + _FRAME.size + page_size]
        sums = _checksum(content[at : at + 8] + page, order, sums)
        if salts != [salt1, salt2] or sums != (sum1, sum2):
            break
        at += _FRAME.size + page_size
        if size_after:
            length = at
    return length


def _checksum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def leave_notes_of_version_0_1(folder: Path) -> None:
    """Spark's notes and the state store of an earlier version next to the new one, torn: nothing may be read from them."""
    for name in ("metadata", "sources/0/0", "offsets/0", "offsets/1", "commits/0"):
        path = folder / "spark" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (folder / "ledger.sqlite").write_bytes(b"SQLite format 3\0" + bytes(84))
