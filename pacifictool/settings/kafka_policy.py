"""Which Kafka properties may come from where.

Properties of both client families can load a library, instantiate a class or start a program. No source may set these.
A file of the current folder may set only what is listed here, since it can come with any download or checkout. The
names are those of librdkafka's CONFIGURATION.md and of Apache Kafka's client configuration.
"""

from __future__ import annotations

import re

from pacifictool.errors import SettingsError
from pacifictool.settings.properties import jaas_login

LOGIN = ("sasl.username", "sasl.password")
"""The properties that replace sasl.jaas.config."""

FILE_PROPERTIES = frozenset(
    {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.crl.location", "ssl.keystore.location"}
)
"""Properties that name a file; in a configuration file, one relative to that file."""

_FOLDER_FILES = frozenset({"ssl.ca.location", "ssl.certificate.location", "ssl.key.location"})

FOLDER_SECURITY = _FOLDER_FILES | {
    *LOGIN,
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "ssl.ca.pem",
    "ssl.certificate.pem",
    "ssl.key.pem",
    "ssl.key.password",
}

FOLDER_TUNING = frozenset(
    {
        "acks",
        "api.version.request",
        "api.version.request.timeout.ms",
        "batch.num.messages",
        "batch.size",
        "broker.address.family",
        "broker.address.ttl",
        "check.crcs",
        "client.dns.lookup",
        "client.id",
        "client.rack",
        "compression.codec",
        "compression.level",
        "compression.type",
        "connections.max.idle.ms",
        "default.api.timeout.ms",
        "delivery.timeout.ms",
        "enable.idempotence",
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "heartbeat.interval.ms",
        "isolation.level",
        "linger.ms",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "max.poll.records",
        "max.request.size",
        "message.max.bytes",
        "message.send.max.retries",
        "message.timeout.ms",
        "metadata.max.age.ms",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "receive.buffer.bytes",
        "receive.message.max.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "request.required.acks",
        "request.timeout.ms",
        "retries",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "send.buffer.bytes",
        "session.timeout.ms",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.nagle.disable",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "socket.timeout.ms",
        "topic.metadata.refresh.interval.ms",
    }
)

_RUNS_CODE = re.compile(
    r"plugin\..*"
    r"|(?:.*\.)?(?:class|classes|interceptors?|reporters|providers?|deserializer|serializer|factory)(?:\..*)?"
    r"|ssl\.engine\..*"
    r"|sasl\.kerberos\.kinit\.cmd"
    r"|sasl\.oauthbearer\..*\.file"
    r"|offset\.store\.path|.*_cb"
)
"""Loads a library, instantiates a class, starts a program, or reads or writes a file that no client needs."""

_SECRET = re.compile(r".*(?:password|passphrase|secret|jaas|token|\.key\.|keystore|oauthbearer\.config|assertion).*")
_SECURITY = re.compile(r"(?:security|sasl|ssl)\..*|enable\.(?:ssl|sasl)\..*|https\..*")
_PLAIN_WORD = re.compile(r"[\w./@:-]*")


def is_secret(name: str) -> bool:
    """Whether a property holds a credential or names a file that does."""
    return _SECRET.fullmatch(name.lower()) is not None


def is_security(name: str) -> bool:
    """Whether a property decides how the connection is protected and who logs in."""
    return _SECURITY.fullmatch(name.lower()) is not None


def refuse_code(name: str, value: str, where: str) -> None:
    """Raises SettingsError for a property that loads code, starts a program or accesses files unnoticed."""
    lower = name.strip().lower()
    if lower == "sasl.jaas.config":
        raise SettingsError(
            f"{where}: sasl.jaas.config names a class to load, which no setting may do.",
            hint="Give sasl.username and sasl.password for a plain or SCRAM login; other login modules are not"
            " supported.",
        )
    if _RUNS_CODE.fullmatch(lower):
        raise SettingsError(
            f"{where}: the Kafka property {name!r} loads code, starts a program or opens a file, which no setting may"
            " do.",
            hint="Remove it; docs/configuration.md lists which Kafka properties may come from where.",
        )
    if lower == "partition.assignment.strategy" and "." in value:
        raise SettingsError(
            f"{where}: {name} names a class to load, which no setting may do.", hint="Write range or roundrobin."
        )
    if lower.startswith("sasl.kerberos.") and not _PLAIN_WORD.fullmatch(value):
        # librdkafka puts these into a shell command.
        raise SettingsError(
            f"{where}: {name} holds characters that have a meaning for a shell.",
            hint="Use letters, digits and . / @ : _ - only.",
        )
    if (
        lower.startswith("sasl.oauthbearer.")
        and lower.endswith(".url")
        and not value.lower().startswith(("https://", "http://"))
    ):
        raise SettingsError(
            f"{where}: {name} is not an http or https address.", hint="A token is not read from a file."
        )


def refuse_in_folder(name: str, where: str) -> None:
    """Raises SettingsError for a property that a file of the current folder must not set."""
    if name not in FOLDER_SECURITY | FOLDER_TUNING:
        raise SettingsError(
            f"{where}: the Kafka property {name!r} is not among those that a file of the current folder may set.",
            hint="If you want it, give it yourself: with -X, in a file named by --kafka-config, or in kafka_properties"
            " of the configuration file in your user folder.",
        )


def with_login(properties: dict[str, str], where: str) -> dict[str, str]:
    """The same properties with a plain or SCRAM login of `sasl.jaas.config` as sasl.username and sasl.password.

    Any other `sasl.jaas.config` stays, to be refused. Raises SettingsError where both forms are given.
    """
    login = jaas_login(properties.get("sasl.jaas.config", ""))
    if login is None:
        return properties
    if set(LOGIN) & set(properties):
        raise SettingsError(
            f"{where}: there is a login in sasl.jaas.config and another one in sasl.username and sasl.password.",
            hint="Remove sasl.jaas.config.",
        )
    has_mechanism = {"sasl.mechanism", "sasl.mechanisms"} & set(properties)
    uses_sasl = properties.get("security.protocol", "").upper().startswith("SASL")
    if "ScramLoginModule" in properties["sasl.jaas.config"] and uses_sasl and not has_mechanism:
        # Without one, a plain login would be tried, which sends the password itself.
        raise SettingsError(
            f"{where}: sasl.jaas.config is a SCRAM login, but sasl.mechanism is missing.",
            hint="Add sasl.mechanism=SCRAM-SHA-256 or SCRAM-SHA-512.",
        )
    rest = {name: value for name, value in properties.items() if name != "sasl.jaas.config"}
    return rest | dict(zip(LOGIN, login, strict=True))
