"""Limits of the operating system on the number of connections: open files and local ports."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pacifictool.errors import MqttError

_SPARE_DESCRIPTORS: Final = 64
_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_WIDEST: Final = (1024, 65_535)


def ensure_descriptors(connections: int) -> None:
    """Raises the limit of open files of this process so that `connections` fit.

    Raises MqttError, with the command to run, when the hard limit is too low.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    needed = connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise MqttError(
            f"{connections} connections need {needed} open files; the system allows this process {hard}.",
            hint=f"Raise the hard limit (as root: ulimit -Hn {needed}, or limits.conf), or simulate fewer devices.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def ensure_ports(connections: int, range_file: Path = _PORT_RANGE) -> None:
    """Checks that this machine has enough local ports for `connections` to one server.

    The range belongs to the whole machine and is not changed. Raises MqttError, with the command that changes it.
    """
    try:
        lowest, highest = map(int, range_file.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return  # not Linux; a missing port is reported when connecting
    ports = highest - lowest + 1
    if connections <= ports:
        return
    widest = _WIDEST[1] - _WIDEST[0] + 1
    raise MqttError(
        f"{connections} connections to one server need as many local ports; the system has {ports} "
        f"({lowest} to {highest}).",
        hint=f'As root: sysctl -w net.ipv4.ip_local_port_range="{_WIDEST[0]} {_WIDEST[1]}", or simulate fewer devices.'
        if connections <= widest
        else f"One machine has {widest} at most: simulate the fleet from several machines.",
    )
