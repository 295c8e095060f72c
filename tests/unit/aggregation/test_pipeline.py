from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pacifictool.aggregation import pipeline
from pacifictool.aggregation.pipeline import DAY_MS, FROM_THE_FUTURE, TOO_LATE, Moment, Rules
from pacifictool.aggregation.small_batch import SmallBatch
from pacifictool.aggregation.spark import SparkRuntime
from pacifictool.aggregation.windows import UNITS, exact_mean, join_halves

pytestmark = pytest.mark.spark

RULES = Rules(10_000, "geoZone", "windSpeed", minimum=0, maximum=1e9, nonce="5e0bb5d1c4a84c2f")
NOW = 1_795_477_550_000
GOOD = b'{"geoZone":"Zone A", "windSpeed":31}'


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
    rows = pipeline.classified(pipeline.readings(records(spark, values), rules), rules).orderBy("offset").collect()
    return [(row.zone, row.number, row.reason) for row in rows]


class _NotStrictError(Exception):
    pass


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _NotStrictError
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise _NotStrictError


def truth(value: bytes | None) -> tuple[str, float] | None:
    """The rules, told once more in Python; None for a reject."""
    try:
        document = json.loads(
            (value or b"").decode("utf-8"), object_pairs_hook=_strict_object, parse_constant=_no_constant
        )
        json.dumps(document, ensure_ascii=False).encode("utf-8")
        if not isinstance(document, dict):
            return None
        zone, number = document.get("geoZone"), document.get("windSpeed")
        if not isinstance(zone, str) or isinstance(number, bool) or not isinstance(number, int | float):
            return None
        if not zone.strip() or len(zone) > 255 or any(ord(char) < 0x20 or ord(char) == 0x7F for char in zone):
            return None
        return (zone, float(number)) if 0 <= float(number) <= 1e9 else None
    except (ValueError, OverflowError, _NotStrictError, RecursionError):
        return None


def record(zone: str = '"Zone A"', number: str = "31", more: str = "") -> bytes:
    return f'{{"geoZone":{zone}, "windSpeed":{number}{more}}}'.encode("utf-8", "surrogatepass")


VALID: list[bytes] = [
    GOOD,
    record(number="0"), record(number="-0"), record(number="-0.0"), record(number="1E5"), record(number="1.0E-7"),
    record(number="1.23456789E7"), record(number="1000000000"), record(number="1e9"), record(number="1e-400"),
    record(number="0.1"), record(number="3." + "1" * 200), record(number="1" + "0" * 8 + ".0000000000000000000001"),
    record(more=', "extra": {"a": [1, null, true, "x"]}'), record(more=', "big": ' + "9" * 900),
    record(more=', "text": "' + "y" * 1_000_000 + '"'), record(more=', "deep": ' + "[" * 900 + "]" * 900),
    record('"Österreich"'), record('"日本 🌀"'), record('"\\ud83c\\udf00"'), record('" Zone A"'), record('"Zone A "'),
    record('"Zone \\"A\\""'), record('"a/b\\\\c"'), record('"' + "z" * 255 + '"'), record('"' + "🌀" * 255 + '"'),
    record('"NaN"'), record('"\\u0041"'), record('"\u200b"'), record('"\ufffd"'),
    b' \t\r\n{"windSpeed" : 5 ,\n"geoZone" : "B"}\n ',
]  # fmt: skip

