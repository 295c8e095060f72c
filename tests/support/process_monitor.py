"""Watches a command and everything it starts: arguments, environments, listening sockets, and the files it leaves."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pacifictool.settings import is_loopback

_LOOK_EVERY_SECONDS = 0.1


@dataclass
class Observation:
    """What a command looks like from outside."""

    code: int = 0
    stdout: str = ""
    stderr: str = ""
    arguments: set[str] = field(default_factory=set)
    """Each process's command line, joined by spaces, of the command and its descendants."""
    listening: set[tuple[str, str, int]] = field(default_factory=set)
    """(process name, address, port) of each listening socket."""
    found: dict[str, str] = field(default_factory=dict)
    """Where a forbidden text was found while the command ran, by text."""

    def beyond_loopback(self) -> set[tuple[str, str, int]]:
        """The listening sockets that another machine could reach."""
        return {socket for socket in self.listening if not is_loopback(socket[1].removeprefix("::ffff:"))}


def observe(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path,
    forbidden: Sequence[str] = (),
    stdin: str = "",
    timeout_seconds: float = 500,
) -> Observation:
    """Runs `pacifictool` with `arguments` in `folder` under the usual umask and observes it from outside.

    `forbidden` texts are also searched in the files below `folder` while it runs: some do not outlive it.
    """
    observation = Observation()
    with (folder / "stdout").open("w+") as out, (folder / "stderr").open("w+") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "pacifictool", *arguments],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            env=dict(environ),
            cwd=folder,
            umask=0o022,
        )
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(stdin.encode())
        ended = threading.Event()
        searching = threading.Thread(target=_search, args=(folder, forbidden, ended, observation.found))
        searching.start()
        deadline = time.monotonic() + timeout_seconds
        try:
            while process.poll() is None and time.monotonic() < deadline:
                look_at(process.pid, observation)
                time.sleep(_LOOK_EVERY_SECONDS)
            if process.poll() is None:
                raise TimeoutError(f"{arguments} did not end: {(folder / 'stderr').read_text()}")
        finally:
            ended.set()
            searching.join()
            if process.poll() is None:
                process.terminate()
            observation.code = process.wait(60)
    observation.stdout, observation.stderr = (folder / "stdout").read_text(), (folder / "stderr").read_text()
    return observation


def look_at(pid: int, observation: Observation) -> None:
    """Notes command lines and listening sockets of a process and its descendants."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            observation.arguments.add(" ".join(process.cmdline()))
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    observation.listening.add((process.name(), connection.laddr.ip, connection.laddr.port))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue


def _search(folder: Path, forbidden: Sequence[str], ended: threading.Event, found: dict[str, str]) -> None:
    while not ended.wait(0.2):
        found |= texts_in(folder, forbidden)


def texts_in(folder: Path, texts: Sequence[str]) -> dict[str, str]:
    """In which file below `folder` each text is found, as UTF-8 or UTF-16; texts that are in none are left out."""
    found = {}
    for path in files_below(folder):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # gone meanwhile
        for text in texts:
            if text.encode() in content or text.encode("utf-16-le") in content:
                found[text] = str(path)
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """Every regular file."""
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).is_file() and not path.is_symlink())


def open_to_others(folder: Path) -> list[str]:
    """Files and folders from `folder` down, itself included, that someone else may read, by path and mode.

    A folder that others cannot enter protects what is below it.
    """
    mode = stat.S_IMODE(folder.lstat().st_mode)
    if stat.S_ISLNK(folder.lstat().st_mode) or not mode & 0o077:
        return []
    open_ones = [f"{folder} {mode:o}"]
    if folder.is_dir():
        for path in folder.iterdir():
            open_ones += open_to_others(path)
    return open_ones
