from __future__ import annotations

import time

import pytest

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import Failure, failure_of
from tests.support.gateway_platform import GatewayPlatform, MakeSink, deliver_all
from tests.support.recorders import RecordingCallback
from tests.support.scenarios import window_result as result


def test_a_connection_closed_in_the_middle_is_an_error_and_everything_arrives_with_the_next_deliveries(
    platform: GatewayPlatform, make_sink: MakeSink
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
    assert len(book.accepted_results) == 3000 == len(book.entities)
    assert platform.peer.connections == 2
    # The session is new, so devices are connected again; only those with undelivered results.
    again = [name for name, _, connection in platform.connects if connection == 2]
    assert 0 < len(again) == len(set(again)) < 3000


def test_a_zone_that_is_never_acknowledged_keeps_no_other_from_arriving(
    platform: GatewayPlatform, make_sink: MakeSink
) -> None:
    sink = make_sink(acknowledgement_seconds=0.7)
    zones = [f"Zone {n:03d}" for n in range(100)]
    sink.deliver([result(zone) for zone in zones], RecordingCallback())
    platform.poison = {"Zone 023", "Zone 077"}
    book = RecordingCallback()
    attempts = 0
    while book.entities != set(zones) - platform.poison:
        assert attempts < 20
        attempts += 1
        deliver_all(sink, [result(zone, 20_000) for zone in zones], book)

    # Now that the two are known, the others do not wait for them, and the first session is still open.
    later = RecordingCallback()
    with pytest.raises(MqttError, match=r"for 'Zone 0\d\d' within"):
        sink.deliver([result(zone, 30_000) for zone in zones], later)
    assert len(later.entities) == 98
    assert platform.peer.connections == 1

    platform.poison = set()
    assert deliver_all(sink, [result(zone, 30_000) for zone in zones], later, attempts=2) == []
    assert len(later.entities) == 100


def test_a_zone_at_which_the_server_hangs_up_keeps_no_other_from_arriving(
    platform: GatewayPlatform, make_sink: MakeSink
) -> None:
    sink, book = make_sink(acks_per_device=False), RecordingCallback()
    platform.per_device = False
    platform.deadly = {"Zone 123"}
    results = [result(f"Zone {n:03d}") for n in range(400)]
    failures = deliver_all(sink, results, book, attempts=60)
    assert {result.entity for result in results} - book.entities == {"Zone 123"}
    assert all(isinstance(failure, MqttError) for failure in failures)


def test_the_session_is_kept_alive_between_deliveries(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    sink, book = make_sink(keepalive_seconds=1), RecordingCallback()
    sink.deliver([result("A")], book)
    time.sleep(3.5)
    sink.deliver([result("A", 20_000)], book)
    assert platform.peer.connections == 1
    assert len(platform.connects) == 1


def test_a_half_open_session_is_noticed_between_deliveries(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    sink, book = make_sink(keepalive_seconds=1), RecordingCallback()
    sink.deliver([result("A")], book)
    platform.peer.responds_to_pings = False
    time.sleep(3.5)
    platform.peer.responds_to_pings = True
    sink.deliver([result("A", 20_000)], book)
    assert platform.peer.connections == 2
