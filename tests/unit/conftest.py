"""A unit test starts no process and needs no network: the folder has to run in seconds, many times a day, anywhere."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

_FOLDER = Path(__file__).parent


def _refuse(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("A unit test starts no process. Move this test to the same folder below tests/integration.")


def _loopback_only(connect: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def checked(connection: socket.socket, address: Any) -> Any:
        if connection.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
            pytest.fail(f"A unit test needs no network: {address}. Move this test below tests/integration.")
        return connect(connection, address)

    return checked


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Also during set-up: session fixtures start before any function's fixture could refuse it."""
    if not item.path.is_relative_to(_FOLDER):
        return (yield)  # the hook is called for the tests of all folders
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", _refuse)
        for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp"):
            patch.setattr(os, name, _refuse, raising=False)
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _loopback_only(getattr(socket.socket, name)))
        return (yield)
