from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from record_cases import GOOD, REJECTED, VALID, mutated, record, truth

from pacifictool.aggregation import pipeline
from pacifictool.aggregation.pipeline import Rules
from pacifictool.aggregation.small_batch import SmallBatch
from pacifictool.aggregation.spark import SparkRuntime
from pacifictool.aggregation.windows import UNITS, join_halves

pytestmark = pytest.mark.spark

RULES = Rules(10_000, "geoZone", "windSpeed", minimum=0, maximum=1e9, nonce="5e0bb5d1c4a84c2f")
NOW = 1_795_477_550_000


def records(
    spark: SparkRuntime, values: Sequence[bytes | None], stamps: Sequence[int] | None = None, *, parts: int = 1
) -> DataFrame:
    """What Kafka's source would give: one record a value, offsets in order."""
    stamps = stamps or [NOW] * len(values)
    rows = [
        (None if value is None else bytearray(value), "t", 0, offset, stamp)
        for offset, (value, stamp) in enumerate(zip(values, stamps, strict=True))
    ]
    schema = "value binary, topic string, partition int, offset long, stamp long"
    return (
        spark.session.createDataFrame(rows, schema)
        .withColumn("timestamp", F.timestamp_millis("stamp"))
        .repartition(parts)
    )


def classify(spark: SparkRuntime, values: Sequence[bytes | None], rules: Rules = RULES) -> list[tuple[Any, Any, Any]]:
    rows = pipeline.classified(records(spark, values), rules).orderBy("offset").collect()
    return [(row.zone, row.number, row.reason) for row in rows]


def test_valid_records_are_taken_as_they_are(spark: SparkRuntime) -> None:
    for value, (zone, number, reason) in zip(VALID, classify(spark, VALID), strict=True):
        assert (zone, number, reason) == (*(truth(value) or ("?", "?")), None), value[:100]


def test_each_kind_of_garbage_has_its_reason(spark: SparkRuntime) -> None:
    found = classify(spark, [value for value, _ in REJECTED])
    for (value, reason), (zone, number, told) in zip(REJECTED, found, strict=True):
        assert (zone, number, told) == (None, None, reason), (value or b"")[:100]


def test_the_rules_in_spark_and_in_python_agree_on_mutated_records(spark: SparkRuntime) -> None:
    values = mutated(10_000)
    found = classify(spark, values)

    expected = [truth(value) for value in values]
    assert 500 < sum(1 for wanted in expected if wanted is not None) < 9_000
    small = SmallBatch(RULES)
    taken = 0
    for value, wanted, (zone, number, reason) in zip(values, expected, found, strict=True):
        assert ((zone, number) if reason is None else None) == wanted, (value, reason)
        # A small batch is judged on the driver, but only where there is no doubt.
        if (quick := small.sums([(value, NOW)])) is not None:
            taken += 1
            assert reason is None, value
            assert sums(quick) == {(NOW + 10_000, zone): (1, round(number * UNITS))}, value
    assert taken > 500


@pytest.mark.parametrize("keys", [("geo zone", "wind.speed"), ("it's", 'say "x"'), ("$[0]", "\\E.*"), ("ключ", "a/b")])
def test_any_key_can_hold_the_zone_and_the_value(spark: SparkRuntime, keys: tuple[str, str]) -> None:
    rules = Rules(10_000, *keys, minimum=-5, maximum=5, nonce="n")
    values = [
        json.dumps({keys[0]: "A", keys[1]: -1.5}, ensure_ascii=False).encode(),
        json.dumps({keys[1]: 2, keys[0]: "B"}).encode(),
        GOOD,
    ]
    assert classify(spark, values, rules) == [("A", -1.5, None), ("B", 2.0, None), (None, None, f"no {keys[0]}")]
    small = SmallBatch(rules)
    assert sums(small.sums([(values[0], NOW)]) or []) == {(NOW + 10_000, "A"): (1, -1_500_000_000)}
    assert small.sums([(values[0], NOW), (values[2], NOW)]) is None


def sums(rows: Sequence[Any]) -> dict[tuple[Any, Any], tuple[int, int]]:
    return {(row.window_end, row.zone): (row.records, join_halves(row.high, row.low)) for row in rows}


def test_a_small_batch_has_windows_of_its_own_for_records_without_a_time(spark: SparkRuntime) -> None:
    values, stamps = [GOOD, record(number="1.5"), GOOD, GOOD, GOOD], [NOW, NOW + 9_999, NOW + 10_000, -1, -1]
    found = SmallBatch(RULES).collect(records(spark, values, stamps, parts=2))

    assert found is not None
    assert sums(found) == {
        (NOW + 10_000, "Zone A"): (2, 32_500_000_000),
        (NOW + 20_000, "Zone A"): (1, 31_000_000_000),
        (None, "Zone A"): (2, 62_000_000_000),
    }
    assert {row.window_end: row.newest_ms for row in found} == {
        NOW + 10_000: NOW + 9_999,
        NOW + 20_000: NOW + 10_000,
        None: None,
    }


@pytest.mark.parametrize(
    "value", [None, b"", b"garbage", record(number="-1"), record(number="1e10"), record('"' + "z" * 256 + '"')]
)
def test_what_leaves_room_for_doubt_is_left_to_spark(spark: SparkRuntime, value: bytes | None) -> None:
    assert SmallBatch(RULES).collect(records(spark, [GOOD, value, GOOD])) is None


def test_a_value_of_a_megabyte_does_not_come_to_the_driver(spark: SparkRuntime) -> None:
    batch = records(spark, [record(more=f', "text": "{"y" * 1_000_000}"')] * 50)
    assert SmallBatch(RULES).collect(batch) is None
