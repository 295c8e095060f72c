from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.aggregation.source import kafka_options, spark_failure, starting_options
from pacifictool.errors import (
    AggregationError,
    CheckpointMismatch,
    KafkaError,
    KafkaUnreachable,
    SettingsError,
    StorageFull,
)
from pacifictool.settings import KafkaEndpoint

ENDPOINT = KafkaEndpoint("127.0.0.1:1", {"group.id": "mine", "sasl.mechanisms": "PLAIN"})


@pytest.mark.parametrize("word", ["latest", "earliest"])
def test_offsets_by_word(word: str) -> None:
    assert starting_options(word) == {"startingOffsets": word}


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1795477550000", "1795477550000"),
        ("2026-11-23T23:45:50Z", "1795477550000"),
        ("2026-11-24T00:45:50.5+01:00", "1795477550500"),
    ],
)
def test_offsets_by_time(text: str, milliseconds: str) -> None:
    assert starting_options(text)["startingTimestamp"] == milliseconds


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "2026-13-01", "99999999999999999999999T"])
def test_offsets_that_make_no_sense(text: str) -> None:
    with pytest.raises(SettingsError, match="--starting-offsets"):
        starting_options(text)


def test_client_settings_reach_spark_and_those_that_spark_manages_do_not() -> None:
    options = kafka_options(ENDPOINT, "t", "latest")

    assert options["kafka.bootstrap.servers"] == "127.0.0.1:1"
    assert options["kafka.sasl.mechanism"] == "PLAIN"
    assert options["kafka.isolation.level"] == "read_committed"
    assert "kafka.group.id" not in options


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Record at topic t partition 0 offset 5 has timestamp value 9 that overflows when", AggregationError),
        ("java.lang.IllegalStateException: at org.apache.kafka.Consumer something new", AggregationError),
        ("[KAFKA_DATA_LOSS.COULD_NOT_READ_OFFSET_RANGE] Some data may have been lost", CheckpointMismatch),
        ("java.io.IOException: No space left on device", StorageFull),
        ("org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node", KafkaUnreachable),
        ("org.apache.kafka.common.errors.SaslAuthenticationException: Authentication failed", KafkaError),
    ],
)
def test_sparks_failures_in_our_words(text: str, kind: type[Exception], tmp_path: Path) -> None:
    error = spark_failure(f"Job aborted.\n{text}", endpoint=ENDPOINT, topic="t", folder=tmp_path)

    assert type(error) is kind
    assert "\n" not in error.message


def test_a_spark_without_the_connector_is_told_how_to_get_it(tmp_path: Path) -> None:
    text = "[INTERNAL] Failed to find data source: kafka. Please deploy the application as per the deployment section"
    error = spark_failure(text, endpoint=ENDPOINT, topic="t", folder=tmp_path)
    assert error.message == "Spark has no Kafka connector."
    assert "--packages org.apache.spark:spark-sql-kafka-0-10_2.13:4." in (error.hint or "")
