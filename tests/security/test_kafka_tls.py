"""Kafka over TLS and SASL: the toolkit's client and Spark's Java client, on a real broker."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from pacifictool.analytics.engine.failures import spark_failure
from pacifictool.analytics.engine.reader import BatchContext, BatchReader, BatchResult
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.errors import KafkaError, PacificToolError, SettingsError
from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine
from tests.support.scenarios import mean_rules
from tests.support.secure_kafka import PLAIN_PASSWORD, PLAIN_USER, SCRAM_PASSWORD, SCRAM_USER, SecureKafka
from tests.support.tls import Pki

pytestmark = pytest.mark.kafka

WRONG_PASSWORD = "a-wrong-password-that-must-not-show"


def with_client(kafka: SecureKafka, pki: Pki) -> KafkaEndpoint:
    files = pki.client("kafka-client.example")
    assert files.cert_file is not None
    assert files.key_file is not None
    return kafka.tls("MUTUAL", ssl_certificate_location=files.cert_file, ssl_key_location=files.key_file)


def ways_in(kafka: SecureKafka, pki: Pki) -> dict[str, KafkaEndpoint]:
    return {
        "private authority": kafka.tls(),
        "mutual TLS": with_client(kafka, pki),
        "SASL PLAIN in TLS": kafka.sasl("PLAIN", PLAIN_USER, PLAIN_PASSWORD),
        "SASL SCRAM in TLS": kafka.sasl("SCRAM-SHA-512", SCRAM_USER, SCRAM_PASSWORD),
        "SASL PLAIN": kafka.sasl("PLAIN", PLAIN_USER, PLAIN_PASSWORD, "BARE_SASL"),
        "SASL SCRAM": kafka.sasl("SCRAM-SHA-512", SCRAM_USER, SCRAM_PASSWORD, "BARE_SASL"),
        "no check of the host's name": kafka.tls("OTHER_NAME", ssl_endpoint_identification_algorithm="none"),
    }


WAYS_IN = (
    "private authority",
    "mutual TLS",
    "SASL PLAIN in TLS",
    "SASL SCRAM in TLS",
    "SASL PLAIN",
    "SASL SCRAM",
    "no check of the host's name",
)


def topic_with_one_record(endpoint: KafkaEndpoint) -> str:
    topic = f"secure-{uuid4().hex}"
    KafkaAdmin(endpoint).create(topic, partitions=1, replication=1)
    producer = Producer(librdkafka_properties(endpoint))
    producer.produce(topic, topic.encode())
    assert producer.flush(60) == 0
    return topic


@pytest.mark.parametrize("way", WAYS_IN)
def test_our_client_gets_in(kafka: SecureKafka, pki: Pki, way: str) -> None:
    endpoint = ways_in(kafka, pki)[way]
    admin = KafkaAdmin(endpoint)
    assert [str(broker) for broker in admin.check_reachable()] == [endpoint.bootstrap]
    topic = topic_with_one_record(endpoint)
    assert [record.value for record in read_records(endpoint, topic)] == [topic.encode()]


def read_by_spark(spark: SparkRuntime, endpoint: KafkaEndpoint, topic: str) -> BatchResult:
    reader = BatchReader(spark, endpoint, topic, mean_rules())
    return reader.read([OffsetRange(0, 0, 1)], BatchContext({}, 2**62, 0))


@pytest.mark.spark
def test_sparks_client_gets_in(kafka: SecureKafka, pki: Pki, spark: SparkRuntime) -> None:
    """One test for several ways: each read takes seconds, the start of Spark too."""
    ways = ways_in(kafka, pki)
    for way in ("mutual TLS", "SASL PLAIN in TLS", "SASL SCRAM in TLS"):
        endpoint = ways[way]
        topic = topic_with_one_record(endpoint)
        assert [record.value for record in read_by_spark(spark, endpoint, topic).contents().invalid] == [
            topic.encode()
        ], way


@pytest.mark.long
@pytest.mark.spark
def test_sparks_client_is_refused_where_ours_is(kafka: SecureKafka, spark: SparkRuntime, tmp_path: Path) -> None:
    topic = topic_with_one_record(kafka.tls())
    for endpoint in (
        kafka.endpoint("TLS", security_protocol="SSL"),
        kafka.tls("OTHER_NAME"),
        kafka.sasl("PLAIN", PLAIN_USER, WRONG_PASSWORD),
    ):
        with pytest.raises(Exception, match=r"Exception") as caught:  # Java's
            read_by_spark(spark, endpoint, topic)
        error = spark_failure(str(caught.value), endpoint=endpoint, topic=topic, folder=tmp_path)
        assert isinstance(error, KafkaError), error
        assert "cannot work with" in error.message
        assert WRONG_PASSWORD not in f"{error.message} {error.hint} {error.details}"


def refusals(kafka: SecureKafka, strangers: Pki) -> dict[str, tuple[KafkaEndpoint, str, str]]:
    """By fault: the client's settings, the words of the error and of its hint."""
    files = strangers.client("stranger.example")
    assert files.cert_file is not None
    assert files.key_file is not None
    stranger = kafka.tls("MUTUAL", ssl_certificate_location=files.cert_file, ssl_key_location=files.key_file)
    unknown = "was not issued by an authority that is trusted here"
    return {
        "no authority named": (kafka.endpoint("TLS", security_protocol="SSL"), unknown, "-X ssl.ca.location"),
        "another authority": (kafka.tls("STRANGER"), unknown, "-X ssl.ca.location"),
        "another name": (kafka.tls("OTHER_NAME"), "issued for another name than 127.0.0.1", "--kafka"),
        "expired": (kafka.tls("EXPIRED"), "has expired", "renewed"),
        "no certificate of ours": (
            kafka.tls("MUTUAL"),
            "does not accept the client certificate",
            "ssl.certificate.location",
        ),
        "a stranger's certificate": (stranger, "does not accept the client certificate", "ssl.certificate.location"),
        "wrong password": (
            kafka.sasl("PLAIN", PLAIN_USER, WRONG_PASSWORD),
            "refused the login: SASL authentication error",
            "sasl.password",
        ),
        "wrong password of SCRAM": (
            kafka.sasl("SCRAM-SHA-512", SCRAM_USER, WRONG_PASSWORD),
            "refused the login: SASL authentication error",
            "sasl.password",
        ),
        "a mechanism that is not offered": (
            kafka.sasl("SCRAM-SHA-256", SCRAM_USER, WRONG_PASSWORD),
            "supported mechanisms: PLAIN,SCRAM-SHA-512",
            "sasl.mechanisms",
        ),
        "TLS where there is none": (
            KafkaEndpoint(kafka.broker.bootstrap, dict(kafka.tls().config)),
            "does not use TLS",
            "security.protocol",
        ),
    }


