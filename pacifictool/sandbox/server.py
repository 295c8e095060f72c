"""Runs a sandbox in this process: REST and MQTT on the loopback interface, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from pacifictool.errors import PortInUse, SandboxError
from pacifictool.sandbox import auth
from pacifictool.sandbox.auth import load_signing_key
from pacifictool.sandbox.faults import Faults
from pacifictool.sandbox.generation1.platform import Platform1
from pacifictool.sandbox.generation4 import tokens as tokens4
from pacifictool.sandbox.generation4.platform import Platform4
from pacifictool.sandbox.kafka import LoginProperties, no_login
from pacifictool.sandbox.mqtt.server import AdmitsPeer, DeviceApi, MqttServer
from pacifictool.sandbox.store import Store

HOST = "127.0.0.1"
GENERATIONS = (1, 4)
DATABASE, KEY_FILE = "sandbox.db", "signing.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """What a sandbox is started with. Port 0 takes any free port."""

    data_dir: Path
    """An existing folder that only its owner can read."""
    http_port: int = 0
    mqtt_port: int = 0
    generation: int = 1
    """Which servers it behaves like: 1 (1.x) or 4 (4.x). A data folder keeps its generation."""
    access_token_seconds: float | None = None
    refresh_token_seconds: float | None = None
    """None: what servers of the generation do."""
    faults: Faults = field(default_factory=Faults)
    login: LoginProperties = no_login
    """How plugins and nodes log in at the sandbox's own broker."""
    http_protocol: type[asyncio.Protocol]
    """uvicorn's protocol of an HTTP connection, which can turn clients away."""
    admits: AdmitsPeer | None
    """Which MQTT connections are accepted; None: all."""
    wrap: Callable[[ASGIApp, str], ASGIApp]
    """Adds checks and pages to the REST application, given its URL."""
    announce: Callable[[int, int], AbstractContextManager[None]]
    """Given the HTTP and the MQTT port: entered when both accept connections, left when the sandbox stops."""


def serve(config: SandboxConfig) -> None:
    """Serves until SIGTERM or SIGINT. Raises SandboxError or PortInUse if it cannot start."""
    asyncio.run(_serve(config))


def listen(port: int, what: str) -> socket.socket:
    """A listening socket on the loopback interface. Raises PortInUse."""
    # With the protocol left out asyncio would not set TCP_NODELAY, and every REST response would take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortInUse(
                f"Port {port} for the sandbox's {what} is taken by another program.",
                hint="Stop that program, or choose another port (0: any free one).",
            ) from None
        raise SandboxError(f"The sandbox cannot listen on port {port}: {error.strerror}.") from error
    listener.listen(1024)
    return listener


class _UvicornServer(uvicorn.Server):
    """uvicorn without its own signal handling: one signal stops REST and MQTT together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(config: SandboxConfig) -> None:
    _raise_descriptor_limit()
    http, mqtt = listen(config.http_port, "REST API"), listen(config.mqtt_port, "MQTT port")
    platform = _platform(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await platform.start()
    mqtt_server = MqttServer(platform.device_api, config.admits)
    http_port, mqtt_port = http.getsockname()[1], mqtt.getsockname()[1]
    server = _UvicornServer(
        uvicorn.Config(
            config.wrap(platform.application, f"http://{HOST}:{http_port}"),
            http=config.http_protocol,
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
        with config.announce(http_port, mqtt_port):
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait((waiting, serving), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    finally:
        await mqtt_server.close()
        server.should_exit = True
        server.force_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        platform.close()


class SandboxPlatform(Protocol):
    """What a generation puts together."""

    application: Starlette

    @property
    def device_api(self) -> DeviceApi: ...

    async def start(self) -> None:
        """Before serving."""

    def close(self) -> None:
        """After serving."""


def _platform(config: SandboxConfig) -> SandboxPlatform:
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
    is_first = generation == GENERATIONS[0]
    access, refresh = config.access_token_seconds, config.refresh_token_seconds
    defaults = auth if is_first else tokens4
    platform_class = Platform1 if is_first else Platform4
    return platform_class(
        store,
        key,
        access_seconds=defaults.ACCESS_SECONDS if access is None else access,
        refresh_seconds=defaults.REFRESH_SECONDS if refresh is None else refresh,
        faults=config.faults,
        login=config.login,
    )


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
