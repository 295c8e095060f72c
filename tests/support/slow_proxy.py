"""A proxy in front of a server whose responses come late: every one over HTTP, all of them now and then over MQTT."""

from __future__ import annotations

import asyncio
import random

from tests.support.faulty_proxy import Connection, FaultyProxy

_PUBACK = 4


class SlowProxy(FaultyProxy):
    """Passes on at once what clients send, and what the server responds up to `longest_seconds` late, in its order."""

    def __init__(self, target_port: int, *, seed: int, longest_seconds: float) -> None:
        super().__init__(target_port)
        self._random = random.Random(seed)
        self._longest_seconds = longest_seconds
        self.delayed = 0
        """Pieces that came late."""

    async def _pump(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer is not connection.client:
            await super()._pump(connection, reader, writer)
            return
        pieces: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        await asyncio.gather(self._receive(reader, pieces), self._pass_on(writer, pieces))
        connection.abort()

    async def _receive(self, reader: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes] | None]) -> None:
        while data := await reader.read(65536):
            seconds = self._delay()
            self.delayed += seconds > 0
            pieces.put_nowait((asyncio.get_running_loop().time() + seconds, data))
        pieces.put_nowait(None)

    async def _pass_on(self, writer: asyncio.StreamWriter, pieces: asyncio.Queue[tuple[float, bytes] | None]) -> None:
        while (piece := await pieces.get()) is not None:
            due, data = piece
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            if data := self._kept(data):
                writer.write(data)
                await writer.drain()

    def _delay(self) -> float:
        """Mostly short: a quarter of the longest on average."""
        return float(self._longest_seconds * self._random.random() ** 3)

    def _kept(self, data: bytes) -> bytes:
        return data


class SlowMqttProxy(SlowProxy):
    """For MQTT: sessions stall now and then, and a share of the PUBACKs is lost."""

    def __init__(self, target_port: int, *, seed: int, longest_seconds: float, lost_share: float) -> None:
        super().__init__(target_port, seed=seed, longest_seconds=longest_seconds)
        self._lost_share = lost_share
        self._stalled_until = self._next_stall = 0.0
        self.lost = 0
        """PUBACKs that were not passed on."""

    def _delay(self) -> float:
        now = asyncio.get_running_loop().time()
        if now >= self._next_stall:
            self._stalled_until = now + self._random.uniform(0, self._longest_seconds)
            self._next_stall = self._stalled_until + self._random.uniform(0, 2 * self._longest_seconds)
        return max(0.0, self._stalled_until - now)

    def _kept(self, data: bytes) -> bytes:
        """Without the lost PUBACKs. The sandbox writes whole packets, and none to a publishing device is longer than
        127 bytes."""
        kept, position = bytearray(), 0
        while position < len(data):
            end = position + 2 + data[position + 1]
            if data[position] >> 4 == _PUBACK and self._random.random() < self._lost_share:
                self.lost += 1
            else:
                kept += data[position:end]
            position = end
        return bytes(kept)
