from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.mqtt.pipeline import PipelinedSession
from pacifictool.settings import MqttEndpoint, Secret
from tests.support.mqtt_peer import Reaction, Received, ScriptedPeer
from tests.support.waiting import SOON_SECONDS, wait_until


@contextmanager
def session_at(endpoint: MqttEndpoint, **options: float) -> Iterator[PipelinedSession]:
    session = PipelinedSession(endpoint, Secret("token"), device="G", **options)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        session.close()


def pubacks(*packet_ids: int) -> bytes:
    return b"".join(struct.pack("!BBH", 0x42, 2, packet_id) for packet_id in packet_ids)


def confirmed_within(session: PipelinedSession, seconds: float) -> list[int]:
    until = time.monotonic() + seconds
    found: list[int] = []
    while (left := until - time.monotonic()) > 0:
        found += session.poll(left)
    return found


def confirmed(session: PipelinedSession, count: int) -> list[int]:
    """The next `count` confirmations."""
    found: list[int] = []
    until = time.monotonic() + SOON_SECONDS
    while len(found) < count and time.monotonic() < until:
        found += session.poll(0.05)
    return found


def until_received(peer: ScriptedPeer, session: PipelinedSession, messages: int) -> None:
    until = time.monotonic() + SOON_SECONDS
    while len(peer.received) < messages:
        assert time.monotonic() < until
        session.poll(0.01)


def test_a_message_is_confirmed_by_the_last_of_its_acknowledgements(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.IGNORE
    with session_at(endpoint) as session:
        packet_id = session.publish("t", b"x", acknowledgements=3)
        until_received(peer, session, 1)
        peer.send_to_all(pubacks(packet_id))
        assert confirmed_within(session, 0.2) == []
        peer.send_to_all(pubacks(packet_id))
        assert confirmed_within(session, 0.2) == []
        peer.send_to_all(pubacks(packet_id))
        assert confirmed(session, 1) == [packet_id]
        peer.send_to_all(pubacks(packet_id))
        assert confirmed_within(session, 0.1) == []


def test_acknowledgements_may_come_in_any_order_and_mixed(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.IGNORE
    with session_at(endpoint) as session:
        first, second, third = (session.publish("t", b"x", acknowledgements=2) for _ in range(3))
        until_received(peer, session, 3)
        peer.send_to_all(pubacks(third, first, second, third, second))
        assert confirmed(session, 2) == [third, second]
        peer.send_to_all(pubacks(first))
        assert confirmed(session, 1) == [first]


def test_acknowledgements_byte_by_byte(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.ACKNOWLEDGE_IN_PIECES
    with session_at(endpoint) as session:
        packet_id = session.publish("t", b"x")
        assert confirmed(session, 1) == [packet_id]


def test_many_large_messages_at_once(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.ACKNOWLEDGE_TWICE
    with session_at(endpoint) as session:
        wanted = {session.publish("t", bytes([number]) * 60_000, acknowledgements=2) for number in range(100)}
        found: set[int] = set()
        until = time.monotonic() + SOON_SECONDS
        while found != wanted and time.monotonic() < until:
            found.update(session.poll(0.5))
        assert found == wanted
    assert [message.payload[0] for message in peer.received] == list(range(100))


def test_confirmations_before_the_end_are_returned_before_it_is_raised(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    def react(message: Received) -> Reaction:
        return Reaction.CLOSE if message.payload == b"bad" else Reaction.ACKNOWLEDGE

    peer.on_publish = react
    with session_at(endpoint) as session:
        good = session.publish("t", b"good")
        session.publish("t", b"bad")
        time.sleep(0.2)
        assert session.poll(1) == [good]
        with pytest.raises(MqttError, match="ended: the platform closed the connection") as caught:
            confirmed(session, 1)
        assert failure_of(caught.value) is Failure.CLOSED
        with pytest.raises(MqttError):
            session.publish("t", b"more")


def test_a_poll_of_0_seconds_does_not_wait(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    with session_at(endpoint) as session:
        took = []
        for _ in range(20):
            began = time.monotonic()
            session.poll(0)
            took.append(time.monotonic() - began)
        assert min(took) < 0.01, "a busy machine delays some of them"


def test_a_refused_token_and_a_server_that_does_not_respond(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_connect = lambda _user_name, _connection: 5
    with pytest.raises(MqttError) as refused:
        PipelinedSession(endpoint, Secret("token"), device="G")
    assert failure_of(refused.value) is Failure.TOKEN_REFUSED

    peer.on_connect = lambda _user_name, _connection: None
    with pytest.raises(MqttError, match="did not respond to the MQTT login") as silent:
        PipelinedSession(endpoint, Secret("token"), device="G", timeout_seconds=0.3)
    assert failure_of(silent.value) is Failure.SERVER_BUSY


def test_a_port_where_nothing_listens() -> None:
    with ScriptedPeer() as peer:
        endpoint = MqttEndpoint("127.0.0.1", peer.port)
    with pytest.raises(MqttError, match="Nothing listens") as caught:
        PipelinedSession(endpoint, Secret("token"), device="G")
    assert failure_of(caught.value) is Failure.UNREACHABLE


def test_packet_ids_do_not_start_over_while_an_old_message_waits(
    peer: ScriptedPeer, endpoint: MqttEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifictool.mqtt.pipeline._MAX_AGE", 10)
    peer.on_publish = lambda message: Reaction.IGNORE if message.packet_id == 1 else Reaction.ACKNOWLEDGE
    with session_at(endpoint) as session:
        for _ in range(11):
            session.publish("t", b"x")
            session.poll(0.05)
        with pytest.raises(MqttError) as caught:
            session.publish("t", b"x")
        assert failure_of(caught.value) is Failure.UNCONFIRMED


def test_a_session_ends_with_disconnect(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    with session_at(endpoint) as session:
        session.poll(0)
    session.close()
    wait_until(lambda: peer.disconnects)
