"""Which versions of Kafka's protocol a broker understands: whether an old client can still talk to it.

librdkafka knows, but does not tell. The question, ApiVersions in its version 0, may be asked of any broker since 0.10,
before a login. Kafka 4.0 dropped what clients before 2.1 speak (KIP-896).
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
_LONGEST_ANSWER: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ProtocolVersions:
    """Lowest and highest version by the number of the request."""

    ranges: dict[int, tuple[int, int]]

    @property
    def takes_old_clients(self) -> bool:
        """Whether clients from 0.9 to 2.0 can write here: brokers before 4.0.

        Judged by Fetch, whose versions 0-3 are gone as well: a 4.0 broker lists Produce from version 0 on for the sake
        of old librdkafkas, and refuses it nevertheless (KAFKA-18659).
        """
        fetch, produce = self.ranges.get(_FETCH, (0, 0)), self.ranges.get(_PRODUCE, (0, 0))
        return fetch[0] < 4 and produce[0] < 3


def protocol_versions(
    endpoint: KafkaEndpoint, broker: BrokerAddress, *, timeout_seconds: float = 3.0
) -> ProtocolVersions:
    """Asks one broker. Raises KafkaUnreachable, or KafkaError when its answer makes no sense."""
    request = struct.pack(">hhih4s", _API_VERSIONS, 0, _CORRELATION, 4, b"pact")
    try:
        with _connect(endpoint, broker, timeout_seconds) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _read(connection, 4))
            if not 0 < length <= _LONGEST_ANSWER:
                raise _nonsense(broker)
            answer = _read(connection, length)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KafkaUnreachable(
            f"The broker {broker} does not say which versions of the protocol it understands: {reason}.",
            hint="Check that it is a Kafka broker, and the security settings given with -X.",
        ) from error
    return _parsed(answer, broker)


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


def _parsed(answer: bytes, broker: BrokerAddress) -> ProtocolVersions:
    try:
        correlation, error, count = struct.unpack_from(">ihi", answer)
        entries = list(struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count]))
    except struct.error as fault:
        raise _nonsense(broker) from fault
    if correlation != _CORRELATION or error != 0 or len(entries) != count:
        raise _nonsense(broker)
    return ProtocolVersions({key: (low, high) for key, low, high in entries})


def _nonsense(broker: BrokerAddress) -> KafkaError:
    return KafkaError(f"What answers at {broker} is no Kafka broker.", hint="Check --kafka and the port.")
