"""Whether an address accepts TCP connections."""

from __future__ import annotations

import socket


def connection_error(host: str, port: int, timeout_seconds: float) -> str | None:
    """Why no connection could be opened, as the end of a sentence; None when one could."""
    try:
        socket.create_connection((host, port), timeout=timeout_seconds).close()
    except socket.gaierror:
        return f"the name {host} has no address"
    except TimeoutError:
        return f"no response within {timeout_seconds:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None
