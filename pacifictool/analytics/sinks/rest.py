"""The REST sink: an asset or a device for each group, created when missing, several at once, each in time order."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Protocol

from pacifictool.analytics.refusals import is_refusal
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink, by_entity
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import AlreadyExists, NotFound, PacificToolError, PlatformUnreachable
from pacifictool.rest.entities import Asset, Device
from pacifictool.tools.threads import run_bounded

Entity = Asset | Device
_Response = tuple[Sequence[WindowResult], PacificToolError | None]
"""Results of an entity, and why they were not accepted."""

CONNECTIONS = 8
"""Entities written at once, unless the platform should be given more."""
GIVE_WAY_AFTER = 16
"""Failures in a row after which the rest is left for the next attempt: the platform is down rather than moody."""
LISTED_FROM = 100
"""Unknown entities from which on they are looked up in the list of all, not one by one."""
_LISTED_AT_MOST = 5
"""For each that is wanted: a platform may have millions of others of the type."""
_REPORT_SECONDS = 0.05


class EntityStore(Protocol):
    """What the sink needs of `Platform.assets` and `Platform.devices`."""

    def find(self, name: str) -> Entity | None: ...

    def create(self, name: str, type: str) -> Entity: ...  # noqa: A002 - the platform's word

    def get_or_create(self, name: str, type: str) -> Entity: ...  # noqa: A002

    def list(self, type: str) -> Iterator[Entity]: ...  # noqa: A002


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
        """Whether an unknown one was missing when last looked for: then the next is created without looking."""
        self._closed = threading.Event()
        self._connections = connections

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        kinds = (by_entity(each for each in results if each.entity_kind == kind) for kind in self._stores)
        entities = [batch for found in kinds for batch in found.values()]
        self._find_many({(batch[0].entity_kind, batch[0].entity) for batch in entities} - self._known.keys())
        enough = threading.Event()

        def deliver(batch: Sequence[WindowResult]) -> _Response:
            failure = self._failure_of(batch)
            if isinstance(failure, PlatformUnreachable):
                enough.set()
            return batch, failure

        todo = takewhile(lambda _: not (enough.is_set() or self._closed.is_set()), entities)
        workers = min(self._connections, len(entities))
        report = _Report(callback)
        for written, failure in run_bounded(deliver, todo, workers=workers, name="rest-sink"):
            report.add(written, failure)
            if report.failures_in_a_row >= GIVE_WAY_AFTER:
                enough.set()
        report.send()
        if report.failure is not None:
            raise report.failure
        if self._closed.is_set():
            raise PacificToolError("The delivery was stopped.")

    def close(self) -> None:
        self._closed.set()

    def _failure_of(self, results: Sequence[WindowResult]) -> PacificToolError | None:
        """Writes the results of an entity. Returns why they were not accepted."""
        try:
            self._write(results)
        except PacificToolError as error:
            return error
        return None

    def _find_many(self, places: Collection[tuple[str, str]]) -> None:
        """Looks up many entities at once, those of the type that is created here; `_write` finds the others."""
        for kind, store in self._stores.items():
            names = {name for of_kind, name in places if of_kind == kind}
            if len(names) >= LISTED_FROM:
                listed = islice(store.list(self._entity_type), _LISTED_AT_MOST * len(names))
                self._known |= {(kind, each.name): each for each in listed if each.name in names}
                self._likely_new = True

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


class _Report:
    """Reports results to the callback. What was accepted within a short time is reported together: the state store
    writes to the disk each time."""

    def __init__(self, callback: DeliveryCallback) -> None:
        self.failure: PacificToolError | None = None
        """The first one that may pass."""
        self.failures_in_a_row = 0
        self._callback = callback
        self._accepted: list[WindowResult] = []
        self._reported_at = time.monotonic()

    def add(self, written: Sequence[WindowResult], failure: PacificToolError | None) -> None:
        if failure is None:
            self._accepted += written
        elif is_refusal(failure):
            self._callback.refused(written, failure.message)
            failure = None
        self.failures_in_a_row = 0 if failure is None else self.failures_in_a_row + 1
        self.failure = self.failure or failure
        if time.monotonic() - self._reported_at >= _REPORT_SECONDS:
            self.send()

    def send(self) -> None:
        if self._accepted:
            self._callback.accepted(self._accepted)
        self._accepted = []
        self._reported_at = time.monotonic()
