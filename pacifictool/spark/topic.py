"""The topic as a frame of typed columns, by Spark's own Kafka source and expressions: no Python on the workers.

The rules are those of docs/operations.md, "Valid records"; docs/spark.md says where a frame cannot follow them. The job
has its own parser, and a test holds the two against each other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pyspark.errors import AnalysisException
from pyspark.sql import functions as sql

from pacifictool.errors import RuntimeMissing, SettingsError
from pacifictool.kafka.config import java_properties
from pacifictool.scenario import (
    DEVICE_NAME,
    MAX_NAME_LENGTH,
    READING_TIME,
    Scenario,
    load_scenario,
    tutorial_scenario,
)
from pacifictool.spark.failures import spoken
from pacifictool.spark.filters import TS
from pacifictool.spark.session import resolved_settings

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from pacifictool.settings import KafkaEndpoint, Settings

_END: Final = "7f0cf3a1-the-record-ends-here"
"""Follows the record in the array that is parsed in its place: what Spark parses ends with the first JSON value, and
whatever follows that is not looked at."""
_IN_ARRAY: Final = f"""concat('[', cast(value AS string), ',"{_END}"]')"""
_IS_UTF8: Final = "is_valid_utf8(cast(value AS string))"
"""Other bytes are replaced when the text is parsed, and would count."""
_JSON_NUMBER: Final = r"^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_CONTROLS: Final = r"[\\x00-\\x1f\\x7f]"
_BLANK: Final = r"^[\\x{85}\\p{Z}]*$"
_LAST_TIME: Final = 253_402_300_799_999
_NUMERIC: Final = "('BIGINT', 'DOUBLE', 'FLOAT')"
_PLACE: Final = ("partition", "offset", "timestamp")

INVALID, KAFKA = "invalid", "kafka"


@spoken
def readings(
    spark: SparkSession,
    scenario: Scenario | str | os.PathLike[str] | None = None,
    *,
    streaming: bool = True,
    starting: str | datetime | None = None,
    invalid: bool = False,
    settings: Settings | None = None,
    kafka: str | None = None,
    options: Mapping[str, Any] = {},
) -> DataFrame:
    """The readings in the scenario's topic: `ts`, `deviceName` where it is forwarded, attributes and keys.

    A stream that begins with what comes from now on, or, not `streaming`, a frame of all that the topic holds.
    `starting` is "earliest", "latest" or a time. Rows are the records that count; a key or attribute that is missing or
    not valid is null. With `invalid` all records are rows, with the columns `invalid` (the first reason why something
    of it does not count, or null) and `kafka`, a struct of its `partition`, `offset`, `timestamp` and `value`.

    `scenario` is a scenario or its file; by default the one that the settings name, or the tutorial. `kafka` is the
    bootstrap address, with the other settings of the command line; `options` are further ones of Spark's Kafka source,
    such as maxOffsetsPerTrigger.

    Raises ScenarioError, SettingsError, and RuntimeMissing when Spark has no Kafka source.
    """
    settings = settings or resolved_settings(kafka=kafka)
    if not isinstance(scenario, Scenario):
        path = settings.scenario_path if scenario is None else Path(scenario)
        scenario = tutorial_scenario() if path is None else load_scenario(path)
    source = {
        **_connection(settings.kafka),
        "subscribe": scenario.forwarding.topic,
        **_start(starting or ("latest" if streaming else "earliest")),
        **{name: str(value) for name, value in options.items()},
    }
    reader: Any = spark.readStream if streaming else spark.read
    try:
        records = reader.format("kafka").options(**source).load()
    except AnalysisException as error:
        if "kafka" not in str(error).lower():
            raise
        raise RuntimeMissing(
            "Spark has no Kafka source in this session.",
            hint="Use pacifictool.spark.local_session(), or start Spark with its connector: spark-submit --packages"
            f" org.apache.spark:spark-sql-kafka-0-10_2.13:{spark.version}",
        ) from error
    return parsed(records, scenario, invalid=invalid)


def parsed(records: DataFrame, scenario: Scenario, *, invalid: bool = False) -> DataFrame:
    """The readings in records of Kafka: a frame with `value`, `partition`, `offset`, `timestamp` and `timestampType`.
    For a topic that was read or kept by other means; see `readings`."""
    return _Parser(scenario).frame(records, invalid=invalid)


class _Parser:
    """Spark expressions for a scenario's rules. Keys hold no quotes and no backslashes (`check_key`).

    The record is parsed to a variant, and each member is looked up in that once: both are columns of their own, which
    Spark does not compute again where they are used.
    """

    def __init__(self, scenario: Scenario) -> None:
        forwarding = scenario.forwarding
        self._forwarding = forwarding
        self._texts = (*((DEVICE_NAME,) if forwarding.device else ()), *forwarding.attribute_keys)
        grouped = {key for each in scenario.analytics for key in each.group_by}
        # The job looks at the device's name last.
        self._grouped = [key for key in (*forwarding.attribute_keys, DEVICE_NAME) if key in grouped]
        self._by_reading = forwarding.event_time == "reading"

    def frame(self, records: DataFrame, *, invalid: bool) -> DataFrame:
        keys = {f"_n{n}": key for n, key in enumerate(self._forwarding.telemetry)}
        texts = {f"_t{n}": key for n, key in enumerate(self._texts)}
        if self._by_reading:
            keys["_time"] = READING_TIME
        found = records.select(
            "value", *_PLACE, "timestampType", sql.expr(f"try_parse_json({_IN_ARRAY})").alias("_parsed")
        ).withColumns(
            {"_end": sql.expr("try_variant_get(_parsed, '$[1]', 'string')"), "_more": _member("$[2]")}
            | {f"{column}_member": _member(f'$[0]["{key}"]') for column, key in {**keys, **texts}.items()}
        )
        found = found.withColumn(
            "_is_json", sql.expr(f"coalesce({_IS_UTF8} AND _end = '{_END}' AND _more IS NULL, false)")
        )
        found = found.withColumns(
            {f"{column}_kind": sql.expr(f"if(_is_json, schema_of_variant({column}_member), null)") for column in keys}
            | {
                f"{column}_kind": sql.expr(f"if(_is_json, schema_of_variant({column}_member), null)")
                for column in texts
            }
        )
        found = found.withColumns(
            {column: self._number(column) for column in keys}
            | {column: self._text_fault(key, column) for column, key in texts.items()}
        )
        found = found.withColumns({"_event": self._event_time(), "_arrival": self._arrival()})
        found = found.withColumn("_counts", self._counts())
        values = [sql.col("_event").alias(TS)]
        values += [
            sql.expr(f"if({column} IS NULL, try_cast({column}_member AS string), null)").alias(key)
            for column, key in texts.items()
        ]
        values += [
            sql.when(self._within(key, column), sql.col(column)).alias(key)
            for column, key in keys.items()
            if key != READING_TIME or not self._by_reading
        ]
        if not invalid:
            # Not `where`: Spark would compute everything once for the filter, and then once more.
            row = sql.array(sql.struct(*values))
            return found.select(sql.explode(sql.when(sql.col("_counts"), row)).alias("_row")).select("_row.*")
        names = {*texts.values(), *keys.values()}
        for column in (INVALID, KAFKA):
            if column in names:
                raise SettingsError(f"The scenario has a key {column!r}, as invalid=True adds to the columns.")
        counted = [
            sql.when(sql.col("_counts"), value).alias(name)
            for value, name in zip(values, [TS, *texts.values(), *self._forwarding.telemetry], strict=True)
        ]
        place = sql.struct(*_PLACE, "value").alias(KAFKA)
        return found.select(*counted, self._reason(texts).alias(INVALID), place)

    # --- members ---------------------------------------------------------------------------------------------------

    def _number(self, column: str) -> Column:
        """The double that the member is, or null."""
        text = f"try_cast({column}_member AS string)"
        in_text = f"WHEN {column}_kind = 'STRING' AND {text} RLIKE '{_JSON_NUMBER}' THEN try_cast({text} AS double)"
        return sql.expr(
            f"CASE WHEN {column}_kind IN {_NUMERIC} OR {column}_kind LIKE 'DECIMAL%'"
            f" THEN try_cast({column}_member AS double)"
            f" {in_text if self._forwarding.numbers_in_text else ''} END"
        )

    def _text_fault(self, key: str, column: str) -> Column:
        """Why the member is not a text that can name an entity, or null."""
        text = f"try_cast({column}_member AS string)"
        return sql.expr(
            f"CASE WHEN {column}_kind IS NULL THEN 'no {key}'"
            f" WHEN {column}_kind <> 'STRING' THEN '{key} is not a text'"
            f" WHEN {text} RLIKE '{_CONTROLS}' THEN '{key} holds control characters'"
            f" WHEN {text} RLIKE '{_BLANK}' THEN '{key} is blank'"
            f" WHEN length({text}) > {MAX_NAME_LENGTH} THEN '{key} is longer than {MAX_NAME_LENGTH} characters' END"
        )

    def _within(self, key: str, column: str) -> Column:
        bounds = self._forwarding.bounds(key)
        return sql.col(column).between(sql.lit(bounds.min), sql.lit(bounds.max))

    # --- times -----------------------------------------------------------------------------------------------------

    def _event_time(self) -> Column:
        if self._by_reading:
            return sql.expr(f"if({_IS_TIME}, timestamp_millis(cast(_time AS bigint)), null)")
        # Kafka says -1 where a record has no timestamp.
        return sql.expr("if(unix_millis(timestamp) >= 0, timestamp, current_timestamp())")

    def _arrival(self) -> Column:
        return sql.expr(f"if({_BY_BROKER}, timestamp, current_timestamp())")

    def _ahead(self) -> str:
        skew = self._forwarding.max_skew_ms
        untrusted = "true" if self._by_reading else f"NOT {_BY_BROKER}"
        return f"({untrusted} AND unix_millis(_event) > unix_millis(_arrival) + {skew})"

    # --- the record ------------------------------------------------------------------------------------------------

    def _has_number(self) -> Column:
        within = [self._within(key, f"_n{n}") for n, key in enumerate(self._forwarding.telemetry)]
        return sql.coalesce(sql.greatest(*within) if len(within) > 1 else within[0], sql.expr(_NO))

    def _counts(self) -> Column:
        counts = self._has_number() & ~sql.expr(self._ahead())
        return sql.coalesce(counts & sql.expr(_IS_TIME) if self._by_reading else counts, sql.expr(_NO))

    def _reason(self, texts: Mapping[str, str]) -> Column:
        """The first reason, in the order of docs/operations.md."""
        forwarding = self._forwarding
        columns = {key: column for column, key in texts.items()}
        members = [*(f"_n{n}" for n in range(len(forwarding.telemetry))), *texts]
        is_object = " OR ".join(f"{column}_kind IS NOT NULL" for column in members)
        faults: list[Column] = [
            sql.expr(
                "CASE WHEN value IS NULL THEN 'no value (a tombstone)' WHEN length(value) = 0 THEN 'empty'"
                f" WHEN NOT {_IS_UTF8} THEN 'not UTF-8'"
                " WHEN NOT _is_json THEN 'not one valid JSON value'"
                f" WHEN {is_object} THEN null"
                " WHEN schema_of_variant(try_variant_get(_parsed, '$[0]', 'variant')) NOT LIKE 'OBJECT<%'"
                " THEN 'not a JSON object' END"
            ),
            *(sql.col(columns[key]) for key in self._grouped),
        ]
        for n, key in enumerate(forwarding.telemetry):
            bounds = forwarding.bounds(key)
            out = f"{key} is not within {bounds.min:.15g} and {bounds.max:.15g}"
            faults += [
                sql.expr(f"if(_n{n}_kind IS NOT NULL AND _n{n} IS NULL, '{key} is not a number', null)"),
                sql.when(~self._within(key, f"_n{n}"), sql.lit(out)),
            ]
        faults.append(sql.when(~self._has_number(), sql.lit(_none_of(forwarding.telemetry))))
        if self._by_reading:
            faults.append(sql.expr(f"if(_time_kind IS NULL, 'no {READING_TIME}', null)"))
            faults.append(
                sql.expr(f"if(coalesce({_IS_TIME}, false), null, '{READING_TIME} is not a time in milliseconds')")
            )
        ahead = f"timestamp more than {forwarding.max_skew_ms / 1000:g} s ahead of its arrival"
        faults.append(sql.when(sql.expr(self._ahead()), sql.lit(ahead)))
        # As the job: of a record that is not counted only because of its time, that is the reason.
        is_counted_otherwise = self._has_number() & sql.expr(self._ahead())
        return sql.coalesce(sql.when(is_counted_otherwise, sql.lit(ahead)), *faults)


_NO: Final = "false"
_IS_TIME: Final = f"(_time >= 0 AND _time <= {_LAST_TIME} AND _time = rint(_time))"
_BY_BROKER: Final = "(timestampType = 1)"
"""Whether the broker dated the record when it arrived (LogAppendTime)."""


def _member(path: str) -> Column:
    return sql.expr(f"try_variant_get(_parsed, '{path}', 'variant')")


def _none_of(keys: Sequence[str]) -> str:
    return f"no {keys[0]}" if len(keys) == 1 else f"none of {', '.join(keys)}"


def _connection(endpoint: KafkaEndpoint) -> dict[str, str]:
    return {f"kafka.{name}": value for name, value in java_properties(endpoint).items()}


def _start(starting: str | datetime) -> dict[str, str]:
    if starting in ("earliest", "latest"):
        return {"startingOffsets": str(starting)}
    try:
        time = starting if isinstance(starting, datetime) else datetime.fromisoformat(starting)
    except ValueError:
        raise SettingsError(
            f"starting: {starting!r} is neither a time nor earliest or latest.",
            hint="Write for example 2026-11-01T12:00:00Z.",
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return {
        "startingTimestamp": str(round(time.timestamp() * 1000)),
        "startingOffsetsByTimestampStrategy": "latest",
    }
