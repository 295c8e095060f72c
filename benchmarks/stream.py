"""The records that every engine averages, and the exact means.

A workload is a pure function of its description: the first N records are the same in every topic that holds them, so
that a slower engine can be given a shorter topic of the same stream.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from benchmarks.expected import Exact
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.settings import KafkaEndpoint

START_MS = 1_704_067_200_000
"""2024-01-01; must not be more than a day ahead of the machine's clock, and the broker must not retire old records."""
WINDOW_MS = 10_000
RECORDS_PER_MS = 20
"""Of event time: 5 M records are 250 s, or 25 windows."""
CLOSING_ZONE = "end of stream"
"""One record per partition, two windows later: engines that emit a window once newer data has come then do so."""
_DECIMALS = 10**6
_LOWEST, _HIGHEST = 30, 60
_CHUNK = 100_000

_Numbers = NDArray[np.int64]

KEYS = ("windSpeed", "temperature", "humidity", "pressure")
FUNCTIONS = ("count", "sum", "mean", "min", "max", "stddev")
FOUR_KEYS = f"""
[forwarding]
topic = "readings"
attributes = ["geoZone"]
telemetry = {list(KEYS)}
[[analytics]]
name = "zones"
group_by = ["geoZone"]
window = "10s"
[analytics.telemetry]
""" + "".join(f'{key}_{function} = "{function}({key})"\n' for key in KEYS for function in FUNCTIONS)
"""Six functions of each of four keys, as a scenario."""


@dataclass(frozen=True)
class Workload:
    """What a topic holds."""

    records: int
    zones: int = 3
    partitions: int = 8
    distinct: bool = False
    """Values with six decimals, nearly all different; else whole numbers of 30 to 60, as in the tutorial."""
    four_keys: bool = False
    """Three more keys with whole numbers; expected are all of `FUNCTIONS` of each key, by "zone function(key)"."""

    @property
    def name(self) -> str:
        values = "six decimals" if self.distinct else "whole numbers"
        kind = f"{values}, four keys, six functions" if self.four_keys else values
        return f"{kind}, {self.zones:,} zones, {self.partitions} partition{'s' if self.partitions > 1 else ''}"

    def of_length(self, records: int) -> Workload:
        """The same stream, as long as this."""
        return replace(self, records=records)


