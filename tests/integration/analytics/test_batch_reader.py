"""The batch reader on real Kafka: the Java of engine/java in a real Spark, compared with an independent version of the
rules in Python."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from py4j.protocol import Py4JError

from pacifictool.analytics.engine import reader
from pacifictool.analytics.engine.failures import spark_failure
from pacifictool.analytics.engine.reader import BatchResult
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.windows import UNITS
from pacifictool.errors import CheckpointMismatch
from pacifictool.kafka.topics import LOG_APPEND_TIME
from tests.support.batch_bench import NOW, OLD_CLIENT, Bench
from tests.support.record_cases import GOOD, REJECTED, VALID, expected_reading, mutated, record
from tests.support.scenarios import mean_rules, sum_of

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

DAY_MS = 86_400_000
TOO_LATE = "too late: its window was closed for good"
AHEAD = "timestamp more than 60 s ahead of its arrival"
Sums = dict[tuple[Any, Any], tuple[int, int]]


def sums(result: BatchResult) -> Sums:
    found = {(part.window_end_ms, part.group): (part.count, sum_of(part.state)) for part in result.contents().partials}
    assert len(found) == len(result.contents().partials)
    return found


def reasons(result: BatchResult) -> Counter[str]:
    return Counter(record.reason for record in result.contents().invalid)


def test_the_rules_in_java_and_in_python_agree_on_mutated_records(bench: Bench) -> None:
    values = VALID + mutated(10_000)
    # A window for each record, to see what became of it.
    bench.write(values, [NOW + 10_000 * number for number in range(len(values))])
    result = bench.read()

    wanted = {
        (NOW + 10_000 * (number + 1), reading[0]): (1, round(reading[1] * UNITS))
        for number, reading in enumerate(map(expected_reading, values))
        if reading is not None
    }
    assert sums(result) == wanted
    assert len(wanted) > 500
    assert {record.offset for record in result.contents().invalid} == {
        number for number, value in enumerate(values) if expected_reading(value) is None
    }


def test_the_jvm_alone_finds_what_spark_finds(bench: Bench, spark_settings: SparkSettings, tmp_path: Path) -> None:
    values = [record(f"Zone {number % 7}", str(number)) for number in range(3000)] + mutated(300)
    bench.write(values, [NOW + number for number in range(len(values))], partitions=3)
    with SparkRuntime(spark_settings, tmp_path) as runtime:
        alone = replace(bench, spark=runtime).read()
        assert runtime.ready_context is None
    in_spark = bench.read()
    assert replace(alone, contents=in_spark.contents) == in_spark
    assert alone.contents() == in_spark.contents()
    assert len(alone.ranges) == 3
    assert alone.contents().invalid


def test_the_failure_of_a_thread_of_the_jvm_has_its_reason(
    bench: Bench, spark_settings: SparkSettings, tmp_path: Path
) -> None:
    bench.write([GOOD])
    with SparkRuntime(spark_settings, tmp_path) as runtime:
        with pytest.raises(Py4JError) as caught:
            replace(bench, spark=runtime).read(ranges=[OffsetRange(0, 5, 9)])
        failure = spark_failure(str(caught.value), endpoint=bench.endpoint, topic=bench.topic, folder=tmp_path)
    assert isinstance(failure, CheckpointMismatch)


def test_each_kind_of_garbage_has_its_reason_and_is_kept_whole(bench: Bench) -> None:
    bench.write([value for value, _ in REJECTED])
    result = bench.read()

    found = {record.offset: (record.value, record.reason) for record in result.contents().invalid}
    for number, case in enumerate(REJECTED):
        assert found[number] == case, (case[0] or b"")[:100]
    assert result.contents().partials == []


@pytest.mark.parametrize("partitions", [1, 3])
def test_sums_are_exact_in_any_order(bench: Bench, monkeypatch: pytest.MonkeyPatch, partitions: int) -> None:
    monkeypatch.setattr(reader, "RECORDS_PER_TASK", 3_000)
    random_ = random.Random(3)
    texts = ["0", "-0", "0.1", "1e-7", "1E5", "999999999.999999999", "0.30000000000000004", "123456.7890123456789"]
    values, timestamps = [], []
    wanted: Sums = {}
    for _ in range(20_000):
        zone = random_.choice("ABC")
        number = random_.choice(
            [
                repr(round(random_.uniform(0, 60), random_.randrange(15))),
                repr(random_.uniform(1, 1e9)),
                str(random_.randint(30, 60)),
                random_.choice(texts),
            ]
        )
        timestamp = NOW + random_.randrange(60_000)
        values.append(record(f'"{zone}"', number))
        timestamps.append(timestamp)
        key = (timestamp // 10_000 * 10_000 + 10_000, zone)
        count, total = wanted.get(key, (0, 0))
        wanted[key] = (count + 1, total + round(Fraction(float(number) * UNITS)))
    bench.write(values, timestamps, partitions=partitions)

    result = bench.read()
    assert sums(result) == wanted
    assert result.contents().invalid == []
    assert list(result.ranges) == bench.ranges()
    assert result.newest_ms == {partition: max(timestamps[partition::partitions]) for partition in range(partitions)}


def test_extreme_values_do_not_overflow(bench: Bench) -> None:
    rules = mean_rules(minimum=-1e9)
    bench.write([record(number="1e9"), record('"B"', "-1000000000")] * 30_000)

    assert sums(bench.read(rules)) == {
        (NOW + 10_000, "Zone A"): (30_000, 30_000 * 10**18),
        (NOW + 10_000, "B"): (30_000, -30_000 * 10**18),
    }


@pytest.mark.parametrize("keys", [("geo zone", "wind.speed"), ("temp-celsius", "[0]"), ("^E.*", "%"), ("ключ", "a/b")])
def test_any_key_can_hold_the_zone_and_the_value(bench: Bench, keys: tuple[str, str]) -> None:
    rules = mean_rules(*keys, minimum=-5, maximum=5)
    bench.write(
        [
            json.dumps({keys[0]: "A", keys[1]: -1.5}, ensure_ascii=False).encode(),
            json.dumps({keys[1]: 2, keys[0]: "B"}).encode(),
            json.dumps({keys[1]: 3, keys[0]: "C"}, ensure_ascii=False).encode(),
            GOOD,
        ]
    )
    result = bench.read(rules)

    wanted = {"A": -1_500_000_000, "B": 2_000_000_000, "C": 3_000_000_000}
    assert sums(result) == {(NOW + 10_000, zone): (1, total) for zone, total in wanted.items()}
    assert reasons(result)[f"no {keys[0]}"] == 1


def test_records_without_timestamp_count_when_they_arrived(bench: Bench) -> None:
    bench.write([GOOD, record('"Österreich"'), GOOD, b"garbage"], **OLD_CLIENT)
    result = bench.read(untimed_event_ms=NOW + 5_000)

    assert sums(result) == {(NOW + 10_000, "Zone A"): (2, 62 * UNITS), (NOW + 10_000, "Österreich"): (1, 31 * UNITS)}
    assert result.without_timestamp == 3
    assert [record.timestamp_ms for record in result.contents().invalid] == [None]
    late = bench.read(untimed_event_ms=NOW + 5_000, closed_until_ms=NOW + 10_000)
    assert reasons(late) == {TOO_LATE: 3, "not one valid JSON value": 1}


def test_windows_include_their_start_and_exclude_their_end(bench: Bench) -> None:
    timestamps = [1, NOW - 1, NOW, NOW + 9_999, NOW + 10_000]
    bench.write([GOOD] * len(timestamps), timestamps)

    assert {part.window_end_ms: part.count for part in bench.read().contents().partials} == {
        10_000: 1,
        NOW: 1,
        NOW + 10_000: 2,
        NOW + 20_000: 1,
    }


@pytest.mark.parametrize("closed_until_ms", [NOW - 20_000, NOW - 15_001])
def test_late_records_and_those_from_the_future_are_kept_with_their_places(bench: Bench, closed_until_ms: int) -> None:
    late = closed_until_ms // 10_000 * 10_000
    nanoseconds = NOW * 1_000_000
    values = [
        GOOD,
        b"garbage",
        GOOD,
        GOOD,
        None,
        GOOD,
        GOOD,
        GOOD,
        GOOD,
        record('"Österreich"'),
        record(number="-1"),
        GOOD,
    ]
    timestamps = [
        NOW, NOW, NOW - 40_000, NOW + 2 * DAY_MS, NOW, late - 1, late, NOW + 60_000, NOW + 60_001, NOW, 2**63 - 1,
        nanoseconds,
    ]  # fmt: skip
    bench.write(values, timestamps)
    result = bench.read(closed_until_ms=closed_until_ms, arrived_ms=NOW)

    assert [
        (each.partition, each.offset, each.reason, each.timestamp_ms, each.value) for each in result.contents().invalid
    ] == [
        (0, 1, "not one valid JSON value", NOW, b"garbage"),
        (0, 2, TOO_LATE, NOW - 40_000, GOOD),
        (0, 3, AHEAD, NOW + 2 * DAY_MS, GOOD),
        (0, 4, "no value (a tombstone)", NOW, None),
        (0, 5, TOO_LATE, late - 1, GOOD),
        (0, 8, AHEAD, NOW + 60_001, GOOD),
        (0, 10, "windSpeed is not within 0 and 1000000000", 2**63 - 1, record(number="-1")),
        (0, 11, AHEAD, nanoseconds, GOOD),
    ]
    # A timestamp within the allowed skew counts, but moves no time beyond the arrival.
    assert (NOW + 70_000, "Zone A") in sums(result)
    assert result.newest_ms == {0: NOW}


def test_a_brokers_timestamp_is_never_ahead_of_arrival(bench: Bench) -> None:
    bench.write([GOOD], timestamp_type=LOG_APPEND_TIME)
    result = bench.read(arrived_ms=NOW - 3_600_000)

    assert sum(part.count for part in result.contents().partials) == 1
    assert result.newest_ms[0] > NOW - 3_600_000


def test_only_the_records_of_the_ranges_count(bench: Bench) -> None:
    bench.write([record(number=str(1 << bit)) for bit in range(20)], partitions=2)
    result = bench.read(ranges=[OffsetRange(0, 2, 5), OffsetRange(1, 9, 10)])

    # Partition 0 has the even bits, partition 1 the odd ones.
    wanted = (1 << 4) + (1 << 6) + (1 << 8) + (1 << 19)
    assert sums(result) == {(NOW + 10_000, "Zone A"): (4, wanted * UNITS)}


def test_gaps_in_the_offsets_end_nothing(bench: Bench) -> None:
    bench.write([GOOD] * 3)
    producer = Producer({"bootstrap.servers": bench.endpoint.bootstrap, "transactional.id": bench.topic})
    producer.init_transactions()
    for commits in (False, True, False):
        producer.begin_transaction()
        for _ in range(5):
            producer.produce(bench.topic, GOOD, timestamp=NOW)
        producer.flush()
        producer.commit_transaction() if commits else producer.abort_transaction()

    ranges = bench.ranges()
    assert ranges[0].records >= 3 + 15 + 3
    assert bench.read().ranges == ranges
    assert sums(bench.read()) == {(NOW + 10_000, "Zone A"): (8, 8 * 31 * UNITS)}


@pytest.mark.parametrize("partitions", [2, 5])  # a task for each range, and for all ranges of several partitions
@pytest.mark.parametrize("limit", [(50, 1_000, 10**9), (10_000, 50, 10**9), (10_000, 1_000, 1_500)])
def test_a_task_that_holds_enough_stops_and_the_rest_is_read_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: tuple[int, int, int], partitions: int
) -> None:
    monkeypatch.setattr(reader, "LIMITS", limit)
    monkeypatch.setattr(reader, "RECORDS_PER_TASK", 600 // partitions)
    values = [b"garbage %d" % number if number % 2 else record(f'"Zone {number}"') for number in range(1_000)]
    bench.write(values, partitions=partitions)
    ranges, found, invalid = bench.ranges(), Counter[str](), Counter[int]()
    rounds = 0
    while ranges:
        result = bench.read(ranges=ranges)
        rounds += 1
        found.update({part.group: part.count for part in result.contents().partials})
        invalid.update(record.offset for record in result.contents().invalid)
        assert all(part.start == ranges[0].start for part in result.ranges if part.partition == ranges[0].partition)
        read = {part.partition: part.end for part in result.ranges}
        ranges = [
            OffsetRange(each.partition, read.get(each.partition, each.start), each.end)
            for each in ranges
            if read.get(each.partition, each.start) < each.end
        ]

    assert rounds > 2
    assert found == {f"Zone {number}": 1 for number in range(0, 1_000, 2)}
    assert invalid.total() == 500


def test_records_that_are_gone_are_missed(bench: Bench) -> None:
    bench.write([GOOD] * 10)
    admin = AdminClient({"bootstrap.servers": bench.endpoint.bootstrap})
    for future in admin.delete_records([TopicPartition(bench.topic, 0, 4)]).values():
        future.result()

    with pytest.raises(Exception, match="OffsetOutOfRange") as raised:
        bench.read(ranges=[OffsetRange(0, 0, 10)])
    error = spark_failure(str(raised.value), endpoint=bench.endpoint, topic=bench.topic, folder=bench.spark._folder)
    assert isinstance(error, CheckpointMismatch)
    assert not isinstance(raised.value, KafkaException)
