"""Which versions of Kafka's protocol a broker supports: whether an old client can still use it.

librdkafka does not expose this. Any broker since 0.10 supports an ApiVersions request of version 0, before a login.
Kafka 4.0 removed the versions that clients before 2.1 use (KIP-896).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

from pacifictool.errors import KafkaError, KafkaUnreachable
from pacifictool.kafka.security import tls_context
from pacifictool.kafka.topics import BrokerAddress
from pacifictool.settings import KafkaEndpoint

_API_VERSIONS: Final = 18
_PRODUCE: Final = 0
_FETCH: Final = 1
_CORRELATION: Final = 4711
_LONGEST_RESPONSE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ProtocolVersions:
    """Lowest and highest version by the number of the request."""

    ranges: dict[int, tuple[int, int]]

    @property
    def takes_old_clients(self) -> bool:
        """Whether clients from 0.9 to 2.0 can write here: brokers before 4.0.

        Decided by Fetch, whose versions 0-3 were removed as well: a 4.0 broker lists Produce from version 0 on for old
        versions of librdkafka, but refuses it (KAFKA-18659).
        """
        fetch, produce = self.ranges.get(_FETCH, (0, 0)), self.ranges.get(_PRODUCE, (0, 0))
        return fetch[0] < 4 and produce[0] < 3


def protocol_versions(
    endpoint: KafkaEndpoint, broker: BrokerAddress, *, timeout_seconds: float = 3.0
) -> ProtocolVersions:
    """Queries one broker. Raises KafkaUnreachable, or KafkaError when its response cannot be understood."""
    request = struct.pack(">hhih4s", _API_VERSIONS, 0, _CORRELATION, 4, b"pact")
    try:
        with _connect(endpoint, broker, timeout_seconds) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _read(connection, 4))
            if not 0 < length <= _LONGEST_RESPONSE:
                raise _nonsense(broker)
            response = _read(connection, length)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KafkaUnreachable(
            f"The broker {broker} does not report which versions of the protocol it supports: {reason}.",
            hint="Check that it is a Kafka broker, and the security settings given with -X.",
        ) from error
    return _parsed(response, broker)


def _connect(endpoint: KafkaEndpoint, broker: BrokerAddress, timeout_seconds: float) -> socket.socket:
    connection = socket.create_connection((broker.host, broker.port), timeout=timeout_seconds)
    if str(endpoint.config.get("security.protocol", "")).upper() not in ("SSL", "SASL_SSL"):
        return connection
    try:
        return tls_context(endpoint.config).wrap_socket(connection, server_hostname=broker.host)
    except BaseException:
        connection.close()
        raise


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("it closed the connection")
        data += piece
    return data


def _parsed(response: bytes, broker: BrokerAddress) -> ProtocolVersions:
    try:
        correlation, error, count = struct.unpack_from(">ihi", response)
        entries = list(struct.iter_unpack(">hhh", response[10 : 10 + 6 * count]))
    except struct.error as fault:
        raise _nonsense(broker) from fault
    if correlation != _CORRELATION or error != 0 or len(entries) != count:
        raise _nonsense(broker)
    return ProtocolVersions({key: (low, high) for key, low, high in entries})


def _nonsense(broker: BrokerAddress) -> KafkaError:
    return KafkaError(f"The program at {broker} is not a Kafka broker.", hint="Check --kafka and the port.")
