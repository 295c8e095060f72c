from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from pacifictool.analytics.engine.failures import spark_failure
from pacifictool.analytics.engine.reader import consumer_properties
from pacifictool.analytics.starting import starting_point
from pacifictool.errors import (
    AggregationError,
    CheckpointMismatch,
    KafkaError,
    KafkaUnreachable,
    PacificToolError,
    SettingsError,
    StorageFull,
)
from pacifictool.settings import KafkaEndpoint

ENDPOINT = KafkaEndpoint("127.0.0.1:1", {"group.id": "mine", "sasl.mechanisms": "PLAIN"})


@pytest.mark.parametrize("word", ["latest", "earliest"])
def test_offsets_by_word(word: str) -> None:
    assert starting_point(word) == word


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-11-23T23:45:50Z", 1795477550000),
        ("2026-11-24T00:45:50.5+01:00", 1795477550500),
    ],
)
def test_offsets_by_time(text: str, milliseconds: int) -> None:
    assert starting_point(text) == milliseconds


def test_digits_alone_are_a_date() -> None:
    assert starting_point("20261129") == round(datetime(2026, 11, 29).timestamp() * 1000)  # noqa: DTZ001 - local time


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "-5", "2026-13-01", "99999999999999999999999T", "1795477550000", "1795477550", "17", "20261329"],
)
def test_offsets_that_make_no_sense(text: str) -> None:
    with pytest.raises(SettingsError, match="--starting-offsets"):
        starting_point(text)


def test_client_settings_reach_the_consumers_and_those_that_the_job_manages_do_not() -> None:
    properties = consumer_properties(ENDPOINT)

    assert properties["bootstrap.servers"] == "127.0.0.1:1"
    assert properties["sasl.mechanism"] == "PLAIN"
    assert properties["isolation.level"] == "read_committed"
    assert properties["auto.offset.reset"] == "none"
    assert "group.id" not in properties


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("java.lang.IllegalStateException: at org.apache.kafka.Consumer something new", AggregationError),
        ("org.apache.kafka.clients.consumer.OffsetOutOfRangeException: Fetch position", CheckpointMismatch),
        ("java.io.IOException: No space left on device", StorageFull),
        ("org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node", KafkaUnreachable),
        ("org.apache.kafka.common.errors.SaslAuthenticationException: Authentication failed", KafkaError),
    ],
)
def test_sparks_failures_in_plain_words(text: str, kind: type[PacificToolError], tmp_path: Path) -> None:
    error = spark_failure(f"Job aborted.\n{text}", endpoint=ENDPOINT, topic="t", folder=tmp_path)

    assert type(error) is kind
    assert "\n" not in error.message


def test_a_spark_without_kafkas_client_says_how_to_get_it(tmp_path: Path) -> None:
    text = 'Imported class "org.apache.kafka.clients.consumer.ConsumerRecord" could not be loaded'
    error = spark_failure(text, endpoint=ENDPOINT, topic="t", folder=tmp_path)
    assert error.message == "Spark has no Kafka client."
    assert "--packages org.apache.spark:spark-sql-kafka-0-10_2.13:4." in (error.hint or "")
