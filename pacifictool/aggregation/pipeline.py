"""What Spark does with a batch, as functions DataFrame → DataFrame. No Python runs on the workers.

A record is valid when its value is UTF-8 and exactly one JSON object (RFC 8259; limits of the JVM's parser: 1,000
levels, numbers of 1,000 digits, names of 50,000 characters) with a zone under `zone_key` (a text, not blank, at most
255 characters, without control characters) and a number under `value_key` within `minimum` and `maximum`. Anything
else is a reject, with a reason in words.

The plan of a batch holds nothing that changes from batch to batch (times, batch numbers): Spark compiles the code for
each new plan text, which costs more than a small batch itself. What depends on the batch is decided on the driver.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from pacifictool.aggregation.windows import LOW_BITS, UNITS
from pacifictool.scenario import MAX_NAME_LENGTH

DAY_MS = 86_400_000
TOO_LATE = "too late: its window was closed for good"
FROM_THE_FUTURE = "time stamp more than a day in the future"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which records count, and into which windows."""

    window_ms: int
    zone_key: str
    value_key: str
    minimum: float
    maximum: float
    nonce: str
    """A text that nobody who writes records can know; see `_parsed`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the driver knows when it looks for the rejects of one batch; all in milliseconds since the epoch."""

    unstamped_window_end_ms: int
    """The window of records without time stamp, by the time of their arrival."""
    last_window_end_ms: int
    """Windows that end later begin more than a day after the batch was planned."""
    sealed_until_ms: int
    """Windows that end at or before this are closed for good."""


def sums_of_known(groups: DataFrame) -> DataFrame:
    """What groups of records (`range_sums.RangeSums.groups`) add to each window and zone.

    Columns: window_end (null: no time stamp), zone, reason (null), records, high and low (sums of the halves of the
    values), newest_ms (the newest time stamp). In rows without a zone are those that `sums_of_judged` has to look at.
    """
    return _summed(groups.withColumn("reason", F.lit(None)))


def sums_of_judged(groups: DataFrame, rules: Rules) -> DataFrame:
    """The same of groups without a zone, whose records have equal values: each value is parsed once.

    Rows of rejects have a reason, and neither window nor zone.
    """
    groups = groups.where(F.col("zone").isNull())
    valid = F.col("reason").isNull()
    high, low = _halves(F.when(valid, _units(F.col("number"))))
    return _summed(
        classified(groups.drop("zone", "high", "low"), rules).withColumns(
            {
                "window_end": F.when(valid, F.col("window_end")),
                "high": high * F.col("records"),
                "low": low * F.col("records"),
            }
        )
    )


def _summed(parts: DataFrame) -> DataFrame:
    return parts.groupBy("window_end", "zone", "reason").agg(
        F.sum("records").alias("records"),
        F.sum("high").alias("high"),
        F.sum("low").alias("low"),
        F.max("newest_ms").alias("newest_ms"),
    )


def _units(number: Column) -> Column:
    return F.rint(number * F.lit(float(UNITS))).cast("long")


def _halves(units: Column) -> tuple[Column, Column]:
    return F.shiftright(units, LOW_BITS), units.bitwiseAND(F.lit((1 << LOW_BITS) - 1))


def rejects(doubts: DataFrame, rules: Rules, moment: Moment) -> DataFrame:
    """Those of some records (`range_sums.RangeSums.doubts`) that do not count: not valid, from the future, or too late.

    Columns: partition, offset, stamp_ms, reason, value.
    """
    reason = F.coalesce(
        "reason",
        F.when(F.col("window_end") > F.lit(moment.last_window_end_ms), F.lit(FROM_THE_FUTURE)),
        F.when(F.col("window_end") <= F.lit(moment.sealed_until_ms), F.lit(TOO_LATE)),
    )
    return (
        classified(doubts, rules)
        .withColumn("reason", reason)
        .where(F.col("reason").isNotNull())
        .select("partition", "offset", "stamp_ms", "reason", "value")
    )


