"""Marks of what runs for long: a command that does keeps one while it runs, and `status` reads those of this user;
of root, those of every user, since services run as users of their own.

A mark is a file in the folder `running` of the state folder. It is believed only when it belongs to this user and names
a process of the same user that is still the one which wrote it, so that neither a crash nor a process id that is used
again shows something that does not run.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from pacifictool.private_files import write_private

FOLDER: Final = "running"
_LIMIT_BYTES: Final = 65_536
_EVERY_SECONDS: Final = 3.0
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class RunningMark:
    """A mark of a process that runs."""

    kind: str
    """"job" or "sandbox"."""
    pid: int
    facts: Mapping[str, Any]
    """What the process says of itself."""


@contextmanager
def marked(state_dir: Path | None, kind: str, facts: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """Keeps a mark of this process in a state folder until the context ends, with what `facts` returns by and by.

    Nothing depends on a mark: where none can be written (None, a full or read-only disk), there is none. Marks that
    killed processes left are removed.
    """
    if state_dir is None:
        yield
        return
    folder, pid = state_dir / FOLDER, os.getpid()
    path = folder / f"{kind}-{pid}.json"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, mark in _marks_in(folder):
            if mark is None:
                (folder / name).unlink(missing_ok=True)
    writer = _Writer(path, {"kind": kind, "pid": pid, "start": _start_of(pid, os.geteuid())}, facts)
    writer.write()
    over = threading.Event()
    thread = threading.Thread(target=writer.keep_writing, args=(over,), name="mark", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


class _Writer:
    """Writes a mark whenever its facts have changed."""

    def __init__(self, path: Path, process: Mapping[str, Any], facts: Callable[[], Mapping[str, Any]]) -> None:
        self._path, self._process, self._facts = path, process, facts
        self._written: Mapping[str, Any] | None = None

    def write(self) -> None:
        facts = dict(self._facts())
        if facts != self._written:
            with contextlib.suppress(OSError):
                write_private(self._path, json.dumps({**self._process, "facts": facts}) + "\n")
                self._written = facts

    def keep_writing(self, over: threading.Event) -> None:
        while not over.wait(_EVERY_SECONDS):
            self.write()


def running_marks(state_dirs: Iterable[Path]) -> list[RunningMark]:
    """The marks in these state folders whose process runs, each process once, by kind and process id."""
    found: dict[tuple[str, int], RunningMark] = {}
    for folder in dict.fromkeys(state_dir.absolute() / FOLDER for state_dir in state_dirs):
        for _, mark in _marks_in(folder):
            if mark is not None:
                found[mark.kind, mark.pid] = mark
    return [found[key] for key in sorted(found)]


def state_dirs_of_processes(variable: str) -> list[Path]:
    """The state folders that processes of this user (for root: of any user) were started with, by variable."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if _may_see(process.uids().effective) and (chosen := process.environ().get(variable)):
                found.append(Path(process.cwd()) / Path(chosen).expanduser())
    return found


def _marks_in(folder: Path) -> Iterator[tuple[str, RunningMark | None]]:
    """The marks of a folder of this user by file name; None for one whose process is gone, or that is none."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not _may_see(os.fstat(handle).st_uid):
            return
        with os.scandir(handle) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            if name.endswith(".json") and not name.startswith("."):
                yield name, _read(handle, name)
    finally:
        os.close(handle)


def _read(folder: int, name: str) -> RunningMark | None:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(file, "rb") as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or not _may_see(status.st_uid):
            return None
        try:
            document = json.loads(opened.read(_LIMIT_BYTES))
            mark = RunningMark(str(document["kind"]), int(document["pid"]), dict(document["facts"]))
            start = str(document["start"])
        except (ValueError, KeyError, TypeError):
            return None
    return mark if _start_of(mark.pid, status.st_uid) == start else None


def _may_see(owner: int) -> bool:
    return os.geteuid() in (owner, 0)


def _start_of(pid: int, user: int) -> str | None:
    """When a process of a user was started, as a text that differs between any two processes; None: there is none.

    On Linux this is the boot and the clock ticks since then, which setting the clock does not change, as it changes
    what psutil computes from them.
    """
    try:
        process = psutil.Process(pid)
        if process.uids().effective != user or process.status() == psutil.STATUS_ZOMBIE:
            return None
        with contextlib.suppress(OSError, IndexError):
            # The name of the program, in brackets, may hold anything (proc_pid_stat(5), field 22).
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return f"{_BOOT.read_text(encoding='ascii').strip()}:{fields[19]}"
        return f"{process.create_time():.0f}"
    except psutil.Error:
        return None
