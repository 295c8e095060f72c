"""Reads results back from the devices of their zones, for servers whose PUBACK does not say that they are stored.

The latest values of two thousand devices come with one request where the server has entity queries (3.1 and later).
Only what the latest value cannot show, a window older than it, is read zone by zone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from pacifictool.analytics.sinks.base import by_zone
from pacifictool.analytics.windows import WindowMean
from pacifictool.errors import NotFound
from pacifictool.rest import Platform
from pacifictool.rest.entities import EntityId
from pacifictool.rest.entity_query import DeviceQueries
from pacifictool.rest.telemetry import Point
from pacifictool.rest.values import Value

_NAMES_LOOKED_UP: Final = 20
"""Up to up to this many devices are looked up by name; for more of them, all devices are listed."""
_DIGITS: Final = 1e-12
"""A server's database may print a number with 15 digits."""

Found = TypeVar("Found")


class StoredResults(Protocol):
    """Tells which results the platform holds."""

    def among(self, results: Sequence[WindowMean]) -> list[WindowMean]:
        """Those of `results` that can be read from the platform now. Raises PlatformError."""


class DeviceReader(StoredResults):
    """Looks for results in the time series `value_key` of the devices named after their zones."""

    def __init__(self, platform: Platform, value_key: str) -> None:
        self._platform = platform
        self._key = value_key
        self._queries = DeviceQueries(platform.session)
        self._has_queries = platform.generation() != "2.x"
        self._ids: dict[str, str] = {}
        """Of devices, by name."""

    def among(self, results: Sequence[WindowMean]) -> list[WindowMean]:
        zones = by_zone(results)
        latest = self._latest(zones)
        found: list[WindowMean] = []
        older: dict[str, list[WindowMean]] = {}
        for zone, (ts_ms, value) in latest.items():
            for result in zones[zone]:
                if result.window_end_ms == ts_ms:
                    if _is_mean(value, result):
                        found.append(result)
                elif result.window_end_ms < ts_ms:
                    older.setdefault(zone, []).append(result)
        for some in self._at_once(lambda zone: self._in_history(older[zone]), older):
            found += some
        return found

    def _in_history(self, results: Sequence[WindowMean]) -> list[WindowMean]:
        """Those of one zone's results that its time series holds."""
        ends = [result.window_end_ms for result in results]
        device = self._entity(results[0].zone)
        points = self._platform.telemetry.range(device, self._key, min(ends), max(ends) + 1)
        values = {point.ts_ms: point.value for point in points}
        return [result for result in results if _is_mean(values.get(result.window_end_ms), result)]

    def _latest(self, zones: Iterable[str]) -> dict[str, tuple[int, Value | None]]:
        """Time and value of the latest point of each zone that has one; numbers may still be text."""
        self._learn_ids(zone for zone in zones if zone not in self._ids)
        names = {self._ids[zone]: zone for zone in zones if zone in self._ids}
        if not self._has_queries:
            return self._latest_singly(names.values())
        try:
            found = self._queries.latest(list(names), self._key)
        except NotFound:
            self._has_queries = False
            return self._latest_singly(names.values())
        for identifier in names.keys() - found.keys():
            # Deleted; should there be another of that name, it is found the next time.
            del self._ids[names[identifier]]
        points: dict[str, tuple[int, Value | None]] = {
            names[identifier]: point for identifier, point in found.items() if point is not None
        }
        empty = [names[identifier] for identifier, point in found.items() if point is None]
        if empty and self._is_hidden_from_queries(empty[0]):
            self._has_queries = False
            points |= self._latest_singly(empty)
        return points

    def _is_hidden_from_queries(self, zone: str) -> bool:
        """Whether the device has a latest value that queries do not show: a server may keep them in Cassandra."""
        if not self._latest_singly([zone]):
            return False
        # It may have been stored since the query.
        return self._queries.latest([self._ids[zone]], self._key).get(self._ids[zone]) is None

    def _latest_singly(self, zones: Iterable[str]) -> dict[str, tuple[int, Value | None]]:
        def read(zone: str) -> tuple[str, Point | None]:
            try:
                return zone, self._platform.telemetry.latest(self._entity(zone), [self._key])[self._key]
            except NotFound:
                self._ids.pop(zone, None)
                return zone, None

        return {zone: (point.ts_ms, point.value) for zone, point in self._at_once(read, zones) if point is not None}

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

    def _entity(self, zone: str) -> EntityId:
        return EntityId("DEVICE", self._ids[zone])

    def _at_once(self, read: Callable[[str], Found], zones: Iterable[str]) -> list[Found]:
        if not (waiting := list(zones)):
            return []
        with ThreadPoolExecutor(min(len(waiting), self._platform.telemetry.writes_at_once())) as pool:
            return list(pool.map(read, waiting))


def _is_mean(value: Value | None, result: WindowMean) -> bool:
    if value is None or isinstance(value, bool):
        return False
    try:
        return math.isclose(float(value), result.mean, rel_tol=_DIGITS, abs_tol=_DIGITS)
    except (ValueError, OverflowError):
        return False
