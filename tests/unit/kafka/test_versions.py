from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pacifictool.errors import KafkaError, KafkaUnreachable
from pacifictool.kafka.topics import BrokerAddress
from pacifictool.kafka.versions import ProtocolVersions, protocol_versions
from pacifictool.settings import KafkaEndpoint

KAFKA_3_9 = {0: (0, 11), 1: (0, 17), 3: (0, 12), 18: (0, 4)}
KAFKA_4_0 = {0: (0, 12), 1: (4, 17), 3: (0, 13), 18: (0, 4)}
"""Produce is listed from 0 on, for the sake of old librdkafkas, though a broker 4.0 refuses 0-2 (KAFKA-18659)."""


def versions_response(ranges: dict[int, tuple[int, int]], *, correlation: int = 4711, error: int = 0) -> bytes:
    body = struct.pack(">ihi", correlation, error, len(ranges))
    body += b"".join(struct.pack(">hhh", key, low, high) for key, (low, high) in ranges.items())
    return struct.pack(">i", len(body)) + body


@contextmanager
def responding(response: bytes) -> Iterator[BrokerAddress]:
    """A port that responds to one request with these bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        yield BrokerAddress(1, "127.0.0.1", server.getsockname()[1])
        thread.join(60)


ENDPOINT = KafkaEndpoint("127.0.0.1:1")


@pytest.mark.parametrize(("ranges", "takes"), [(KAFKA_3_9, True), (KAFKA_4_0, False)])
def test_a_broker_says_whether_it_takes_old_clients(ranges: dict[int, tuple[int, int]], takes: bool) -> None:
    with responding(versions_response(ranges)) as broker:
        versions = protocol_versions(ENDPOINT, broker)
    assert versions == ProtocolVersions(ranges)
    assert versions.takes_old_clients is takes


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        versions_response(KAFKA_3_9, correlation=1),
        versions_response(KAFKA_3_9, error=35),
        struct.pack(">i", 8) + b"\0" * 8,
        versions_response(KAFKA_3_9)[:14] + b"\0\0\0\x0c",
    ],
)
def test_a_server_that_is_not_a_broker_is_reported(response: bytes) -> None:
    with responding(response) as broker, pytest.raises(KafkaError):
        protocol_versions(ENDPOINT, broker, timeout_seconds=2)


def test_silence_has_an_end() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(KafkaUnreachable, match="does not report which versions"),
    ):
        protocol_versions(ENDPOINT, BrokerAddress(1, "127.0.0.1", server.getsockname()[1]), timeout_seconds=0.3)


def test_a_closed_connection_is_reported() -> None:
    with responding(b"") as broker, pytest.raises(KafkaUnreachable, match="closed the connection"):
        protocol_versions(ENDPOINT, broker)
