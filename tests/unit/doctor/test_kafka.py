from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from pacifictool.doctor import kafka
from pacifictool.doctor.checks import CheckContext, CheckResult, CheckStatus, DoctorCheck
from pacifictool.kafka.records import Record
from pacifictool.kafka.topics import BrokerAddress

MakeContext = Callable[..., CheckContext]
RunCheck = Callable[[Sequence[DoctorCheck], str, CheckContext], list[CheckResult]]

KAFKA_3_9 = {0: (0, 11), 1: (0, 17), 18: (0, 4)}
KAFKA_4_0 = {0: (0, 12), 1: (4, 17), 18: (0, 4)}


@contextmanager
def responding(ranges: dict[int, tuple[int, int]]) -> Iterator[BrokerAddress]:
    """A server that reports the protocol versions of such a broker, and sends nothing unless asked."""
    body = struct.pack(">ihi", 4711, 0, len(ranges))
    body += b"".join(struct.pack(">hhh", key, *versions) for key, versions in ranges.items())
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(1024):
                        connection.sendall(struct.pack(">i", len(body)) + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield BrokerAddress(1, "127.0.0.1", server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)


@pytest.mark.parametrize(
    ("generation", "ranges", "status"),
    [
        ("1.x", KAFKA_4_0, CheckStatus.FAILED),
        ("1.x", KAFKA_3_9, CheckStatus.OK),
        ("2.x", KAFKA_4_0, CheckStatus.WARNING),
        ("2.x", KAFKA_3_9, CheckStatus.OK),
        ("4.x", KAFKA_4_0, CheckStatus.OK),
    ],
)
def test_a_broker_too_new_for_the_server_is_fixed_by_an_older_one(
    make_context: MakeContext,
    run_check: RunCheck,
    generation: str,
    ranges: dict[int, tuple[int, int]],
    status: CheckStatus,
) -> None:
    context = make_context()
    context.generation = generation
    with responding(ranges) as address:
        context.brokers = [address]
        [result] = run_check(kafka.KAFKA_CHECKS, "kafka-version", context)
    assert result.status is status
    assert result.code == (None if status is CheckStatus.OK else "broker-too-new")
    if status is CheckStatus.FAILED:
        assert "does not understand the Kafka client 0.9 of a 1.x server" in result.text
        assert result.fix == "Use a broker up to 3.9 (pacifictool sandbox up starts one), and name it with --kafka."


@pytest.mark.parametrize(
    ("ahead", "status", "expected"),
    [
        (30.0, CheckStatus.WARNING, "At least 30 s ahead of this machine's"),
        (-1.0, CheckStatus.OK, "its newest record has a timestamp of 1.0 s ago"),
        (-3600.0, CheckStatus.SKIPPED, "Unknown: the newest record is 3600 s old."),
    ],
)
def test_the_timestamp_of_a_new_record_shows_the_brokers_clock(
    make_context: MakeContext,
    run_check: RunCheck,
    monkeypatch: pytest.MonkeyPatch,
    ahead: float,
    status: CheckStatus,
    expected: str,
) -> None:
    """The broker's clock cannot be set by itself, so the record is invented."""
    timestamp_ms = round((time.time() + ahead) * 1000)
    record = Record(partition=0, offset=0, timestamp_ms=timestamp_ms, broker_time=True, value=b"", key=None)
    monkeypatch.setattr(kafka, "_newest", lambda _context: record)
    [result] = run_check(kafka.KAFKA_CHECKS, "clock-broker", make_context())
    assert result.status is status
    assert expected in result.text
    assert result.code == ("clock-skew" if status is CheckStatus.WARNING else None)
