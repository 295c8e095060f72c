"""Free TCP ports on the loopback interface, and sockets that listen for our own servers."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from pacifictool.errors import PortInUse, UsageError

LOOPBACK = "127.0.0.1"
_BACKLOG = 128


def free_port() -> int:
    """A port of 127.0.0.1 that is free now. Another process may take it before you do: be ready to try again."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that are free now."""
    with ExitStack() as held:
        # All are held until the last is known, so that no port is handed out twice.
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind((LOOPBACK, 0))
        return [int(listener.getsockname()[1]) for listener in sockets]


def check_port_free(port: int, what: str) -> None:
    """Raises PortInUse when `what` ("the Kafka broker") could not listen on 127.0.0.1:`port`."""
    with socket.socket() as listener:
        # As servers do: connections of an earlier run in TIME_WAIT must not prevent it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(1)
        except PermissionError as error:
            raise PortInUse(
                f"Port {port} for {what} may not be used: the system reserves it for privileged programs.",
                hint="Choose a port above 1023.",
                port=port,
            ) from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortInUse(
                f"Port {port} for {what} is taken by another program.",
                hint="Stop that program, or choose another port (0: any free one).",
                port=port,
            ) from error


def listen(host: str, port: int, *, what: str, option: str, hint: str) -> socket.socket:
    """A socket on which a server of ours ("the page") listens; port 0: any free one.

    `option` gave the host, `hint` says how another port is chosen. Raises PortInUse; UsageError for an address that
    this machine does not have.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UsageError(
            f"{option}: {host!r} is not an address of this machine.", hint="For example 127.0.0.1."
        ) from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortInUse(f"Port {port} for {what} is already in use.", hint=hint, port=port) from None
        raise UsageError(
            f"{option}: cannot listen on {host}: {error.strerror or error}.", hint="For example 127.0.0.1."
        ) from None
    return listener
