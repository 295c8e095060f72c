"""What a program and its descendants offer to others: listening ports and abstract sockets, from /proc."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LISTENING = "0A"
_ACCEPTS = 0x10000  # __SO_ACCEPTCON in /proc/net/unix


@dataclass(frozen=True, order=True)
class OpenSocket:
    """One socket that takes connections (TCP), datagrams (UDP), or has an abstract name (unix)."""

    role: str
    kind: str
    port: int = 0
    name: str = ""


_ROLES = (
    ("pacifictool.sandbox", "platform"),
    ("kafka.Kafka", "broker"),
    ("org.apache.spark.api.python.PythonGatewayServer", "Spark"),
    ("pacifictool simulate", "simulate"),
    ("pacifictool watch", "watch"),
    ("pacifictool aggregate", "job"),
    ("pacifictool demo", "job"),
)


def role_of(process: psutil.Process) -> str:
    """The role of a process, or its command line if unknown."""
    line = " ".join(process.cmdline())
    return next((role for text, role in _ROLES if text in line and "_supervisor.py" not in line), line)


def family(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes and all their descendants."""
    roots = [psutil.Process(pid) for pid in pids]
    return list(dict.fromkeys(each for root in roots for each in (root, *root.children(recursive=True))))


def socket_paths(processes: Iterable[psutil.Process]) -> list[str]:
    """Where in the file system these processes listen."""
    paths = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7].startswith("/") and int(fields[3], 16) & _ACCEPTS:
            paths[fields[6]] = fields[7]
    return sorted({paths[inode] for process in processes for inode in _inodes(process) if inode in paths})


def open_sockets(processes: Iterable[psutil.Process]) -> set[OpenSocket]:
    """All sockets through which others could reach these processes."""
    listening = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if table.startswith("udp") or fields[3] == _LISTENING:
                listening[fields[9]] = (table.rstrip("6"), int(fields[1].rpartition(":")[2], 16), "")
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7].startswith("@") and int(fields[3], 16) & _ACCEPTS:
            listening[fields[6]] = ("unix", 0, fields[7])
    found = set()
    for process in processes:
        try:
            role = role_of(process)
        except psutil.NoSuchProcess:
            continue
        found |= {OpenSocket(role, *listening[inode]) for inode in _inodes(process) if inode in listening}
    return found


def _inodes(process: psutil.Process) -> set[str]:
    """Of the sockets of a process; none when it has ended or closes one meanwhile: the caller lists them again."""
    try:
        links = [str(path.readlink()) for path in Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:
        return set()
    return {match[1] for link in links if (match := _SOCKET.fullmatch(link)) is not None}
