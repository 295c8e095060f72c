"""Runs a sandbox in this process: REST and MQTT on the loopback interface, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from pacifictool.errors import PortInUse, SandboxError
from pacifictool.private_files import write_private
from pacifictool.runtime.guarded_http import guarded_http
from pacifictool.runtime.local_requests import LocalRequestsOnly
from pacifictool.runtime.own_folder import PLATFORM, claim
from pacifictool.runtime.peer import PeerCheck
from pacifictool.sandbox import auth
from pacifictool.sandbox.auth import load_signing_key
from pacifictool.sandbox.broker_login import BrokerLogin
from pacifictool.sandbox.generation1.platform import Platform1
from pacifictool.sandbox.generation4 import tokens as tokens4
from pacifictool.sandbox.generation4.platform import Platform4
from pacifictool.sandbox.http import Faults
from pacifictool.sandbox.mqtt.server import DeviceApi, MqttServer
from pacifictool.sandbox.page import PageReference, WithPage
from pacifictool.sandbox.store import Store

_log = logging.getLogger("pacifictool.sandbox")

HOST = "127.0.0.1"
GENERATIONS = (1, 4)
DATABASE, KEY_FILE = "sandbox.db", "signing.key"


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What a sandbox is started with. Port 0 means any free one; the ready file tells which."""

    data_dir: Path
    http_port: int = 0
    mqtt_port: int = 0
    ready_file: Path | None = None
    """Written when both ports answer: `{"http_port": …, "mqtt_port": …, "pid": …}`; removed when the sandbox stops."""
    generation: int = 1
    """Which servers it behaves like: 1 (1.x) or 4 (4.x). A data folder stays with the generation it began with."""
    access_token_seconds: float | None = None
    refresh_token_seconds: float | None = None
    """None: what servers of the generation do."""
    faults: Faults = field(default_factory=Faults)
    page: PageReference | None = None
    """What `GET /` shows; None: nothing, as a server without UI."""
    login: BrokerLogin = field(default_factory=BrokerLogin)
    """How plugins and nodes log in at the sandbox's own broker."""
    shared: bool = False
    """Whether other users of this machine are let in, too."""


def serve(config: SandboxConfig) -> None:
    """Serves until SIGTERM or SIGINT. Raises SandboxError and PortInUse when it cannot start."""
    asyncio.run(_serve(config))


def listen(port: int, what: str) -> socket.socket:
    """A listening socket on the loopback interface. Raises PortInUse."""
    # With the protocol left out asyncio would not set TCP_NODELAY, and every REST answer would take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortInUse(
                f"Port {port}, wanted for the sandbox's {what}, is taken.",
                hint="Stop what uses it, or choose another port (0 takes any free one).",
            ) from None
        raise SandboxError(f"The sandbox cannot listen on port {port}: {error.strerror}.") from error
    listener.listen(1024)
    return listener


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handling: one signal stops REST and MQTT together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(config: SandboxConfig) -> None:
    _prepare_folder(config.data_dir)
    _raise_descriptor_limit()
    http, mqtt = listen(config.http_port, "REST API"), listen(config.mqtt_port, "MQTT port")
    platform = _platform(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await platform.start()
    check = None if config.shared else PeerCheck("the sandbox", _log.warning)
    mqtt_server = MqttServer(platform.device_api, check)
    http_port, mqtt_port = http.getsockname()[1], mqtt.getsockname()[1]
    application: ASGIApp = platform.application
    if config.page is not None:
        application = WithPage(application, config.page, f"http://{HOST}:{http_port}")
    server = _Uvicorn(
        uvicorn.Config(
            LocalRequestsOnly(application),
            http=guarded_http(check),
            lifespan="off",
            log_level="warning",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
            server_header=False,
            backlog=1024,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[http]))
    try:
        await mqtt_server.start(mqtt)
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.005)
        _write_ready_file(config.ready_file, http_port, mqtt_port)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait((waiting, serving), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    finally:
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)
        await mqtt_server.close()
        server.should_exit = True
        server.force_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        platform.close()


class Platform(Protocol):
    """What a generation puts together."""

    application: Starlette

    @property
    def device_api(self) -> DeviceApi: ...

    async def start(self) -> None:
        """Before serving."""

    def close(self) -> None:
        """After serving."""


def _platform(config: SandboxConfig) -> Platform:
    """Raises SandboxError for a folder of another generation."""
    store = Store(config.data_dir / DATABASE)
    is_new = store.meta("installed") is None
    generation = config.generation if is_new else int(store.meta("generation") or 1)
    if generation != config.generation:
        store.close()
        raise SandboxError(
            f"{config.data_dir} holds a sandbox of generation {generation}, not {config.generation}.",
            hint=f"Start it with --generation {generation}, reset it, or use another --data folder.",
        )
    store.set_meta("generation", str(generation))
    key = load_signing_key(config.data_dir / KEY_FILE)
    lives = config.access_token_seconds, config.refresh_token_seconds
    if generation == GENERATIONS[0]:
        access, refresh = _lives(lives, auth.ACCESS_SECONDS, auth.REFRESH_SECONDS)
        return Platform1(
            store, key, access_seconds=access, refresh_seconds=refresh, faults=config.faults, login=config.login
        )
    access, refresh = _lives(lives, tokens4.ACCESS_SECONDS, tokens4.REFRESH_SECONDS)
    return Platform4(
        store, key, access_seconds=access, refresh_seconds=refresh, faults=config.faults, login=config.login
    )


def _lives(given: tuple[float | None, float | None], access: float, refresh: float) -> tuple[float, float]:
    return access if given[0] is None else given[0], refresh if given[1] is None else given[1]


def _prepare_folder(folder: Path) -> None:
    try:
        claim(folder, PLATFORM)
    except OSError as error:
        raise SandboxError(f"The sandbox's data folder {folder} cannot be used: {error.strerror}.") from error


def _raise_descriptor_limit() -> None:
    """A connection is a descriptor, and the usual soft limit of 1,024 is soon reached."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _write_ready_file(path: Path | None, http_port: int, mqtt_port: int) -> None:
    if path is None:
        return
    text = json.dumps({"http_port": http_port, "mqtt_port": mqtt_port, "pid": os.getpid()})
    write_private(path, text)
