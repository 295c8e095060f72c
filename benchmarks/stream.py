"""The records that every engine averages, and the exact means.

A workload is a pure function of its description: the first N records are the same in every topic that holds them, so
that a slower engine can be given a shorter topic of the same stream.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Workload:
    """What a topic holds."""

    records: int
    zones: int = 3
    partitions: int = 8
    distinct: bool = False
    """Values with six decimals, nearly all different; else whole numbers of 30 to 60, as in the tutorial."""

    @property
    def name(self) -> str:
        values = "six decimals" if self.distinct else "whole numbers"
        return f"{values}, {self.zones:,} zones, {self.partitions} partition{'s' if self.partitions > 1 else ''}"

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
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    names = [_zone(number) for number in range(workload.zones)]
    number = 0
    for zones, units, windows in _chunks(workload):
        for zone, value in zip(zones.tolist(), units.tolist(), strict=True):
            while True:
                try:
                    producer.produce(
                        topic,
                        _value(names[zone], value, distinct=workload.distinct),
                        key=names[zone],
                        partition=number % workload.partitions,
                        timestamp=START_MS + number // RECORDS_PER_MS,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            number += 1
        producer.poll(0)
        keys, places, counts = np.unique(windows * workload.zones + zones, return_inverse=True, return_counts=True)
        totals = np.zeros(len(keys), dtype=np.int64)
        np.add.at(totals, places, units)
        for key, count, total in zip(keys.tolist(), counts.tolist(), totals.tolist(), strict=True):
            window, zone = divmod(key, workload.zones)
            known = sums.get((zone, window), (0, 0))
            sums[zone, window] = (known[0] + count, known[1] + total)
    last_end_ms = START_MS + (number // RECORDS_PER_MS // WINDOW_MS + 1) * WINDOW_MS
    for partition in range(workload.partitions):
        producer.produce(
            topic,
            _value(CLOSING_ZONE, _LOWEST * _DECIMALS, distinct=False),
            key=CLOSING_ZONE,
            partition=partition,
            timestamp=last_end_ms + 2 * WINDOW_MS,
        )
    if producer.flush(60):
        raise SystemExit("Kafka did not take the benchmark's records.")
    return {
        (names[zone], START_MS + (window + 1) * WINDOW_MS): (count, Fraction(total, count * _DECIMALS))
        for (zone, window), (count, total) in sums.items()
    }


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


def _value(zone: str, units: int, *, distinct: bool) -> bytes:
    """As the tutorial's rule writes it."""
    number = f"{units // _DECIMALS}.{units % _DECIMALS:06d}" if distinct else str(units // _DECIMALS)
    return f'{{"geoZone":"{zone}", "windSpeed":{number}}}'.encode()
