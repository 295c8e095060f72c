"""The expected values, computed independently: what the platform shows, compared with results recomputed from the topic.

Shares no code with the analytics: Kafka is read by another client, `random_scenarios.expected` computes every value from
the scenario's document, and the platform is read with plain HTTP.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from pacifictool.kafka.records import Record
from tests.support.four_analytics import FUNCTION_KEYS, expected_swing
from tests.support.random_scenarios import Expected, Place, expected
from tests.support.sandbox_clients import Tenant

TOO_LATE = "too late"
_ATTEMPTS = 12

Position = tuple[int, int]
"""Partition and offset."""
Series = tuple[str, str, str]
"""Kind and name of the entity, and key of the result."""


@dataclass(frozen=True)
class Posted:
    """What the platform shows."""

    values: Mapping[Place, float]
    latest: Mapping[Series, int]
    """The timestamp of what the platform calls the latest value."""


@dataclass(frozen=True)
class Comparison:
    """The outcome of one comparison."""

    windows: int
    """Windows of all groups of all analytics."""
    values: int
    records: int
    """All records of the topic."""
    rejected: int
    differences: tuple[str, ...]


def result_keys(document: Mapping[str, Any]) -> dict[str, set[str]]:
    """By kind of entity: the keys of the results that a scenario's document asks for."""
    keys: dict[str, set[str]] = defaultdict(set)
    for each in document["analytics"]:
        keys[each["entity_kind"]] |= each.get("telemetry", FUNCTION_KEYS).keys()
    return dict(keys)


def read_platform(url: str, keys: Mapping[str, Collection[str]], *, without: Collection[str] = ()) -> Posted:
    """Every value of these keys (by kind of entity) of every entity, except those whose names are in `without`.

    Retries when the platform is slow, fails sometimes or has expired the token.
    """
    ask = _RetryingReader(url).get
    values: dict[Place, float] = {}
    latest: dict[Series, int] = {}

    def read(kind: str, name: str, identifier: str) -> None:
        path = (
            f"/api/plugins/telemetry/{kind.upper()}/{identifier}/values/timeseries?keys={','.join(sorted(keys[kind]))}"
        )
        for key, points in ask(f"{path}&startTs=1&endTs=99999999999999&interval=0&limit=1000000").items():
            values.update({(kind, name, key, point["ts"]): float(point["value"]) for point in points})
        for key, points in ask(path).items():
            if points and points[0]["value"] is not None:
                latest[kind, name, key] = points[0]["ts"]

    with ThreadPoolExecutor(8) as pool:
        reads = [
            pool.submit(read, kind, entity["name"], entity["id"]["id"])
            for kind in keys
            for entity in ask(f"/api/tenant/{kind}s?limit=10000")["data"]
            if entity["name"] not in without
        ]
        for each in reads:
            each.result()
    return Posted(values, latest)


def read_alarms(url: str) -> list[tuple[tuple[str, str, str], str]]:
    """Kind and name of the entity and type, and severity, of every active alarm of assets and devices."""
    ask = _RetryingReader(url).get
    found = []
    for kind in ("asset", "device"):
        for entity in ask(f"/api/tenant/{kind}s?limit=10000")["data"]:
            path = f"/api/alarm/{kind.upper()}/{entity['id']['id']}?limit=1000&searchStatus=ACTIVE"
            for alarm in ask(path)["data"]:
                assert alarm["status"].startswith("ACTIVE"), alarm
                found.append(((kind, entity["name"], alarm["type"]), alarm["severity"]))
    return found


def expected_of(document: dict[str, Any], records: Iterable[Record]) -> Expected:
    """The results of these records."""
    return expected(
        document,
        [(each.partition, each.offset, each.timestamp_ms or 0, each.value or b"") for each in records],
        {"swings:swing": expected_swing},
    )


def compare_values(
    records: Sequence[Record],
    wanted: Expected,
    rejects: Mapping[Position, str],
    posted: Posted,
    *,
    besides: Mapping[Place, float] | None = None,
) -> Comparison:
    """Compares value by value. `rejects` is what the job says it did not count, with the reason.

    `wanted` are the results of the records, none of which may be late. `besides`: earlier values that must still be
    there unless the topic's records give others.
    """
    found = [
        f"record {(each.partition, each.offset)} has no timestamp" for each in records if each.timestamp_ms is None
    ]
    positions = {(each.partition, each.offset): each for each in records}
    for position, reason in rejects.items():
        if position not in positions:
            found.append(f"record {position} was rejected, but is not in the topic")
        elif reason.startswith(TOO_LATE):
            found.append(f"record {position} was rejected for its lateness, but was in time: {reason}")
        elif position not in wanted.invalid:
            found.append(f"record {position} is valid, but was rejected: {reason}")
    found += [
        f"record {position} is not valid, but is not kept as a dead letter: {positions[position].value!r}"
        for position in sorted(wanted.invalid - rejects.keys())
    ]
    values = {**(besides or {}), **wanted.values}
    found += differences(values, posted.values, wanted.bounds)
    newest: dict[Series, int] = {}
    for kind, entity, key, at in values:
        newest[kind, entity, key] = max(at, newest.get((kind, entity, key), 0))
    found += [
        f"{' '.join(series)}: the latest value is that of {posted.latest.get(series)}, not of {at}"
        for series, at in newest.items()
        if posted.latest.get(series) != at
    ]
    return Comparison(
        windows=wanted.windows,
        values=len(values),
        records=len(positions),
        rejected=len(rejects),
        differences=tuple(found),
    )


def differences(
    wanted: Mapping[Place, float], shown: Mapping[Place, float], bounds: Mapping[Place, float]
) -> list[str]:
    """What is missing, too much, or not as wanted. `bounds`: the relative error that a value may have."""
    found = []
    for place in sorted(wanted.keys() | shown.keys()):
        value, found_value = wanted.get(place), shown.get(place)
        if value == found_value:
            continue
        bound = bounds.get(place, 0)
        if value is None or found_value is None or abs(value - found_value) > bound * abs(value):
            kind, entity, key, at = place
            found.append(f"{kind} {entity}, {key} at {at}: {value} expected, {found_value} found")
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
