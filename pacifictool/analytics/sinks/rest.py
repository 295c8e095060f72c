"""The REST sink: one asset per zone, created when missing, several zones at once, each in time order."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from pacifictool.analytics.sinks.base import DeliveryCallback, Sink, by_zone
from pacifictool.analytics.windows import WindowMean
from pacifictool.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    PacificToolError,
    PlatformError,
    PlatformUnreachable,
)
from pacifictool.rest.entities import Asset

CONNECTIONS = 8
"""Zones written at once, unless the platform should be given more."""
GIVE_WAY_AFTER = 16
"""Failures in a row after which the rest is left for the next attempt: the platform is down rather than moody."""


class AssetStore(Protocol):
    """What the sink needs of `Platform.assets`."""

    def find(self, name: str) -> Asset | None: ...

    def create(self, name: str, type: str) -> Asset: ...  # noqa: A002 - the platform's word

    def get_or_create(self, name: str, type: str) -> Asset: ...  # noqa: A002


class TelemetryWriter(Protocol):
    """What the sink needs of `Platform.telemetry`."""

    def write(self, entity: Asset, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None: ...


class RestSink(Sink):
    """Posts `{"ts": window end, "values": {value_key: mean}}` to the asset named after the zone."""

    name = "rest"

    def __init__(
        self,
        assets: AssetStore,
        telemetry: TelemetryWriter,
        *,
        url: str,
        entity_type: str,
        value_key: str,
        connections: int = CONNECTIONS,
    ) -> None:
        """`entity_type` is the type of assets that have to be created; `connections` zones are written at once.

        Nothing is sent before the first delivery.
        """
        self.target = f"rest {url}"
        self._asset_store = assets
        self._telemetry = telemetry
        self._entity_type = entity_type
        self._value_key = value_key
        self._known: dict[str, Asset] = {}
        self._likely_new = False
        """Whether the last asset looked for was missing: then the next is created without looking."""
        self._closed = threading.Event()
        self._connections = connections
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="rest-sink")

    def deliver(self, results: Sequence[WindowMean], callback: DeliveryCallback) -> None:
        failures: list[PacificToolError] = []
        in_a_row = 0
        running: set[Future[PacificToolError | None]] = set()
        zones = iter(by_zone(results).values())
        while True:
            give_way = in_a_row >= GIVE_WAY_AFTER or self._closed.is_set()
            while not give_way and len(running) < 2 * self._connections and (batch := next(zones, None)) is not None:
                running.add(self._pool.submit(self._deliver_zone, batch, callback))
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

    def _deliver_zone(self, results: Sequence[WindowMean], callback: DeliveryCallback) -> PacificToolError | None:
        try:
            self._write(results)
        except (InvalidRequest, AlreadyExists) as error:
            # AlreadyExists: a database that takes two names for one; the other zone's asset is not ours to write to.
            if not _is_final(error):
                return error
            callback.refused(results, error.message)
        except PacificToolError as error:
            return error
        else:
            callback.accepted(results)
        return None

    def _write(self, results: Sequence[WindowMean]) -> None:
        zone = results[0].zone
        rows = [(result.window_end_ms, {self._value_key: result.mean}) for result in results]
        asset = self._known.get(zone)
        if asset is not None:
            try:
                self._telemetry.write(asset, rows)
            except NotFound:
                # Somebody deleted the asset: it is made again below.
                del self._known[zone]
            else:
                return
        asset = self._known[zone] = self._find_or_create(zone)
        self._telemetry.write(asset, rows)

    def _find_or_create(self, zone: str) -> Asset:
        """Saves one request in three when a platform sees thousands of zones for the first time."""
        if self._likely_new:
            try:
                return self._asset_store.create(zone, self._entity_type)
            except AlreadyExists:
                self._likely_new = False
        else:
            asset = self._asset_store.find(zone)
            if asset is not None:
                return asset
            self._likely_new = True
        return self._asset_store.get_or_create(zone, self._entity_type)


def _is_final(error: PlatformError) -> bool:
    """Whether the platform itself found fault with the results, which no repetition fixes.

    Other responses of the 4xx kind (408 and 425 of a proxy, 409, 413) and any to a login say nothing about the results.
    """
    if error.during_login:
        return False
    # None: it cannot be sent at all; 500: too long for its column (docs/servers/1.x.md#devices, row 4).
    return error.status in (None, 400, 500)