REFUSALS = (
    "no authority named",
    "another authority",
    "another name",
    "expired",
    "no certificate of ours",
    "a stranger's certificate",
    "wrong password",
    "wrong password of SCRAM",
    "a mechanism that is not offered",
    "TLS where there is none",
)


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_is_reported_at_once_in_one_sentence_with_a_hint(
    kafka: SecureKafka, strangers: Pki, fault: str
) -> None:
    endpoint, words, hint = refusals(kafka, strangers)[fault]
    calls: list[Callable[[KafkaAdmin], object]] = [
        lambda admin: admin.check_reachable(),
        lambda admin: admin.describe("nosuch"),
    ]
    for call in calls:
        with pytest.raises(KafkaError) as caught:
            call(KafkaAdmin(endpoint, timeout_seconds=30))
        error = caught.value
        assert words in error.message
        assert hint in str(error.hint)
        assert endpoint.bootstrap in error.message
        assert re.fullmatch(r"[^\n]+\.", error.message)
        assert WRONG_PASSWORD not in f"{error.message} {error.hint} {error.details}"


def test_plain_text_to_a_tls_port_is_distinguished_from_silence(kafka: SecureKafka) -> None:
    with pytest.raises(KafkaError, match="requires TLS, which is not configured") as caught:
        KafkaAdmin(kafka.endpoint("TLS"), timeout_seconds=3).check_reachable()
    assert "-X security.protocol=SSL" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location"])
def test_a_file_that_cannot_be_read_is_named(kafka: SecureKafka, tmp_path: Path, name: str) -> None:
    config = {**kafka.tls().config, name: str(tmp_path / "nosuch.pem")}
    with pytest.raises(SettingsError, match=rf"{name}: .*nosuch\.pem cannot be read"):
        KafkaAdmin(KafkaEndpoint(kafka.tls().bootstrap, config))


def test_a_file_that_holds_no_certificate_is_a_sentence(kafka: SecureKafka, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("this is not a certificate")
    with pytest.raises(PacificToolError) as caught:
        KafkaAdmin(kafka.tls(ssl_ca_location=nonsense)).check_reachable()
    assert "ssl.ca.location" in caught.value.message
    assert caught.value.hint


def test_a_refused_login_on_the_command_line_shows_no_password(
    kafka: SecureKafka, command_line: CommandLine, tmp_path: Path
) -> None:
    endpoint = kafka.sasl("PLAIN", PLAIN_USER, WRONG_PASSWORD)
    properties = tmp_path / "kafka.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in endpoint.config.items()))
    outcome = command_line(
        *("aggregate", "--kafka", endpoint.bootstrap, "--kafka-config", str(properties)),
        *("--sink", "console", "-o", "json", "--debug"),
    )
    assert outcome.code == 1
    assert "refused the login" in outcome.document["error"]["message"]
    assert "Traceback" in outcome.stderr
    assert WRONG_PASSWORD not in outcome.stdout + outcome.stderr