def fill(endpoint: KafkaEndpoint, topic: str, workload: Workload) -> Exact:
    """Creates the topic, writes the workload with its timestamps, and returns the exact means.

    The zone is the records' key, too, though not on a real platform: quix-streams passes over records without a key.
    """
    KafkaAdmin(endpoint).create(topic, partitions=workload.partitions, replication=1, timestamp_type="CreateTime")
    producer = Producer(
        {
            "bootstrap.servers": endpoint.bootstrap,
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "acks": 1,
        }
    )
    sums = _Sums(workload)
    names = [_zone(number) for number in range(workload.zones)]
    number = 0
    for zones, units, windows in _chunks(workload):
        others = _other_keys(units, number) if workload.four_keys else []
        messages = _messages([names[zone] for zone in zones.tolist()], units, others, distinct=workload.distinct)
        for zone, message in zip(zones.tolist(), messages, strict=True):
            while True:
                try:
                    producer.produce(
                        topic,
                        message,
                        key=names[zone],
                        partition=number % workload.partitions,
                        timestamp=START_MS + number // RECORDS_PER_MS,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            number += 1
        producer.poll(0)
        sums.add(zones, [units, *(other * _DECIMALS for other in others)], windows)
    last_end_ms = START_MS + (number // RECORDS_PER_MS // WINDOW_MS + 1) * WINDOW_MS
    for partition in range(workload.partitions):
        producer.produce(
            topic,
            f'{{"geoZone":"{CLOSING_ZONE}", "windSpeed":{_LOWEST}}}'.encode(),
            key=CLOSING_ZONE,
            partition=partition,
            timestamp=last_end_ms + 2 * WINDOW_MS,
        )
    if producer.flush(60):
        raise SystemExit("Kafka did not take the benchmark's records.")
    return sums.exact(names)


def total_records(workload: Workload) -> int:
    """With the closing records."""
    return workload.records + workload.partitions


def _chunks(workload: Workload) -> Iterator[tuple[_Numbers, _Numbers, _Numbers]]:
    """Zone numbers, values in millionths and window numbers of 100,000 records at a time."""
    random = np.random.default_rng([workload.zones, workload.distinct])
    for start in range(0, workload.records, _CHUNK):
        # Whole chunks are drawn whatever is left, so that a shorter stream begins like a longer one.
        zones = random.integers(0, workload.zones, _CHUNK)
        units = random.integers(_LOWEST * _DECIMALS, _HIGHEST * _DECIMALS, _CHUNK, endpoint=True)
        if not workload.distinct:
            units -= units % _DECIMALS
        count = min(_CHUNK, workload.records - start)
        windows = (start + np.arange(count)) // (RECORDS_PER_MS * WINDOW_MS)
        yield zones[:count], units[:count], windows


def _zone(number: int) -> str:
    return f"Zone {number:05d}" if number > 25 else f"Zone {chr(65 + number)}"


def _messages(zones: list[str], units: _Numbers, others: list[_Numbers], *, distinct: bool) -> Iterator[bytes]:
    """As the tutorial's rule writes them."""
    more = [[f', "{key}":{value}' for value in other.tolist()] for key, other in zip(KEYS[1:], others, strict=False)]
    tails = ["".join(parts) for parts in zip(*more, strict=True)] or [""] * len(zones)
    for zone, value, tail in zip(zones, units.tolist(), tails, strict=True):
        number = f"{value // _DECIMALS}.{value % _DECIMALS:06d}" if distinct else str(value // _DECIMALS)
        yield f'{{"geoZone":"{zone}", "windSpeed":{number}{tail}}}'.encode()


def _other_keys(units: _Numbers, first: int) -> list[_Numbers]:
    """Whole numbers for the other keys, each with a mean and a spread of its own."""
    numbers = first + np.arange(len(units))
    speeds = units // _DECIMALS
    return [(speeds * 7 + numbers) % 41, (speeds * 11 + numbers // 3) % 101, 950 + (speeds * 13 + numbers) % 100]


class _Sums:
    """What the engines must find, from integers: it shares no code with any of them."""

    def __init__(self, workload: Workload) -> None:
        windows = -(-workload.records // (RECORDS_PER_MS * WINDOW_MS))
        self._workload = workload
        self._places = windows * workload.zones
        self._counts = np.zeros(self._places, dtype=np.int64)
        keys = KEYS if workload.four_keys else KEYS[:1]
        self._sums = [np.zeros(self._places, dtype=np.int64) for _ in keys]
        self._squares = [np.zeros(self._places, dtype=np.int64) for _ in keys]
        self._least = [np.full(self._places, np.iinfo(np.int64).max) for _ in keys]
        self._greatest = [np.full(self._places, -1) for _ in keys]

    def add(self, zones: _Numbers, values: list[_Numbers], windows: _Numbers) -> None:
        """Values in millionths, by key."""
        places = windows * self._workload.zones + zones
        np.add.at(self._counts, places, 1)
        for key, units in enumerate(values):
            np.add.at(self._sums[key], places, units)
            if self._workload.four_keys:
                np.add.at(self._squares[key], places, (units // _DECIMALS) ** 2)
                np.minimum.at(self._least[key], places, units)
                np.maximum.at(self._greatest[key], places, units)

    def exact(self, names: list[str]) -> Exact:
        found: dict[tuple[str, int], tuple[int, Fraction]] = {}
        for place in np.flatnonzero(self._counts).tolist():
            window, zone = divmod(place, self._workload.zones)
            end = START_MS + (window + 1) * WINDOW_MS
            if self._workload.four_keys:
                for name, value in self._functions(place):
                    found[f"{names[zone]} {name}", end] = (int(self._counts[place]), value)
            else:
                count = int(self._counts[place])
                found[names[zone], end] = (count, Fraction(int(self._sums[0][place]), count * _DECIMALS))
        return found

    def _functions(self, place: int) -> Iterator[tuple[str, Fraction]]:
        count = int(self._counts[place])
        for number, key in enumerate(KEYS):
            total = Fraction(int(self._sums[number][place]), _DECIMALS)
            variance = (int(self._squares[number][place]) - total * total / count) / max(count - 1, 1)
            values = {
                "count": Fraction(count),
                "sum": total,
                "mean": total / count,
                "min": Fraction(int(self._least[number][place]), _DECIMALS),
                "max": Fraction(int(self._greatest[number][place]), _DECIMALS),
                "stddev": Fraction(math.sqrt(variance)),
            }
            for function in FUNCTIONS:
                if function != "stddev" or count > 1:
                    yield f"{function}({key})", values[function]
