"""Large batches: real Kafka, read by our Java in a real Spark, against the rules told once more in Python."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from record_cases import GOOD, REJECTED, VALID, mutated, record, truth

from pacifictool.aggregation import pipeline, range_sums
from pacifictool.aggregation.checkpoint import OffsetRange
from pacifictool.aggregation.pipeline import DAY_MS, FROM_THE_FUTURE, TOO_LATE, Moment, Rules
from pacifictool.aggregation.range_sums import RangeSums
from pacifictool.aggregation.small_batch import SmallBatch
from pacifictool.aggregation.source import consumer_properties, spark_failure
from pacifictool.aggregation.spark import SparkRuntime
from pacifictool.aggregation.windows import UNITS, join_halves
from pacifictool.errors import CheckpointMismatch
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin
from pacifictool.sandbox.stack import LocalStack
from pacifictool.settings import KafkaEndpoint

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

RULES = Rules(10_000, "geoZone", "windSpeed", minimum=0, maximum=1e9, nonce="5e0bb5d1c4a84c2f")
NOW = 1_795_477_550_000
OLD_CLIENT: dict[str, Any] = {"api.version.request": False, "broker.version.fallback": "0.9.0.1", "log_level": 0}
"""A 1.x server's, which speaks the protocol of Kafka 0.9: its records have no time stamp
(docs/servers/1.x.md#forwarding-to-kafka, row 2)."""
Sums = dict[tuple[Any, Any], tuple[int, int]]


@dataclass
class Bench:
    """A topic, and the sums of it."""

    spark: SparkRuntime
    endpoint: KafkaEndpoint
    topic: str

    def write(
        self,
        values: Sequence[bytes | None],
        stamps: Sequence[int] | None = None,
        *,
        partitions: int = 1,
        **config: Any,
    ) -> None:
        """Without stamps, all records are of the moment NOW."""
        KafkaAdmin(self.endpoint).create(
            self.topic, partitions=partitions, replication=1, timestamp_type=CREATE_TIME
        )  # fmt: skip
        producer = Producer(
            {
                "bootstrap.servers": self.endpoint.bootstrap,
                "queue.buffering.max.messages": 1_000_000,
                "message.max.bytes": 1_048_000,
                **config,
            }
        )
        stamps = stamps or [NOW] * len(values)
        for number, (value, stamp) in enumerate(zip(values, stamps, strict=True)):
            producer.produce(self.topic, value, partition=number % partitions, timestamp=stamp)
            producer.poll(0)
        assert producer.flush(60) == 0

    def sums(self, rules: Rules = RULES) -> RangeSums:
        return RangeSums(self.spark, consumer_properties(self.endpoint), self.topic, rules)

    def ranges(self) -> list[OffsetRange]:
        return [OffsetRange(part, 0, end) for part, end in KafkaAdmin(self.endpoint).offsets(self.topic).items()]


@pytest.fixture
def bench(spark: SparkRuntime, stack: LocalStack) -> Iterator[Bench]:
    endpoint = KafkaEndpoint(stack.broker.bootstrap)
    bench = Bench(spark, endpoint, f"ranges-{uuid4().hex[:8]}")
    yield bench
    KafkaAdmin(endpoint).delete(bench.topic)


def valid(rows: Sequence[Any]) -> Sums:
    found: Sums = {}
    for row in rows:
        if row.reason is None:
            count, total = found.get((row.window_end, row.zone), (0, 0))
            found[row.window_end, row.zone] = (count + row.records, total + join_halves(row.high, row.low))
    return found


def rejected(rows: Sequence[Any]) -> Counter[str]:
    return Counter({row.reason: row.records for row in rows if row.reason is not None})


def quick_records(bench: Bench) -> int:
    rows = bench.sums().groups(bench.ranges()).where("zone IS NOT NULL").collect()
    return sum(row.records for row in rows)


def test_the_rules_in_java_and_in_python_agree_on_mutated_records(bench: Bench) -> None:
    values = [value for value in VALID if len(value) < 300] + mutated(10_000)
    # A window for each, so that what became of it can be told.
    bench.write(values, [NOW + 10_000 * number for number in range(len(values))])
    rows = bench.sums().collect(bench.ranges())

    wanted = {
        (NOW + 10_000 * (number + 1), reading[0]): (1, round(reading[1] * UNITS))
        for number, reading in enumerate(map(truth, values))
        if reading is not None
    }
    assert valid(rows) == wanted
    assert rejected(rows).total() == len(values) - len(wanted)
    # Few of these are in the platform's own form: both ways were taken.
    assert 500 < quick_records(bench) < len(wanted)


def test_each_kind_of_garbage_has_its_reason(bench: Bench) -> None:
    bench.write([value for value, _ in REJECTED], partitions=3)
    rows = bench.sums().collect(bench.ranges())

    assert rejected(rows) == Counter(reason for _, reason in REJECTED)
    assert {(row.window_end, row.zone, row.high) for row in rows} == {(None, None, None)}


@pytest.mark.parametrize("partitions", [1, 3])
def test_all_ways_of_summing_are_exact_and_equal_in_any_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, partitions: int
) -> None:
    monkeypatch.setattr(range_sums, "RECORDS_PER_TASK", 3_000)
    random_ = random.Random(3)
    texts = ["0", "-0", "0.1", "1e-7", "1E5", "999999999.999999999", "0.30000000000000004", "123456.7890123456789"]
    values, stamps = [], []
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
        stamp = NOW + random_.randrange(60_000)
        values.append(record(f'"{zone}"', number))
        stamps.append(stamp)
        key = (stamp // 10_000 * 10_000 + 10_000, zone)
        count, total = wanted.get(key, (0, 0))
        wanted[key] = (count + 1, total + round(Fraction(float(number) * UNITS)))
    bench.write(values, stamps, partitions=partitions)

    rows = bench.sums().collect(bench.ranges())
    assert valid(rows) == wanted
    assert rejected(rows) == {}
    assert {row.window_end: row.newest_ms for row in rows if row.zone == "A"} == {
        end: max(stamp for stamp, value in zip(stamps, values, strict=True) if end - 10_000 <= stamp < end and b'"A"' in value)
        for end in {end for end, zone in wanted if zone == "A"}
    }  # fmt: skip
    assert quick_records(bench) == len(values)
    small = SmallBatch(RULES).sums(list(zip(values, stamps, strict=True)))
    assert small is not None
    assert valid(small) == wanted


def test_extreme_values_do_not_overflow(bench: Bench) -> None:
    rules = Rules(10_000, "geoZone", "windSpeed", minimum=-1e9, maximum=1e9, nonce="n")
    bench.write([record(number="1e9"), record('"B"', "-1000000000")] * 30_000)

    assert valid(bench.sums(rules).collect(bench.ranges())) == {
        (NOW + 10_000, "Zone A"): (30_000, 30_000 * 10**18),
        (NOW + 10_000, "B"): (30_000, -30_000 * 10**18),
    }


@pytest.mark.parametrize("keys", [("geo zone", "wind.speed"), ("it's", 'say "x"'), ("$[0]", "\\E.*"), ("ключ", "a/b")])
def test_any_key_can_hold_the_zone_and_the_value(bench: Bench, keys: tuple[str, str]) -> None:
    rules = Rules(10_000, *keys, minimum=-5, maximum=5, nonce="n")
    bench.write(
        [
            json.dumps({keys[0]: "A", keys[1]: -1.5}, ensure_ascii=False).encode(),
            json.dumps({keys[1]: 2, keys[0]: "B"}).encode(),
            json.dumps({keys[1]: 3, keys[0]: "C"}, ensure_ascii=False).encode(),
            GOOD,
        ]
        + [f'{{"{keys[0]}":"D", "{keys[1]}":1}}'.encode()] * ('"' in keys[1])  # quotes that are not escaped
    )
    rows = bench.sums(rules).collect(bench.ranges())

    wanted = {"A": -1_500_000_000, "B": 2_000_000_000, "C": 3_000_000_000}
    assert valid(rows) == {(NOW + 10_000, zone): (1, total) for zone, total in wanted.items()}
    assert rejected(rows).pop(f"no {keys[0]}") == 1
    assert rejected(rows)["not one valid JSON value"] == ('"' in keys[1])


def test_records_without_a_time_stamp_have_no_window(bench: Bench) -> None:
    bench.write([GOOD, record('"Österreich"'), GOOD], **OLD_CLIENT)
    rows = bench.sums().collect(bench.ranges())

    assert valid(rows) == {(None, "Zone A"): (2, 62 * UNITS), (None, "Österreich"): (1, 31 * UNITS)}
    assert {row.newest_ms for row in rows} == {None}


def test_windows_include_their_start_and_exclude_their_end(bench: Bench) -> None:
    stamps = [1, NOW - 1, NOW, NOW + 9_999, NOW + 10_000, 2**63 - 1]
    bench.write([GOOD] * len(stamps), stamps)
    rows = bench.sums().collect(bench.ranges())

    far = max(row.window_end for row in rows)
    assert far > 2**61
    assert {row.window_end: row.records for row in rows} == {
        10_000: 1,
        NOW: 1,
        NOW + 10_000: 2,
        NOW + 20_000: 1,
        far: 1,
    }


@pytest.mark.parametrize("sealed_until_ms", [NOW - 20_000, NOW - 15_001])
def test_rejects_are_garbage_the_future_and_the_late_with_their_places(bench: Bench, sealed_until_ms: int) -> None:
    late = sealed_until_ms // 10_000 * 10_000
    values = [GOOD, b"garbage", GOOD, GOOD, None, GOOD, GOOD, GOOD, GOOD, record('"Österreich"'), record(number="-1")]
    stamps = [
        NOW, NOW, NOW - 40_000, NOW + 2 * DAY_MS, NOW, late - 1, late, NOW + DAY_MS, NOW + DAY_MS + 10_000, NOW, 2**63 - 1,
    ]  # fmt: skip
    moment = Moment(
        unstamped_window_end_ms=NOW + 10_000,
        last_window_end_ms=NOW + DAY_MS + 10_000,
        sealed_until_ms=sealed_until_ms,
    )
    bench.write(values, stamps)
    found = bench.sums().rejects(bench.ranges(), moment).orderBy("offset").collect()

    assert [(row.partition, row.offset, row.reason, row.stamp_ms, row.value) for row in found] == [
        (0, 1, "not one valid JSON value", NOW, b"garbage"),
        (0, 2, TOO_LATE, NOW - 40_000, GOOD),
        (0, 3, FROM_THE_FUTURE, NOW + 2 * DAY_MS, GOOD),
        (0, 4, "no value (a tombstone)", NOW, None),
        (0, 5, TOO_LATE, late - 1, GOOD),
        (0, 8, FROM_THE_FUTURE, NOW + DAY_MS + 10_000, GOOD),
        (0, 10, "windSpeed is not within 0 and 1000000000", 2**63 - 1, record(number="-1")),
    ]


@pytest.mark.parametrize(("sealed_until_ms", "reason"), [(NOW, None), (NOW + 10_000, TOO_LATE)])
def test_records_without_a_time_stamp_are_late_when_their_arrival_is(
    bench: Bench, sealed_until_ms: int, reason: str | None
) -> None:
    bench.write([GOOD, b"garbage"], **OLD_CLIENT)
    moment = Moment(NOW + 10_000, last_window_end_ms=NOW + DAY_MS, sealed_until_ms=sealed_until_ms)
    found = bench.sums().rejects(bench.ranges(), moment).orderBy("offset").collect()

    wanted = [(0, reason, None), (1, "not one valid JSON value", None)]
    assert [(row.offset, row.reason, row.stamp_ms) for row in found] == wanted[0 if reason else 1 :]


def test_only_the_records_of_the_ranges_count(bench: Bench) -> None:
    bench.write([record(number=str(1 << bit)) for bit in range(20)], partitions=2)
    found = bench.sums().collect([OffsetRange(0, 2, 5), OffsetRange(1, 9, 10)])

    # Partition 0 has the even bits, partition 1 the odd ones.
    wanted = (1 << 4) + (1 << 6) + (1 << 8) + (1 << 19)
    assert valid(found) == {(NOW + 10_000, "Zone A"): (4, wanted * UNITS)}


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
    assert valid(bench.sums().collect(ranges)) == {(NOW + 10_000, "Zone A"): (8, 8 * 31 * UNITS)}


def test_more_than_a_task_holds_at_once_is_handed_on(bench: Bench) -> None:
    """Groups go on to Spark when they are 50,000, or have 8 MB of values in them."""
    many = [record(f'"Zone {number}"') for number in range(60_000)] + [
        b"garbage %d" % number for number in range(60_000)
    ]
    large = [record(number=str(number), more=f', "text": "{"y" * 900_000}"') for number in range(20)]
    bench.write([*many, *large])
    rows = bench.sums().collect(bench.ranges())

    found = valid(rows)
    assert found.pop((NOW + 10_000, "Zone A")) == (20, sum(range(20)) * UNITS)
    assert found == {(NOW + 10_000, f"Zone {number}"): (1, 31 * UNITS) for number in range(60_000)}
    assert rejected(rows) == {"not one valid JSON value": 60_000}


def test_records_that_are_gone_are_missed(bench: Bench) -> None:
    bench.write([GOOD] * 10)
    admin = AdminClient({"bootstrap.servers": bench.endpoint.bootstrap})
    for future in admin.delete_records([TopicPartition(bench.topic, 0, 4)]).values():
        future.result()

    with pytest.raises(Exception, match="OffsetOutOfRange") as raised:
        bench.sums().collect([OffsetRange(0, 0, 10)])
    error = spark_failure(str(raised.value), endpoint=bench.endpoint, topic=bench.topic, folder=bench.spark._folder)
    assert isinstance(error, CheckpointMismatch)
    assert not isinstance(raised.value, KafkaException)


def test_the_plan_of_a_batch_says_nothing_about_the_batch(bench: Bench) -> None:
    """Spark compiles each new plan text; an offset in it would cost more than a small batch."""
    bench.write([GOOD, b"garbage"] * 4)

    def code(start: int) -> str:
        groups = bench.sums().groups([OffsetRange(0, start, start + 4)])
        texts = []
        for frame in (pipeline.sums_of_known(groups), pipeline.sums_of_judged(groups, RULES)):
            executed = frame._jdf.queryExecution().executedPlan()
            text = bench.spark.session._jvm.org.apache.spark.sql.execution.debug.package.codegenString(executed)  # type: ignore[union-attr]
            texts += [line for line in str(text).splitlines() if line.startswith("/*")]
        return "\n".join(texts)

    assert code(0) == code(4)
