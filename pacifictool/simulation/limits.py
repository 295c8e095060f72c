"""Limits of the operating system on the number of connections: open files and local ports."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pacifictool.errors import MqttError, UsageError

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
        processes = math.ceil(connections / max(1, hard - _SPARE_DESCRIPTORS))
        raise MqttError(
            f"{connections} connections need {needed} open files; the system allows this process {hard}.",
            hint=f"Raise the hard limit (as root: ulimit -Hn {needed}, or limits.conf), or simulate the fleet in "
            f"several processes, to each of which it applies (--processes {processes}).",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def ensure_ports(connections: int, source_addresses: Sequence[str] = (), range_file: Path = _PORT_RANGE) -> None:
    """Checks that this machine has enough local ports for `connections` to one server: each address has its own.

    The range belongs to the whole machine and is not changed. Raises MqttError, with the command that changes it, and
    UsageError for an address that is not one of this machine's.
    """
    for address in source_addresses:
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.bind((address, 0))
        except OSError as error:
            raise UsageError(
                f"{address!r} is not an IP address of this machine: {error.strerror or error}.",
                hint="--source-address is an address to connect from; `ip address` lists those of this machine.",
            ) from error
    try:
        lowest, highest = map(int, range_file.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return  # not Linux; a missing port is reported when connecting
    addresses = max(1, len(source_addresses))
    ports = (highest - lowest + 1) * addresses
    if connections <= ports:
        return
    widest = (_WIDEST[1] - _WIDEST[0] + 1) * addresses
    of_addresses = f" for each of {addresses} addresses" if addresses > 1 else ""
    raise MqttError(
        f"{connections} connections to one server need as many local ports; the system has {ports} "
        f"({lowest} to {highest}{of_addresses}).",
        hint=f'As root: sysctl -w net.ipv4.ip_local_port_range="{_WIDEST[0]} {_WIDEST[1]}", or simulate fewer devices.'
        if connections <= widest
        else f"There can be {widest} at most: connect from further addresses of this machine (--source-address, "
        "repeatable), or simulate the fleet from several machines (--shard).",
    )
