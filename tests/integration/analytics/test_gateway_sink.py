from __future__ import annotations

import json
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pacifictool.analytics.sinks.gateway import GatewaySink
from pacifictool.analytics.sinks.stored import StoredResults
from pacifictool.analytics.windows import WindowMean
from pacifictool.errors import MqttError, PacificToolError
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.settings import MqttEndpoint, Secret
from tests.support.mqtt_peer import Reaction, Received, ScriptedPeer
from tests.support.recorders import RecordingCallback

CONNECT, TELEMETRY = "v1/gateway/connect", "v1/gateway/telemetry"


class Platform:
    """What a 1.x server does for a gateway (docs/servers/1.x.md#gateway), and how it fails."""

    def __init__(self, peer: ScriptedPeer) -> None:
        self.peer = peer
        self.written: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.connects: list[tuple[str, str, int]] = []
        """(Device, type, number of the connection)."""
        self.messages: list[dict[str, Any]] = []
        self.poison: set[str] = set()
        """Devices that get no PUBACK."""
        self.deadly: set[str] = set()
        """Devices at which the server closes the connection."""
        self.close_at: int | None = None
        """The number of the telemetry message at which the connection is closed, once."""
        self.per_device = True
        self.delay = 0.0
        self._lock = threading.Lock()
        peer.on_publish = self._react

    def _react(self, message: Received) -> Reaction:
        assert message.qos == 1
        assert len(message.payload) <= 65_536
        document = json.loads(message.payload)
        time.sleep(self.delay)
        with self._lock:
            if message.topic == CONNECT:
                self.connects.append((document["device"], document["type"], message.connection))
                names = [document["device"]]
            else:
                assert message.topic == TELEMETRY
                self.messages.append(document)
                names = list(document)
            if self.deadly & set(names):
                return Reaction.CLOSE
            if message.topic == TELEMETRY:
                if self.close_at == len(self.messages):
                    return Reaction.CLOSE
                for name, rows in document.items():
                    if name not in self.poison:
                        self.written[name] += [(row["ts"], row["values"]["windSpeed"]) for row in rows]
        good = [name for name in names if name not in self.poison]
        count = len(good) if self.per_device else int(len(good) == len(names))
        self.peer.send_to_all(struct.pack("!BBH", 0x42, 2, message.packet_id) * count)
        return Reaction.IGNORE


@pytest.fixture
def peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer() as peer:
        yield peer


@pytest.fixture
def platform(peer: ScriptedPeer) -> Platform:
    return Platform(peer)


MakeSink = Callable[..., GatewaySink]


@pytest.fixture
def make_sink(peer: ScriptedPeer) -> Iterator[MakeSink]:
    made: list[GatewaySink] = []

    def make(
        *,
        token: Callable[[], Secret] = lambda: Secret("token"),
        acks_per_device: bool | None = True,
        acknowledgement_seconds: float = 0.5,
        keepalive_seconds: int = 10,
        stored: StoredResults | None = None,
        **seconds: float,
    ) -> GatewaySink:
        sink = GatewaySink(
            MqttEndpoint("127.0.0.1", peer.port),
            token,
            device="Analytics Gateway",
            entity_type="WeatherStation",
            value_key="windSpeed",
            acks_per_device=acks_per_device,
            stored=stored,
            acknowledgement_seconds=acknowledgement_seconds,
            keepalive_seconds=keepalive_seconds,
            **seconds,
        )
        made.append(sink)
        return sink

    yield make
    for sink in made:
        sink.close()


def result(zone: str, end: int = 10_000, mean: float = 2.5) -> WindowMean:
    return WindowMean(zone, end - 10_000, end, 4, mean)


def deliver_all(
    sink: GatewaySink, results: list[WindowMean], book: RecordingCallback, attempts: int = 1
) -> list[PacificToolError]:
    """Repeats the delivery of what is left, as the job does. Returns the failures."""
    failures: list[PacificToolError] = []
    for _ in range(attempts):
        left = [result for result in results if result not in book.accepted_results]
        if not left:
            break
        try:
            sink.deliver(left, book)
        except PacificToolError as error:
            failures.append(error)
    return failures


def test_a_connection_closed_in_the_middle_is_an_error_and_everything_arrives_with_the_next_deliveries(
    platform: Platform, make_sink: MakeSink
) -> None:
    sink, book = make_sink(), RecordingCallback()
    results = [result(f"Zone {n:04d}") for n in range(3000)]
    platform.close_at = 3
    with pytest.raises(MqttError, match="the platform closed the connection") as caught:
        sink.deliver(results, book)
    assert failure_of(caught.value) is Failure.CLOSED
    assert 0 < len(book.accepted_results) < 3000

    platform.close_at = None
    assert deliver_all(sink, results, book, attempts=1) == []
    assert len(book.accepted_results) == 3000 == len(set(book.accepted_results))
    assert platform.peer.connections == 2
    # The session is new, so devices are connected again; only those with undelivered results.
    again = [name for name, _, connection in platform.connects if connection == 2]
    assert 0 < len(again) == len(set(again)) < 3000


def test_a_zone_that_is_never_acknowledged_keeps_no_other_from_arriving(
    platform: Platform, make_sink: MakeSink
) -> None:
    sink = make_sink(acknowledgement_seconds=0.7)
    zones = [f"Zone {n:03d}" for n in range(100)]
    sink.deliver([result(zone) for zone in zones], RecordingCallback())
    platform.poison = {"Zone 023", "Zone 077"}
    book = RecordingCallback()
    attempts = 0
    while book.zones != set(zones) - platform.poison:
        assert attempts < 20
        attempts += 1
        deliver_all(sink, [result(zone, 20_000) for zone in zones], book)

    # Now that the two are known, the others do not wait for them, and the first session is still open.
    later = RecordingCallback()
    with pytest.raises(MqttError, match=r"for 'Zone 0\d\d' within"):
        sink.deliver([result(zone, 30_000) for zone in zones], later)
    assert len(later.zones) == 98
    assert platform.peer.connections == 1

    platform.poison = set()
    assert deliver_all(sink, [result(zone, 30_000) for zone in zones], later, attempts=2) == []
    assert len(later.zones) == 100


def test_a_zone_at_which_the_server_hangs_up_keeps_no_other_from_arriving(
    platform: Platform, make_sink: MakeSink
) -> None:
    sink, book = make_sink(acks_per_device=False), RecordingCallback()
    platform.per_device = False
    platform.deadly = {"Zone 123"}
    results = [result(f"Zone {n:03d}") for n in range(400)]
    failures = deliver_all(sink, results, book, attempts=60)
    assert {result.zone for result in results} - book.zones == {"Zone 123"}
    assert all(isinstance(failure, MqttError) for failure in failures)


def test_the_session_is_kept_alive_between_deliveries(platform: Platform, make_sink: MakeSink) -> None:
    sink, book = make_sink(keepalive_seconds=1), RecordingCallback()
    sink.deliver([result("A")], book)
    time.sleep(3.5)
    sink.deliver([result("A", 20_000)], book)
    assert platform.peer.connections == 1
    assert len(platform.connects) == 1


def test_a_half_open_session_is_noticed_between_deliveries(platform: Platform, make_sink: MakeSink) -> None:
    sink, book = make_sink(keepalive_seconds=1), RecordingCallback()
    sink.deliver([result("A")], book)
    platform.peer.responds_to_pings = False
    time.sleep(3.5)
    platform.peer.responds_to_pings = True
    sink.deliver([result("A", 20_000)], book)
    assert platform.peer.connections == 2