REJECTED: list[tuple[bytes | None, str]] = [
    (None, "no value (a tombstone)"),
    (b"", "empty"),
    *[
        (value, "not one valid JSON value")
        for value in (
            b" ", b"hello", b"{", b"}", b"\x00", GOOD + b"x", GOOD + GOOD, GOOD + b"\x00", GOOD + b",", GOOD + b"]",
            GOOD + b"//", b"/**/" + GOOD, b"\xef\xbb\xbf" + GOOD, b"\x0c" + GOOD, b"\xc2\xa0" + GOOD,
            GOOD + b',"5e0bb5d1c4a84c2"', GOOD + b"],[1", GOOD + b',null],"x"', GOOD + b',true],["a"',
            b'{"geoZone":"Zone A", "windSpeed":}', b'{"geoZone":"Zo"ne", "windSpeed":1}',
            b"{'geoZone':'A','windSpeed':1}", b'{geoZone:"A",windSpeed:1}', b'{"geoZone":"A","windSpeed":1,}',
            record(number="gale"), record(number="NaN"), record(number="Infinity"), record(number="-Infinity"),
            record(number="01"), record(number="+1"), record(number="1."), record(number=".5"), record(number="0x1F"),
            record(number="1_000"), record(number="True"), record(number="1d"),
            record('"a\nb"'), record('"a\tb"'), record('"a\x00b"'), record('"\\x41"'), record('"\\ud800"'),
            record(more=', "x": "\\udc00"'), record(more=', "windSpeed": 2'), record(more=', "geo\\u005aone": "B"'),
            record(more=', "x": {"a": 1, "a": 2}'), b"[" * 100_000, b'{"a":' * 100_000,
            record(more=', "deep": ' + "[" * 100_000 + "]" * 100_000), b"y" * 1_000_000,
        )
    ],
    *[(value, "not UTF-8") for value in (b"\xff", record('"\ud800"'), GOOD[:14] + b"\xe9" + GOOD[14:], b"\xc0\xaf", GOOD + b"\x80")],
    *[(value, "not a JSON object") for value in (b"null", b"true", b"5", b'"text"', b"[]", b"[" + GOOD + b"]")],
    (b"{}", "no geoZone"),
    (b'{"windSpeed":1}', "no geoZone"),
    (b'{"GeoZone":"A","windSpeed":1}', "no geoZone"),
    *[(record(zone), "geoZone is not a text") for zone in ("7", "null", "true", '["A"]', '{"a":1}', "1.5")],
    *[(record(zone), "geoZone is blank") for zone in ('""', '"   "', '"\u2003"', '"\xa0\u3000"', '"\\u0085"')],
    (record('"' + "z" * 256 + '"'), "geoZone is longer than 255 characters"),
    *[(record(zone), "geoZone holds control characters") for zone in ('"\\u0000"', '"a\\nb"', '"\\u001f"', '"\x7f"')],
    (b'{"geoZone":"A"}', "no windSpeed"),
    *[(record(number=text), "windSpeed is not a number") for text in ('"31"', "null", "true", "[31]", "{}", '""')],
    *[
        (record(number=text), "windSpeed is not within 0 and 1000000000")
        for text in ("-1", "-1e-9", "1000000001", "1e10", "1e400", "-1e400", "1" * 400, "12345678901234567890123", "1e309")
    ],
]  # fmt: skip


def test_valid_records_are_taken_as_they_are(spark: SparkRuntime) -> None:
    for value, (zone, number, reason) in zip(VALID, classify(spark, VALID), strict=True):
        assert (zone, number, reason) == (*(truth(value) or ("?", "?")), None), value[:100]


def test_each_kind_of_garbage_has_its_reason(spark: SparkRuntime) -> None:
    found = classify(spark, [value for value, _ in REJECTED])
    for (value, reason), (zone, number, told) in zip(REJECTED, found, strict=True):
        assert (zone, number, told) == (None, None, reason), (value or b"")[:100]


def test_the_rules_in_spark_and_in_python_agree_on_mutated_records(spark: SparkRuntime) -> None:
    random_ = random.Random(20)
    valid = [value for value in VALID if len(value) < 300]
    others = [value for value, _ in REJECTED if value is not None and len(value) < 300]
    pieces = [bytes([byte]) for byte in b'"\\{},:09-.e\x00\xff u[]'] + [b""]
    values = []
    for _ in range(10_000):
        value = random_.choice(valid if random_.random() < 0.8 else others)
        for _ in range(random_.randint(1, 2)):
            place = random_.randrange(len(value) + 1)
            value = value[:place] + random_.choice(pieces) + value[place + random_.randint(0, 1) :]
        values.append(value)
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
            assert sums(spark, quick) == {(NOW + 10_000, zone): (1, round(number * UNITS))}, value
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
    assert sums(spark, small.sums([(values[0], NOW)]) or []) == {(NOW + 10_000, "A"): (1, -1_500_000_000)}
    assert small.sums([(values[0], NOW), (values[2], NOW)]) is None


def sums(spark: SparkRuntime, rows: Sequence[Any]) -> dict[tuple[Any, Any], tuple[int, int]]:
    return {(row.window_end, row.zone): (row.records, join_halves(row.high, row.low)) for row in rows if not row.reason}


