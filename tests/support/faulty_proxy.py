"""A TCP proxy on the loopback interface that can be made to reset connections, swallow data, or respond itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from enum import Enum, auto
from typing import Self


class _Mode(Enum):
    PASS = auto()
    BREAK_OFF = auto()
    SWALLOW = auto()
    RESPOND = auto()


class Connection:
    """One client's connection and, while it is passed on, the one to the server behind it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.is_dead = False
        """It swallows for ever, like a peer whose cable was cut; healing the proxy does not change that."""

    def abort(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                writer.transport.abort()


class FaultyProxy:
    """Passes on by default; see `break_off`, `swallow`, `respond` and `heal`, which act at once.

    `target_port` may be changed; new connections go there.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        self.target_port = target_port
        self.port = port
        self.responded = 0
        """Requests to which the proxy responded itself."""
        self._mode = _Mode.PASS
        self._response = b""
        self._connections: set[Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-proxy", daemon=True)
        self._server: asyncio.Server

    def __enter__(self) -> Self:
        # Aborted connections are intended; asyncio need not report them.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", self.port), self._loop
        ).result(60)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def heal(self) -> None:
        """Passes on new connections again."""
        self._switch(_Mode.PASS)

    def break_off(self) -> None:
        """Resets every connection, new ones as soon as they are made."""
        self._switch(_Mode.BREAK_OFF)

    def swallow(self) -> None:
        """Keeps connections open and passes on nothing in either direction."""
        self._switch(_Mode.SWALLOW)

    def respond(self, status: int, message: str = "injected") -> None:
        """Responds to every HTTP request with this status in the platform's form; none reaches the server."""
        body = json.dumps({"status": status, "message": message, "errorCode": 10, "timestamp": 0}).encode()
        lines = [f"HTTP/1.1 {status} Trouble", f"Content-Length: {len(body)}", "Content-Type: application/json"]
        self._response = "\r\n".join([*lines, "", ""]).encode() + body
        self._switch(_Mode.RESPOND)

    def _switch(self, mode: _Mode) -> None:
        def act() -> None:
            self._mode = mode
            for connection in list(self._connections):
                if mode is _Mode.SWALLOW:
                    connection.is_dead = True
                elif mode is not _Mode.PASS:
                    connection.abort()

        self._loop.call_soon_threadsafe(act)

    async def _end(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(writer)
        self._connections.add(connection)
        try:
            if self._mode is _Mode.BREAK_OFF:
                return
            if self._mode is _Mode.RESPOND:
                await self._respond_to_all(reader, writer)
                return
            connection.is_dead = self._mode is _Mode.SWALLOW
            if connection.is_dead:
                await _swallow(reader)
                return
            server_reader, connection.server = await asyncio.open_connection("127.0.0.1", self.target_port)
            await asyncio.gather(
                self._pump(connection, reader, connection.server), self._pump(connection, server_reader, writer)
            )
        except OSError:
            pass  # Nothing listens behind the proxy, or one side has gone.
        finally:
            connection.abort()
            self._connections.discard(connection)

    async def _pump(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if connection.is_dead:
                continue
            writer.write(data)
            await writer.drain()
        if connection.is_dead:
            # The other side does not learn of the end either.
            await asyncio.Event().wait()
        connection.abort()

    async def _respond_to_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.partition(b":")[2]))
                self.responded += 1
                writer.write(self._response)
                await writer.drain()


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
    await asyncio.Event().wait()
