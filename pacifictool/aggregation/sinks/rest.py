"""The REST sink: one asset per zone, created when missing, several zones at once, each in time order."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from pacifictool.aggregation.sinks.base import Receipt, Sink, by_zone
from pacifictool.aggregation.windows import WindowMean
from pacifictool.errors import InvalidRequest, NotFound, PacificToolError, PlatformUnreachable

CONNECTIONS = 8
"""Zones written at once."""
GIVE_WAY_AFTER = 2 * CONNECTIONS
"""Failures in a row after which the rest is left for the next attempt: the platform is down rather than moody."""


class AssetWriter(Protocol):
    """What the sink needs of the platform's REST client. Used from several threads."""

    def asset_id(self, name: str, entity_type: str) -> str:
        """The id of the asset of that exact name, created when missing. Raises PlatformError."""

    def write(self, asset_id: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Stores (ts in ms, values) points, in order. Raises NotFound for a deleted asset, else PlatformError."""


class RestSink(Sink):
    """Posts `{"ts": window end, "values": {value_key: mean}}` to the asset named after the zone."""

    name = "rest"

    def __init__(self, writer: AssetWriter, *, url: str, entity_type: str, value_key: str) -> None:
        self.target = f"rest {url}"
        self._writer = writer
        self._entity_type = entity_type
        self._value_key = value_key
        self._ids: dict[str, str] = {}
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="rest-sink")

    def deliver(self, results: Sequence[WindowMean], receipt: Receipt) -> None:
        failures: list[PacificToolError] = []
        in_a_row = 0
        running: set[Future[PacificToolError | None]] = set()
        zones = iter(by_zone(results).values())
        while True:
            give_way = in_a_row >= GIVE_WAY_AFTER or self._closed.is_set()
            while not give_way and len(running) < 2 * CONNECTIONS and (batch := next(zones, None)) is not None:
                running.add(self._pool.submit(self._deliver_zone, batch, receipt))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                failure = future.result()
                in_a_row = 0 if failure is None else in_a_row + 1
                if failure is not None:
                    failures.append(failure)
                if isinstance(failure, PlatformUnreachable):
                    in_a_row = GIVE_WAY_AFTER
        if failures:
            raise failures[0]
        if self._closed.is_set():
            raise PacificToolError("The delivery was stopped.")

    def close(self) -> None:
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _deliver_zone(self, results: Sequence[WindowMean], receipt: Receipt) -> PacificToolError | None:
        try:
            self._write(results)
        except InvalidRequest as error:
            receipt.refused(results, error.message)
        except PacificToolError as error:
            return error
        else:
            receipt.accepted(results)
        return None

    def _write(self, results: Sequence[WindowMean]) -> None:
        zone = results[0].zone
        points = [(result.window_end_ms, {self._value_key: result.mean}) for result in results]
        known = self._ids.get(zone)
        if known is not None:
            try:
                self._writer.write(known, points)
            except NotFound:
                # Somebody deleted the asset: it is made again below.
                del self._ids[zone]
            else:
                return
        self._ids[zone] = self._writer.asset_id(zone, self._entity_type)
        self._writer.write(self._ids[zone], points)
