"""What a power cut may leave of a folder: replays recorded system calls up to a point and loses unsynced data.

A write is safe once its file has been synced after it; a name (created, renamed, removed) once its folder has been.
Anything else may be on the disk, or not, or in part, in any combination: that is what POSIX promises, and disks keep.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SYSTEM_CALLS: Final = (
    "openat,pwrite64,write,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
_SECTOR: Final = 512
_LINE: Final = re.compile(r"^(?:\[pid\s+)?\d+\]?\s+(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)")
_UNFINISHED: Final = re.compile(r"^(?P<pid>\d+)\s+(?P<start>.*) <unfinished \.\.\.>$")
_RESUMED: Final = re.compile(r"^(?P<pid>\d+)\s+<\.\.\. \w+ resumed>(?P<rest>.*)$")
_DESCRIPTOR: Final = re.compile(r"^\w+<(?P<path>[^>]*)>")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Event:
    """A system call that succeeded and touched the folder, or the platform's file."""

    call: str
    path: Path
    data: bytes = b""
    offset: int | None = None
    """None: at the end of the file."""
    target: Path | None = None
    """The new name, of a rename."""


@dataclass
class _File:
    durable: bytes = b""
    pending: list[Event] = field(default_factory=list)

    def apply(self, events: Iterable[Event]) -> bytes:
        content = bytearray(self.durable)
        for event in events:
            if event.call == "ftruncate":
                size = event.offset or 0
                content = content[:size] + bytes(max(0, size - len(content)))
            else:
                at = len(content) if event.offset is None else event.offset
                content += bytes(max(0, at - len(content)))
                content[at : at + len(event.data)] = event.data
        return bytes(content)


def read_trace(path: Path, *folders: Path) -> list[Event]:
    """The events of a trace by strace (-f -y -xx), in the order in which the calls ended, that touch the folders."""
    waiting: dict[str, str] = {}
    events: list[Event] = []
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for raw in lines:
            line = raw.rstrip("\n")
            if (unfinished := _UNFINISHED.match(line)) is not None:
                waiting[unfinished["pid"]] = unfinished["start"]
                continue
            if (resumed := _RESUMED.match(line)) is not None:
                line = f"{resumed['pid']} {waiting.pop(resumed['pid'], '')}{resumed['rest']}"
            event = _event(line)
            if event is not None and any(event.path.is_relative_to(folder) for folder in folders):
                events.append(event)
    return events


def _event(line: str) -> Event | None:
    match = _LINE.match(line)
    if match is None or int(match["result"]) < 0:
        return None
    call, arguments = match["call"], match["arguments"]
    strings = [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(arguments)]
    descriptor = _DESCRIPTOR.match(arguments)
    if call in ("pwrite64", "write", "ftruncate", "fsync", "fdatasync"):
        if descriptor is None:
            return None
        path = Path(_plain(descriptor["path"]))
        if call == "pwrite64":
            return Event("write", path, strings[0][: int(match["result"])], int(arguments.rsplit(",", 1)[1]))
        if call == "write":
            return Event("write", path, strings[0][: int(match["result"])])
        if call == "ftruncate":
            return Event("ftruncate", path, offset=int(arguments.rsplit(",", 1)[1]))
        return Event("sync", path)
    base = Path(_plain(descriptor["path"])) if descriptor is not None else Path("/")
    paths = [base / text.decode("utf-8", "surrogateescape") for text in strings]
    if call == "openat":
        if "O_CREAT" not in arguments:
            return None
        return Event("create", paths[0])
    if call.startswith("rename"):
        return Event("rename", paths[0], target=paths[1])
    if call.startswith(("unlink", "rmdir")):
        return Event("remove", paths[0])
    return Event("mkdir", paths[0])


def _plain(text: str) -> str:
    """A path as `-y` prints it: bytes that are not letters as \\x.."""
    return bytes(text, "latin-1").decode("unicode_escape") if "\\" in text else text


class Disk:
    """The folder as the disk has it after some events."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, _File] = {}
        self._names: dict[Path, _File] = {}
        """Names as programs see them."""
        self._safe_names: dict[Path, _File] = {}
        self._pending_names: list[Event] = []

    def play(self, events: Sequence[Event]) -> None:
        """Applies the events."""
        for event in events:
            if not event.path.is_relative_to(self._folder):
                continue
            if event.call in ("write", "ftruncate"):
                self._names.setdefault(event.path, _File()).pending.append(event)
            elif event.call == "sync":
                self._sync(event.path)
            elif event.call == "create":
                if event.path not in self._names:
                    self._names[event.path] = _File()
                    self._pending_names.append(event)
            elif event.call == "rename":
                assert event.target is not None
                self._names[event.target] = self._names.pop(event.path, _File())
                self._pending_names.append(event)
            elif event.call == "remove":
                self._names.pop(event.path, None)
                self._pending_names.append(event)

    def _sync(self, path: Path) -> None:
        if path in self._names:
            file = self._names[path]
            file.durable, file.pending = file.apply(file.pending), []
            return
        # A folder: the names in it are safe now.
        inside = [each for each in self._pending_names if each.path.parent == path]
        self._pending_names = [each for each in self._pending_names if each.path.parent != path]
        for name in {event.path for event in inside} | {event.target for event in inside if event.target is not None}:
            if name in self._names:
                self._safe_names[name] = self._names[name]
            else:
                self._safe_names.pop(name, None)

    def cut_power(self, into: Path, random_: random.Random) -> None:
        """Writes into the new folder `into` what the disk may hold after a power cut at this moment."""
        names = dict(self._safe_names)
        for event in self._pending_names:
            if random_.random() < 0.5:
                continue
            if event.call == "create" and event.path in self._names:
                names[event.path] = self._names[event.path]
            elif event.call == "rename" and event.target is not None and event.target in self._names:
                names.pop(event.path, None)
                names[event.target] = self._names[event.target]
            elif event.call == "remove":
                names.pop(event.path, None)
        into.mkdir(parents=True, mode=0o700)
        for name, file in names.items():
            path = into / name.relative_to(self._folder)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(file.apply(_survivors(file.pending, random_)))
            path.chmod(0o600)


def _survivors(pending: Sequence[Event], random_: random.Random) -> Iterator[Event]:
    """Some of the writes that were not synced, whole or torn; now and then all of them, or none."""
    share = random_.choice((0.0, 0.2, 0.5, 0.8, 1.0))
    for event in pending:
        if random_.random() >= share:
            continue
        if event.call == "write" and event.data and random_.random() < 0.2:
            kept = random_.randrange(0, len(event.data) + 1, _SECTOR)
            yield Event("write", event.path, event.data[:kept], event.offset)
        else:
            yield event
