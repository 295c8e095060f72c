"""The expected values, computed independently: what the platform shows, compared with means recomputed from the topic.

Shares no code with the aggregation: Kafka is read by another client, records are parsed by Python's json, means are
fractions, and the platform is read with plain HTTP.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import requests

from pacifictool.kafka.records import Record
from tests.support.sandbox_clients import Tenant

TOO_LATE = "too late"
_ATTEMPTS = 12
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""What a text may hold that counts as its number."""

Values = dict[str, dict[int, float]]
"""Zone → window end in ms → mean."""
Position = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True)
class Posted:
    """What the platform shows."""

    values: Values
    latest: Mapping[str, int]
    """By zone: the timestamp of what the platform calls the latest value."""


@dataclass(frozen=True)
class Comparison:
    """The outcome of one comparison."""

    windows: int
    records: int
    """All records of the topic."""
    rejected: int
    too_late: int
    differences: tuple[str, ...]


def read_platform(url: str, key: str = "windSpeed", *, devices: Collection[str] = ()) -> Posted:
    """Every value of every asset, or of the existing `devices` of these names.

    Retries when the platform is slow, fails sometimes or has expired the token.
    """
    ask = _RetryingReader(url).get
    kind = "device" if devices else "asset"
    listed = ask(f"/api/tenant/{kind}s?limit=10000")["data"]
    ids = {entity["name"]: entity["id"]["id"] for entity in listed if not devices or entity["name"] in devices}
    values: Values = {}
    latest: dict[str, int] = {}

    def read(zone: str) -> None:
        path = f"/api/plugins/telemetry/{kind.upper()}/{ids[zone]}/values/timeseries?keys={key}"
        points = ask(f"{path}&startTs=1&endTs=99999999999999&interval=0&limit=1000000").get(key, [])
        values[zone] = {point["ts"]: float(point["value"]) for point in points}
        newest = ask(path)[key][0]
        if newest["value"] is not None:
            latest[zone] = newest["ts"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, ids))
    return Posted(values, latest)


def compare_windows(
    records: Iterable[Record],
    rejects: Mapping[Position, str],
    posted: Posted,
    *,
    window_ms: int,
    lateness_ms: int,
    besides: Values | None = None,
) -> Comparison:
    """Compares window by window. `rejects` is what the job says it did not count, with the reason.

    `besides`: earlier values that must still be there unless the topic's records give others.
    """
    sums: dict[str, dict[int, tuple[int, Fraction]]] = defaultdict(lambda: defaultdict(lambda: (0, Fraction(0))))
    found: list[str] = []
    positions: set[Position] = set()
    late: list[tuple[Position, int]] = []
    newest = 0
    for record in records:
        position = (record.partition, record.offset)
        positions.add(position)
        reading, reason = parse(record.value), rejects.get(position)
        if record.timestamp_ms is None:
            found.append(f"record {position} has no timestamp")
            continue
        end = record.timestamp_ms - record.timestamp_ms % window_ms + window_ms
        if reading is None:
            if reason is None or reason.startswith(TOO_LATE):
                found.append(f"record {position} is not valid, but is not kept as a dead letter: {record.value!r}")
            continue
        newest = max(newest, record.timestamp_ms)
        if reason is not None:
            if reason.startswith(TOO_LATE):
                late.append((position, end))
            else:
                found.append(f"record {position} is valid, but was rejected: {reason}")
            continue
        zone, number = reading
        count, total = sums[zone][end]
        sums[zone][end] = (count + 1, total + number)
    found += [f"record {position} was rejected, but is not in the topic" for position in rejects.keys() - positions]
    found += [
        f"record {position} of the window ending {end} was rejected for its lateness, but was in time"
        for position, end in late
        if end > newest - lateness_ms
    ]
    expected: Values = {
        zone: {end: float(total / count) for end, (count, total) in windows.items()} for zone, windows in sums.items()
    }
    for zone, windows in (besides or {}).items():
        expected[zone] = windows | expected.get(zone, {})
    found += _differences(expected, posted.values)
    found += [
        f"{zone}: the latest value is that of {posted.latest.get(zone)}, not of {max(windows)}"
        for zone, windows in expected.items()
        if posted.latest.get(zone) != max(windows)
    ]
    return Comparison(
        windows=sum(map(len, expected.values())),
        records=len(positions),
        rejected=len(rejects),
        too_late=len(late),
        differences=tuple(found),
    )


def parse(value: bytes | None) -> tuple[str, Fraction] | None:
    """Zone and number of a valid record. Handles only the kinds of invalid records that tests produce."""
    try:
        document = json.loads(value or b"")
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    zone, number = document.get("geoZone"), document.get("windSpeed")
    if isinstance(number, str) and _NUMBER.fullmatch(number):
        number = float(number)
    if not isinstance(zone, str) or isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return (zone, Fraction(number)) if 0 <= number <= 1e9 else None


def _differences(expected: Values, actual: Values) -> list[str]:
    found: list[str] = []
    for zone in sorted(expected.keys() | actual.keys()):
        wanted, shown = expected.get(zone, {}), actual.get(zone, {})
        found.extend(
            f"{zone}, window ending {end}: {wanted.get(end)} expected, {shown.get(end)} found"
            for end in sorted(wanted.keys() | shown.keys())
            if wanted.get(end) != shown.get(end)
        )
    return found


class _RetryingReader:
    """One login for many threads, renewed when anything fails; failed requests are repeated."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tenant: Tenant | None = None
        self._lock = threading.Lock()

    def get(self, path: str) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            tenant = None
            try:
                with self._lock:
                    tenant = self._tenant = self._tenant or Tenant(self._url)
                return tenant.get(path)
            except (AssertionError, requests.RequestException, ValueError, KeyError) as error:
                if attempt == _ATTEMPTS:
                    raise AssertionError(f"The platform at {self._url} does not respond: {error}") from error
                with self._lock:
                    if self._tenant is tenant:
                        self._tenant = None
                time.sleep(0.2)
        raise AssertionError
