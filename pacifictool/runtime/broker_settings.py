"""The settings of the local Kafka broker, and the file that it reads them from."""

from __future__ import annotations

from collections.abc import Mapping

from pacifictool.runtime.kafka_login import CONTROLLER_LISTENER, LISTENER, KafkaLogin
from pacifictool.runtime.ports import LOOPBACK


def broker_settings(
    folder: str, port: int, controller_port: int, login: KafkaLogin | None, extra: Mapping[str, str]
) -> dict[str, str]:
    """The settings of a broker that keeps its topics in `folder`, relative to where it runs; `extra` comes last.

    With `login` None, everybody on this machine has access.
    """
    name = "PLAINTEXT" if login is None else LISTENER
    security = {"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"}
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "controller.listener.names": CONTROLLER_LISTENER,
        "listeners": f"{name}://{LOOPBACK}:{port},{CONTROLLER_LISTENER}://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"{name}://{LOOPBACK}:{port}",
        **(security if login is None else login.broker_settings()),
        "log.dirs": folder,
        "auto.create.topics.enable": "true",
        # One broker holds the only copy of everything.
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        # The default of 50 partitions each suits large clusters and takes seconds to create.
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.num.partitions": "1",
        # A consumer that starts alone need not wait 3 s for others.
        "group.initial.rebalance.delay.ms": "0",
        # After a crash the controller lets the new broker in when the session of the dead one is over: 9 s by
        # default.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        # A laptop's memory, threads and disk.
        "log.segment.bytes": str(64 * 1024 * 1024),
        "log.index.size.max.bytes": str(1024 * 1024),
        "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        **extra,
    }


def properties_text(settings: Mapping[str, str]) -> str:
    """Settings as a Java properties file, which may hold only escaped text beyond ASCII."""
    lines = (f"{name}={_escaped(value)}" for name, value in settings.items())
    return "# Made by pacifictool at each start.\n" + "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    text = value.replace("\\", "\\\\").replace("\n", "\\n")
    # Java counts in UTF-16 units: two for a character beyond the basic plane.
    units = text.encode("utf-16-be")
    codes = (int.from_bytes(units[start : start + 2], "big") for start in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)
