from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.errors import SettingsError
from pacifictool.kafka.config import java_properties, librdkafka_properties
from pacifictool.settings import KafkaEndpoint


def test_plain_properties_pass_through() -> None:
    endpoint = KafkaEndpoint("a:1", {"client.id": "me", "fetch.wait.max.ms": "50"})
    assert java_properties(endpoint) == {"bootstrap.servers": "a:1", "client.id": "me", "fetch.max.wait.ms": "50"}
    assert librdkafka_properties(endpoint, {"group.id": "g"})["group.id"] == "g"


def test_sasl_credentials_become_a_jaas_line() -> None:
    endpoint = KafkaEndpoint(
        "a:1",
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "SCRAM-SHA-256",
            "sasl.username": "me",
            "sasl.password": 'p"\\w',
        },
    )
    java = java_properties(endpoint)
    assert java["sasl.mechanism"] == "SCRAM-SHA-256"
    assert java["sasl.jaas.config"] == (
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="p\\"\\\\w";'
    )
    assert "sasl.password" not in java
    assert "sasl.username" not in java


def test_pem_files_travel_by_content(tmp_path: Path) -> None:
    for name, text in (("ca", "CA"), ("cert", "CERT"), ("key", "-----BEGIN PRIVATE KEY-----")):
        (tmp_path / name).write_text(text)
    java = java_properties(
        KafkaEndpoint(
            "a:1",
            {
                "ssl.ca.location": str(tmp_path / "ca"),
                "ssl.certificate.location": str(tmp_path / "cert"),
                "ssl.key.location": str(tmp_path / "key"),
                "ssl.endpoint.identification.algorithm": "none",
            },
        )
    )
    assert java["ssl.truststore.certificates"] == "CA"
    assert java["ssl.keystore.certificate.chain"] == "CERT"
    assert java["ssl.keystore.key"] == "-----BEGIN PRIVATE KEY-----"
    assert java["ssl.truststore.type"] == java["ssl.keystore.type"] == "PEM"
    assert java["ssl.endpoint.identification.algorithm"] == ""
    assert not any(name.endswith(".location") for name in java)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"sasl.mechanisms": "GSSAPI", "sasl.username": "x"}, "do not go with"),
        ({"enable.ssl.certificate.verification": "false"}, "has no equivalent"),
        ({"ssl.ca.location": "nosuch.pem"}, "cannot be read"),
        ({"ssl.certificate.pem": "x"}, "needs both"),
        ({"ssl.certificate.pem": "x", "ssl.key.pem": "-----BEGIN RSA PRIVATE KEY-----"}, "PKCS #8"),
    ],
)
def test_what_java_cannot_express_is_refused(config: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        java_properties(KafkaEndpoint("a:1", config))
