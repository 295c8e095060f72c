"""The REST sink: an asset or a device for each group, created when missing, several at once, each in time order."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from pacifictool.analytics.refusals import is_refusal
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink, by_entity
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import AlreadyExists, NotFound, PacificToolError, PlatformUnreachable
from pacifictool.rest.entities import Asset, Device

Entity = Asset | Device
_Response = tuple[Sequence[WindowResult], PacificToolError | None]
"""Results of an entity, and why they were not accepted."""

CONNECTIONS = 8
"""Entities written at once, unless the platform should be given more."""
GIVE_WAY_AFTER = 16
"""Failures in a row after which the rest is left for the next attempt: the platform is down rather than moody."""


class EntityStore(Protocol):
    """What the sink needs of `Platform.assets` and `Platform.devices`."""

    def find(self, name: str) -> Entity | None: ...

    def create(self, name: str, type: str) -> Entity: ...  # noqa: A002 - the platform's word

    def get_or_create(self, name: str, type: str) -> Entity: ...  # noqa: A002


class TelemetryWriter(Protocol):
    """What the sink needs of `Platform.telemetry`."""

    def write(self, entity: Entity, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None: ...


class RestSink(Sink):
    """Posts `{"ts": …, "values": {…}}`, all results of a window, to the entity of the group."""

    name = "rest"

    def __init__(
        self,
        stores: Mapping[str, EntityStore],
        telemetry: TelemetryWriter,
        *,
        url: str,
        entity_type: str,
        connections: int = CONNECTIONS,
    ) -> None:
        """`stores` by kind of entity: "asset" and "device". `entity_type` is the type of those that have to be created;
        `connections` of them are written at once.

        Nothing is sent before the first delivery.
        """
        self.target = f"rest {url}"
        self._stores = stores
        self._telemetry = telemetry
        self._entity_type = entity_type
        self._known: dict[tuple[str, str], Entity] = {}
        self._likely_new = False
        """Whether the last entity looked for was missing: then the next is created without looking."""
        self._closed = threading.Event()
        self._connections = connections
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="rest-sink")

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        failures: list[PacificToolError] = []
        in_a_row = 0
        running: set[Future[_Response]] = set()
        kinds = (by_entity(each for each in results if each.entity_kind == kind) for kind in self._stores)
        entities = (batch for found in kinds for batch in found.values())
        while True:
            give_way = in_a_row >= GIVE_WAY_AFTER or self._closed.is_set()
            while not give_way and len(running) < 2 * self._connections and (batch := next(entities, None)) is not None:
                running.add(self._pool.submit(self._deliver_entity, batch))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            # What was accepted meanwhile is reported together: the state store writes to the disk for each report.
            accepted: list[WindowResult] = []
            for future in done:
                written, failure = future.result()
                if failure is None:
                    accepted += written
                elif is_refusal(failure):
                    callback.refused(written, failure.message)
                    failure = None
                in_a_row = 0 if failure is None else in_a_row + 1
                if failure is not None:
                    failures.append(failure)
                if isinstance(failure, PlatformUnreachable):
                    in_a_row = GIVE_WAY_AFTER
            if accepted:
                callback.accepted(accepted)
        if failures:
            raise failures[0]
        if self._closed.is_set():
            raise PacificToolError("The delivery was stopped.")

    def close(self) -> None:
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _deliver_entity(self, results: Sequence[WindowResult]) -> _Response:
        try:
            self._write(results)
        except PacificToolError as error:
            return results, error
        return results, None

    def _write(self, results: Sequence[WindowResult]) -> None:
        place = results[0].entity_kind, results[0].entity
        rows = [(result.ts_ms, result.values) for result in results]
        entity = self._known.get(place)
        if entity is not None:
            try:
                self._telemetry.write(entity, rows)
            except NotFound:
                # Somebody deleted it: it is made again below.
                del self._known[place]
            else:
                return
        entity = self._known[place] = self._find_or_create(*place)
        self._telemetry.write(entity, rows)

    def _find_or_create(self, kind: str, name: str) -> Entity:
        """Saves one request in three when a platform sees thousands of groups for the first time."""
        store = self._stores[kind]
        if self._likely_new:
            try:
                return store.create(name, self._entity_type)
            except AlreadyExists:
                self._likely_new = False
        else:
            entity = store.find(name)
            if entity is not None:
                return entity
            self._likely_new = True
        return store.get_or_create(name, self._entity_type)