def classified(rows: DataFrame, rules: Rules) -> DataFrame:
    """Adds zone and number (both null for rejects) and reason (null for valid records) to rows with a value."""
    json_type = F.schema_of_variant
    matches, fast = F.col("_matches"), F.col("_fast").isNotNull()
    steps: list[dict[str, Column]] = [
        {"raw": F.col("value").cast("string")},
        {"_matches": F.coalesce(F.col("raw").rlike(fast_pattern(rules)), F.lit(col=False))},
        {**_cut_out(rules), "_json": F.when(~matches & F.is_valid_utf8("raw"), _parsed(rules))},
        {"_proof": F.try_variant_get("_json", "$[1]", "string") == F.lit(rules.nonce)},
        {"_object": F.when(F.col("_proof"), F.try_variant_get("_json", "$[0]", "map<string,variant>"))},
        {
            "_zone_json": F.try_element_at("_object", F.lit(rules.zone_key)),
            "_number_json": F.try_element_at("_object", F.lit(rules.value_key)),
        },
        {"_zone_type": json_type("_zone_json"), "_number_type": json_type("_number_json")},
        {
            "_zone": F.when(fast, F.col("_fast")).when(
                F.col("_zone_type") == F.lit("STRING"), F.try_variant_get("_zone_json", "$", "string")
            ),
            "_number": F.when(fast, F.col("_fast_number")).when(
                F.col("_number_type").isin("BIGINT", "DOUBLE") | F.col("_number_type").startswith("DECIMAL"),
                F.try_variant_get("_number_json", "$", "double"),
            ),
        },
        {"reason": _reason(rules)},
        {
            "zone": F.when(F.col("reason").isNull(), F.col("_zone")),
            "number": F.when(F.col("reason").isNull(), F.col("_number")),
        },
    ]
    for step in steps:
        rows = rows.withColumns(step)
    return rows


def fast_pattern(rules: Rules) -> str:
    """Matches records as the platform's rule writes them, and nothing that the full rules would reject.

    Only the range of the number is left to check. Escapes, zones that begin with a space and zones outside ASCII are
    left to the full parser: character classes beyond Latin-1 make Java's regular expressions three times slower.
    """
    return f"^{''.join(fast_pattern_parts(rules))}\\z"


def fast_pattern_parts(rules: Rules) -> tuple[str, str, str, str, str]:
    """The same in parts, valid in Java and in Python alike: what stands before the zone, the zone, what stands between
    it and the number, the number, and the end."""
    zone_key, value_key = (re.escape(json.dumps(key, ensure_ascii=False)) for key in (rules.zone_key, rules.value_key))
    zone = rf"[!#-\[\]-~][ !#-\[\]-~]{{0,{MAX_NAME_LENGTH - 1}}}"
    number = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,3})?"
    return rf'\{{{zone_key}: ?"', zone, rf'", ?{value_key}: ?', number, r"\}"


def _cut_out(rules: Rules) -> dict[str, Column]:
    """Zone and number of rows whose `raw` is known to match the fast pattern (`_matches`); null for others.

    They are cut out of the bytes, so that the expression runs once and not once for each: the zone stands between two
    quotes and the number behind the last colon, since neither can hold such a character itself.
    """
    quotes = json.dumps(rules.zone_key, ensure_ascii=False).count('"')
    zone = F.substring_index(F.substring_index("raw", '"', quotes + 2), '"', -1)
    number = F.rtrim(F.substring_index("raw", ":", -1), F.lit("}")).try_cast("double")
    return {"_fast": F.when(F.col("_matches"), zone), "_fast_number": F.when(F.col("_matches"), number)}


def _in_range(number: Column, rules: Rules) -> Column:
    return number.between(F.lit(float(rules.minimum)), F.lit(float(rules.maximum)))


def _parsed(rules: Rules) -> Column:
    """The value as the first element of a JSON array whose second is the nonce.

    Spark's parser stops at the end of the first JSON value and ignores what follows. Only a text that is exactly one
    value leads it to the nonce in second place.
    """
    return F.try_parse_json(F.concat(F.lit("["), F.col("raw"), F.lit(f',"{rules.nonce}"]')))


def _reason(rules: Rules) -> Column:
    """Why a record is rejected, the first that applies; null for valid records."""
    zone, number, raw = F.col("_zone"), F.col("_number"), F.col("raw")
    zone_key, value_key = rules.zone_key, rules.value_key
    in_range = _in_range(number, rules)
    out_of_range = f"{value_key} is not within {rules.minimum:.15g} and {rules.maximum:.15g}"
    slow: list[tuple[Column, str]] = [
        (raw.isNull(), "no value (a tombstone)"),
        (F.length(raw) == 0, "empty"),
        (~F.is_valid_utf8("raw"), "not UTF-8"),
        (~F.coalesce("_proof", F.lit(col=False)), "not one valid JSON value"),
        (F.col("_object").isNull(), "not a JSON object"),
        (F.col("_zone_json").isNull(), f"no {zone_key}"),
        (zone.isNull(), f"{zone_key} is not a text"),
        (zone.rlike(r"[\x00-\x1f\x7f]"), f"{zone_key} holds control characters"),
        (zone.rlike(r"^[\s\x85\p{Z}]*\z"), f"{zone_key} is blank"),
        (F.length(zone) > MAX_NAME_LENGTH, f"{zone_key} is longer than {MAX_NAME_LENGTH} characters"),
        (F.col("_number_json").isNull(), f"no {value_key}"),
        (number.isNull(), f"{value_key} is not a number"),
        (~in_range, out_of_range),
    ]
    chain = F.when(F.col("_fast").isNotNull(), F.when(~in_range, F.lit(out_of_range)))
    for condition, reason in slow:
        chain = chain.when(condition, F.lit(reason))
    return chain
