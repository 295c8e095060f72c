"""A real broker with every kind of listener that may refuse a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from pacifictool.runtime.java import JavaRuntime
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.runtime.ports import free_ports
from pacifictool.settings import KafkaEndpoint
from tests.support.tls import Pki, chain_pem, pkcs8_pem

PLAIN_USER, SCRAM_USER = "plain-user", "scram-user"
# What JAAS, properties files and shells treat specially.
PLAIN_PASSWORD = 'pass;w"o\\rd=# plain'
SCRAM_PASSWORD = "pässwörd of scram"

_LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "SASL": "SASL_SSL",
    "BARE_SASL": "SASL_PLAINTEXT",
    "EXPIRED": "SSL",
    "OTHER_NAME": "SSL",
    "STRANGER": "SSL",
}
_JAAS = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecureKafka:
    """The broker and where its listeners are. `broker.bootstrap` is the one without any security."""

    broker: KafkaBroker
    ports: Mapping[str, int]
    pki: Pki

    def endpoint(self, listener: str, **config: str | Path) -> KafkaEndpoint:
        """The client's settings for a listener; keywords are librdkafka's properties, with underscores for points."""
        given = {name.replace("_", "."): str(value) for name, value in config.items()}
        return KafkaEndpoint(f"127.0.0.1:{self.ports[listener]}", given)

    def tls(self, listener: str = "TLS", **config: str | Path) -> KafkaEndpoint:
        """The same, for a listener that speaks TLS with a certificate of the authority."""
        defaults: dict[str, str | Path] = {"security_protocol": "SSL", "ssl_ca_location": self.pki.ca_file}
        return self.endpoint(listener, **(defaults | config))

    def sasl(self, mechanism: str, username: str, password: str, listener: str = "SASL") -> KafkaEndpoint:
        """The same, for a listener that wants a login."""
        credentials = {"sasl_mechanisms": mechanism, "sasl_username": username, "sasl_password": password}
        if listener == "SASL":
            return self.tls(listener, security_protocol="SASL_SSL", **credentials)
        return self.endpoint(listener, security_protocol="SASL_PLAINTEXT", **credentials)


def secure_kafka(folder: Path, java: JavaRuntime, jars: Sequence[Path], pki: Pki, strangers: Pki) -> SecureKafka:
    """Starts one; `broker.stop` ends it."""
    port, controller_port, *others = free_ports(2 + len(_LISTENERS))
    ports = dict(zip(_LISTENERS, others, strict=True))
    addresses = [f"PLAINTEXT://127.0.0.1:{port}", *(f"{name}://127.0.0.1:{at}" for name, at in ports.items())]
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **_LISTENERS}
    certificates = dict.fromkeys(("TLS", "MUTUAL", "SASL"), pki.issue())
    certificates |= {
        "EXPIRED": pki.issue(is_expired=True),
        "OTHER_NAME": pki.issue("kafka.example"),
        "STRANGER": strangers.issue(),
    }
    extra = {
        "listeners": ",".join([*addresses, f"CONTROLLER://127.0.0.1:{controller_port}"]),
        "advertised.listeners": ",".join(addresses),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": pki.ca_file.read_text(),
        "listener.name.mutual.ssl.client.auth": "required",
    }
    for name, leaf in certificates.items():
        prefix = f"listener.name.{name.lower()}"
        extra[f"{prefix}.ssl.keystore.certificate.chain"] = chain_pem(leaf).decode()
        extra[f"{prefix}.ssl.keystore.key"] = pkcs8_pem(leaf).decode()
    quoted = PLAIN_PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    for prefix in ("listener.name.sasl", "listener.name.bare_sasl"):
        extra[f"{prefix}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-512"
        extra[f"{prefix}.plain.sasl.jaas.config"] = (
            f'{_JAAS}.plain.PlainLoginModule required user_{PLAIN_USER}="{quoted}";'
        )
        extra[f"{prefix}.scram-sha-512.sasl.jaas.config"] = f"{_JAAS}.scram.ScramLoginModule required;"
    broker = KafkaBroker(
        folder / "kafka", java=java, jars=jars, port=port, controller_port=controller_port, extra=extra
    )
    broker.start()
    try:
        _add_scram_user(broker.bootstrap)
    except BaseException:
        broker.stop(graceful=False)
        raise
    return SecureKafka(broker, ports, pki)


def _add_scram_user(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    credentials = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    user = UserScramCredentialUpsertion(SCRAM_USER, credentials, SCRAM_PASSWORD.encode())
    admin.alter_user_scram_credentials([user])[SCRAM_USER].result(60)
