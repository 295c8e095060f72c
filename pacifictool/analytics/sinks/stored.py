"""Reads results back from the devices of their entities, for servers whose PUBACK does not say that they are stored.

The latest values of two thousand devices come with one request where the server has entity queries (3.1 and later).
Only what the latest value cannot show, a window older than it, is read entity by entity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from pacifictool.analytics.sinks.base import by_entity
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import NotFound
from pacifictool.rest import Platform
from pacifictool.rest.entities import EntityId
from pacifictool.rest.entity_query import DeviceQueries
from pacifictool.rest.telemetry import Point
from pacifictool.rest.values import Value

_NAMES_LOOKED_UP: Final = 20
"""Up to this many devices are looked up by name; for more of them, all devices are listed."""
_DIGITS: Final = 1e-12
"""A server's database may print a number with 15 digits."""

Found = TypeVar("Found")


class StoredResults(Protocol):
    """Tells which results the platform holds."""

    def among(self, results: Sequence[WindowResult]) -> list[WindowResult]:
        """Those of `results` that can be read from the platform now. Raises PlatformError."""


class DeviceReader(StoredResults):
    """Looks for results in the time series of the devices named after their entities.

    All values of a result are looked for: a correction may change only one of them.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._queries = DeviceQueries(platform.session)
        self._has_queries = platform.generation() != "2.x"
        self._ids: dict[str, str] = {}
        """Of devices, by name."""

    def among(self, results: Sequence[WindowResult]) -> list[WindowResult]:
        found = list(results)
        for key in dict.fromkeys(key for result in results for key in result.values):
            stored = {id(result) for result in self._among(key, [each for each in found if key in each.values])}
            found = [result for result in found if key not in result.values or id(result) in stored]
        return found

    def _among(self, key: str, results: Sequence[WindowResult]) -> list[WindowResult]:
        entities = by_entity(results)
        latest = self._latest(entities, key)
        found: list[WindowResult] = []
        older: dict[str, list[WindowResult]] = {}
        for entity, (ts_ms, value) in latest.items():
            for result in entities[entity]:
                if result.ts_ms == ts_ms:
                    if _is_stored(value, result.values[key]):
                        found.append(result)
                elif result.ts_ms < ts_ms:
                    older.setdefault(entity, []).append(result)
        for some in self._at_once(lambda entity: self._in_history(older[entity], key), older):
            found += some
        return found

    def _in_history(self, results: Sequence[WindowResult], key: str) -> list[WindowResult]:
        """Those of one entity's results that its time series holds."""
        times = [result.ts_ms for result in results]
        device = self._entity(results[0].entity)
        points = self._platform.telemetry.range(device, key, min(times), max(times) + 1)
        values = {point.ts_ms: point.value for point in points}
        return [result for result in results if _is_stored(values.get(result.ts_ms), result.values[key])]

    def _latest(self, entities: Iterable[str], key: str) -> dict[str, tuple[int, Value | None]]:
        """Time and value of the latest point of each entity that has one; numbers may still be text."""
        self._learn_ids(entity for entity in entities if entity not in self._ids)
        names = {self._ids[entity]: entity for entity in entities if entity in self._ids}
        if not self._has_queries:
            return self._latest_singly(names.values(), key)
        try:
            found = self._queries.latest(list(names), key)
        except NotFound:
            self._has_queries = False
            return self._latest_singly(names.values(), key)
        for identifier in names.keys() - found.keys():
            # Deleted; should there be another of that name, it is found the next time.
            del self._ids[names[identifier]]
        points: dict[str, tuple[int, Value | None]] = {
            names[identifier]: point for identifier, point in found.items() if point is not None
        }
        empty = [names[identifier] for identifier, point in found.items() if point is None]
        if empty and self._is_hidden_from_queries(empty[0], key):
            self._has_queries = False
            points |= self._latest_singly(empty, key)
        return points

    def _is_hidden_from_queries(self, entity: str, key: str) -> bool:
        """Whether the device has a latest value that queries do not show: a server may keep them in Cassandra."""
        if not self._latest_singly([entity], key):
            return False
        # It may have been stored since the query.
        return self._queries.latest([self._ids[entity]], key).get(self._ids[entity]) is None

    def _latest_singly(self, entities: Iterable[str], key: str) -> dict[str, tuple[int, Value | None]]:
        def read(entity: str) -> tuple[str, Point | None]:
            try:
                return entity, self._platform.telemetry.latest(self._entity(entity), [key])[key]
            except NotFound:
                self._ids.pop(entity, None)
                return entity, None

        found = self._at_once(read, entities)
        return {entity: (point.ts_ms, point.value) for entity, point in found if point is not None}

    def _learn_ids(self, names: Iterable[str]) -> None:
        missing = set(names)
        if len(missing) <= _NAMES_LOOKED_UP:
            for name in missing:
                if (device := self._platform.devices.find(name)) is not None:
                    self._ids[name] = device.id
            return
        for name, identifier in self._all_devices():
            self._ids[name] = identifier
            missing.discard(name)
            if not missing:
                break

    def _all_devices(self) -> Iterable[tuple[str, str]]:
        """Name and id of every device, those made last first where the server can."""
        if self._has_queries:
            try:
                yield from self._queries.names()
            except NotFound:
                self._has_queries = False
            else:
                return
        yield from ((device.name, device.id) for device in self._platform.devices.list())

    def _entity(self, entity: str) -> EntityId:
        return EntityId("DEVICE", self._ids[entity])

    def _at_once(self, read: Callable[[str], Found], entities: Iterable[str]) -> list[Found]:
        if not (waiting := list(entities)):
            return []
        with ThreadPoolExecutor(min(len(waiting), self._platform.telemetry.writes_at_once())) as pool:
            return list(pool.map(read, waiting))


def _is_stored(value: Value | None, wanted: float) -> bool:
    if value is None or isinstance(value, bool):
        return False
    try:
        return math.isclose(float(value), wanted, rel_tol=_DIGITS, abs_tol=_DIGITS)
    except (ValueError, OverflowError):
        return False
