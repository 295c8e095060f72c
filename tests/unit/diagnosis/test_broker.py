from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pacifictool.diagnosis import broker
from pacifictool.diagnosis.broker import broker_checks
from pacifictool.diagnosis.checks import Check, Line, Status
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.kafka.records import Record
from pacifictool.kafka.topics import BrokerAddress

MakeSurroundings = Callable[..., Surroundings]
Look = Callable[[list[Check], str], list[Line]]

KAFKA_3_9 = {0: (0, 11), 1: (0, 17), 18: (0, 4)}
KAFKA_4_0 = {0: (0, 12), 1: (4, 17), 18: (0, 4)}


@contextmanager
def answering(ranges: dict[int, tuple[int, int]]) -> Iterator[BrokerAddress]:
    """Something that says of itself what a broker of that version says; to whoever only connects, nothing."""
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
        thread.join(5)


@pytest.mark.parametrize(
    ("generation", "ranges", "status"),
    [
        ("1.x", KAFKA_4_0, Status.FAILED),
        ("1.x", KAFKA_3_9, Status.OK),
        ("2.x", KAFKA_4_0, Status.WARNING),
        ("2.x", KAFKA_3_9, Status.OK),
        ("4.x", KAFKA_4_0, Status.OK),
    ],
)
def test_a_broker_that_is_too_new_for_the_server_is_mended_by_an_older_one(
    surroundings: MakeSurroundings,
    look: Look,
    generation: str,
    ranges: dict[int, tuple[int, int]],
    status: Status,
) -> None:
    around = surroundings()
    around.generation = generation
    with answering(ranges) as address:
        around.brokers = [address]
        [line] = look(broker_checks(around), "kafka-version")
    assert line.status is status
    assert line.cause == (None if status is Status.OK else "broker-too-new")
    if status is Status.FAILED:
        assert "does not understand the Kafka client 0.9 of a 1.x server" in line.seen
        assert line.mend == "Use a broker up to 3.9 (pacifictool sandbox up starts one), and name it with --kafka."


@pytest.mark.parametrize(
    ("ahead", "status", "said"),
    [
        (30.0, Status.WARNING, "At least 30 s ahead of this machine's"),
        (-1.0, Status.OK, "its newest record is stamped 1.0 s ago"),
        (-3600.0, Status.SKIPPED, "Not known: the newest record is 3600 s old."),
    ],
)
def test_the_stamp_of_a_new_record_tells_of_the_brokers_clock(
    surroundings: MakeSurroundings,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
    ahead: float,
    status: Status,
    said: str,
) -> None:
    """Nobody can set a broker's clock alone, so that the record is made up."""
    stamp = round((time.time() + ahead) * 1000)
    record = Record(partition=0, offset=0, timestamp_ms=stamp, broker_time=True, value=b"", key=None)
    monkeypatch.setattr(broker, "_newest", lambda _around: record)
    [line] = look(broker_checks(surroundings()), "clock-broker")
    assert line.status is status
    assert said in line.seen
    assert line.cause == ("clock-skew" if status is Status.WARNING else None)