def test_all_ways_of_summing_are_exact_and_equal_in_any_order(spark: SparkRuntime) -> None:
    random_ = random.Random(3)
    values, stamps = [], []
    wanted: dict[tuple[Any, Any], tuple[int, int]] = {}
    for _ in range(20_000):
        # Of as many decimals as the fast pattern takes, so that none of these is left to the full parser.
        zone, number = (
            random_.choice("ABC"),
            random_.choice([round(random_.uniform(0, 60), 14), random_.uniform(1, 1e9), 31]),
        )
        stamp = NOW + random_.randrange(60_000)
        values.append(record(f'"{zone}"', repr(number)))
        stamps.append(stamp)
        key = (stamp // 10_000 * 10_000 + 10_000, zone)
        count, total = wanted.get(key, (0, 0))
        wanted[key] = (count + 1, total + round(Fraction(number * UNITS)))

    for parts in (1, 3):
        batch = pipeline.readings(records(spark, values, stamps, parts=parts), RULES)
        assert sums(spark, pipeline.sums_of_distinct(batch, RULES).collect()) == wanted
        assert sums(spark, pipeline.sums_of_each(batch, RULES).collect()) == wanted
        small = SmallBatch(RULES).collect(records(spark, values, stamps, parts=parts))
        assert small is not None
        assert sums(spark, small) == wanted
    count, total = wanted[NOW + 10_000, "A"]
    assert exact_mean(total, count) == pytest.approx(total / UNITS / count, rel=1e-15)


def test_extreme_values_do_not_overflow(spark: SparkRuntime) -> None:
    rules = Rules(10_000, "geoZone", "windSpeed", minimum=-1e9, maximum=1e9, nonce="n")
    values = [record(number="1e9")] * 30_000 + [record('"B"', "-1e9")] * 30_000
    batch = pipeline.readings(records(spark, values), rules)

    assert sums(spark, pipeline.sums_of_distinct(batch, rules).collect()) == {
        (NOW + 10_000, "Zone A"): (30_000, 30_000 * 10**18),
        (NOW + 10_000, "B"): (30_000, -30_000 * 10**18),
    }


@pytest.mark.parametrize(
    "value", [None, b"", b"garbage", record(number="-1"), record(number="1e10"), record('"' + "z" * 256 + '"')]
)
def test_what_leaves_room_for_doubt_is_left_to_spark(spark: SparkRuntime, value: bytes | None) -> None:
    assert SmallBatch(RULES).collect(records(spark, [GOOD, value, GOOD])) is None


def test_a_value_of_a_megabyte_does_not_come_to_the_driver(spark: SparkRuntime) -> None:
    batch = records(spark, [record(more=f', "text": "{"y" * 1_000_000}"')] * 50)
    assert SmallBatch(RULES).collect(batch) is None


def test_in_a_small_batch_windows_and_records_without_a_time_are_as_in_spark(spark: SparkRuntime) -> None:
    values, stamps = [GOOD, record(number="1.5"), GOOD, GOOD, GOOD], [NOW, NOW + 9_999, NOW + 10_000, -1, -1]
    batch = records(spark, values, stamps)
    small = SmallBatch(RULES).collect(batch)
    assert small is not None
    full = pipeline.sums_of_distinct(pipeline.readings(batch, RULES), RULES).collect()

    def whole(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        fields = ("window_end", "zone", "reason", "records", "high", "low", "newest_ms")
        return sorted((tuple(getattr(row, name) for name in fields) for row in rows), key=str)

    assert [(row[0], row[3]) for row in whole(small)] == [(NOW + 10_000, 2), (NOW + 20_000, 1), (None, 2)]
    assert whole(small) == whole(full)


def test_windows_include_their_start_and_exclude_their_end(spark: SparkRuntime) -> None:
    stamps = [NOW, NOW + 9_999, NOW + 10_000, 0, -1]
    batch = pipeline.readings(records(spark, [GOOD] * 5, stamps), RULES)

    assert [row.window_end for row in batch.orderBy("offset").collect()] == [
        NOW + 10_000,
        NOW + 10_000,
        NOW + 20_000,
        10_000,
        None,
    ]


def test_rejects_are_garbage_the_future_and_the_late_with_their_places(spark: SparkRuntime) -> None:
    values = [GOOD, b"garbage", GOOD, GOOD, None, GOOD]
    stamps = [NOW, NOW, NOW - 40_000, NOW + 2 * DAY_MS, -1, -1]
    moment = Moment(
        unstamped_window_end_ms=NOW + 10_000, last_window_end_ms=NOW + DAY_MS + 10_000, sealed_until_ms=NOW - 20_000
    )
    batch = pipeline.readings(records(spark, values, stamps), RULES)
    found = pipeline.rejects(batch, RULES, moment).orderBy("offset").collect()

    assert [(row.offset, row.reason, row.stamp_ms, row.value) for row in found] == [
        (1, "not one valid JSON value", NOW, b"garbage"),
        (2, TOO_LATE, NOW - 40_000, GOOD),
        (3, FROM_THE_FUTURE, NOW + 2 * DAY_MS, GOOD),
        (4, "no value (a tombstone)", None, None),
    ]


def test_reasons_are_counted_in_the_first_pass(spark: SparkRuntime) -> None:
    batch = pipeline.readings(records(spark, [value for value, _ in REJECTED]), RULES)
    wanted = Counter(reason for _, reason in REJECTED)

    for way in (pipeline.sums_of_distinct, pipeline.sums_of_each):
        found = way(batch, RULES).collect()
        assert {row.reason: row.records for row in found} == wanted
        assert {(row.window_end, row.zone, row.high) for row in found} == {(None, None, None)}


def test_the_plan_of_a_batch_says_nothing_about_the_batch(spark: SparkRuntime) -> None:
    """Spark compiles each new plan text; a time in it would cost more than a small batch."""

    def plan(stamp: int) -> str:
        batch = pipeline.readings(records(spark, [GOOD], [stamp]), RULES)
        executed = pipeline.sums_of_distinct(batch, RULES)._jdf.queryExecution().executedPlan()
        code = spark.session._jvm.org.apache.spark.sql.execution.debug.package.codegenString(executed)  # type: ignore[union-attr]
        return "\n".join(line for line in str(code).splitlines() if line.startswith("/*"))

    assert plan(NOW) == plan(NOW + 123_456)
