"""Kafka client properties: given by the user under librdkafka's names, translated for Spark's Java client.

The names and meanings are those of librdkafka's CONFIGURATION.md and of Apache Kafka's consumer configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pacifictool.errors import SettingsError
from pacifictool.settings import KafkaEndpoint
from pacifictool.settings.kafka_policy import refuse_code
from pacifictool.tools.folders import expanded

CONNECT_TIMEOUT_MS = 10_000

_JAVA_NAMES = {
    "sasl.mechanisms": "sasl.mechanism",
    "socket.timeout.ms": "request.timeout.ms",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "fetch.wait.max.ms": "fetch.max.wait.ms",
    "socket.receive.buffer.bytes": "receive.buffer.bytes",
    "socket.send.buffer.bytes": "send.buffer.bytes",
    "socket.connection.setup.timeout.ms": "socket.connection.setup.timeout.ms",
    "topic.metadata.refresh.interval.ms": "metadata.max.age.ms",
}

_HANDLED_APART = {
    "bootstrap.servers",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
}

_FILES = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location")

_JAAS_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def librdkafka_properties(endpoint: KafkaEndpoint, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The configuration of a confluent-kafka client: bootstrap, the user's properties, then `extra`.

    Raises SettingsError for a PEM file that cannot be read, since librdkafka would only quote OpenSSL, and for a
    property that loads code, which librdkafka does as soon as it is set.
    """
    _refuse_code(endpoint)
    files = {name: str(_readable(name, endpoint.config[name])) for name in _FILES if _names_file(endpoint.config, name)}
    return {
        "bootstrap.servers": endpoint.bootstrap,
        "socket.connection.setup.timeout.ms": CONNECT_TIMEOUT_MS,
        # librdkafka would log to stderr; failures are raised as errors instead.
        "log_level": 0,
        **endpoint.config,
        **files,
        **(extra or {}),
    }


def java_properties(endpoint: KafkaEndpoint) -> dict[str, str]:
    """The same configuration for Kafka's Java client, without prefixes.

    PEM files are read here and passed by content, so that executors on other machines need no files. Raises
    SettingsError for a file that cannot be read, for settings that the Java client cannot express, and for properties
    that load code.
    """
    _refuse_code(endpoint)
    given = dict(endpoint.config)
    java = {"bootstrap.servers": endpoint.bootstrap}
    for name, value in given.items():
        if name not in _HANDLED_APART:
            java[_JAVA_NAMES.get(name, name)] = value
    _translate_sasl(given, java)
    _translate_tls(given, java)
    return java


def _refuse_code(endpoint: KafkaEndpoint) -> None:
    for name, value in endpoint.config.items():
        refuse_code(name, value, "Kafka")


def _translate_sasl(given: dict[str, str], java: dict[str, str]) -> None:
    username, password = given.get("sasl.username"), given.get("sasl.password")
    if username is None and password is None:
        return
    mechanism = java.get("sasl.mechanism", "PLAIN").upper()
    module = _JAAS_MODULES.get(mechanism)
    if module is None:
        raise SettingsError(
            f"sasl.username and sasl.password do not go with the SASL mechanism {mechanism}.",
            hint=f"Use one of {', '.join(_JAAS_MODULES)}.",
        )
    java["sasl.mechanism"] = mechanism
    java["sasl.jaas.config"] = f"{module} required username={_jaas(username)} password={_jaas(password)};"


def _jaas(text: str | None) -> str:
    escaped = (text or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _translate_tls(given: dict[str, str], java: dict[str, str]) -> None:
    if given.get("enable.ssl.certificate.verification", "true").lower() in ("false", "0", "f", "n"):
        raise SettingsError(
            "enable.ssl.certificate.verification=false has no equivalent in Spark's Java client.",
            hint="Give the authority's certificate with -X ssl.ca.location=FILE instead.",
        )
    if authority := _pem(given, "ssl.ca"):
        java["ssl.truststore.type"] = "PEM"
        java["ssl.truststore.certificates"] = authority
    certificate, key = _pem(given, "ssl.certificate"), _pem(given, "ssl.key")
    if certificate or key:
        if not (certificate and key):
            raise SettingsError(
                "A client certificate for Kafka needs both ssl.certificate.location and ssl.key.location."
            )
        if "-----BEGIN PRIVATE KEY" not in key and "-----BEGIN ENCRYPTED PRIVATE KEY" not in key:
            raise SettingsError(
                "The key in ssl.key.location is not in PKCS #8 form, the only one that Java reads.",
                hint="Convert it with: openssl pkcs8 -topk8 -nocrypt -in key.pem -out key8.pem",
            )
        java["ssl.keystore.type"] = "PEM"
        java["ssl.keystore.certificate.chain"] = certificate
        java["ssl.keystore.key"] = key
    algorithm = given.get("ssl.endpoint.identification.algorithm")
    if algorithm is not None:
        java["ssl.endpoint.identification.algorithm"] = "" if algorithm == "none" else algorithm


def _names_file(config: Mapping[str, str], name: str) -> bool:
    # librdkafka's value for "search for the system's authorities", which it does on Linux by default.
    return bool(config.get(name)) and (name, config[name]) != ("ssl.ca.location", "probe")


def _readable(name: str, location: str) -> Path:
    path = expanded(location)
    try:
        if not path.is_dir():  # librdkafka accepts a folder of authorities, too
            path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{name}: {location} cannot be read: {error.strerror}.") from error
    return path


def _pem(given: dict[str, str], name: str) -> str | None:
    if text := given.get(f"{name}.pem"):
        return text
    if not _names_file(given, f"{name}.location"):
        return None
    location = given[f"{name}.location"]
    try:
        return expanded(location).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}.location: {location} cannot be read: {error}.") from error
