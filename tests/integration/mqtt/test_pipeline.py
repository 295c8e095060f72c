from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pacifictool.errors import MqttError
from pacifictool.mqtt.pipeline import PipelinedSession
from pacifictool.settings import MqttEndpoint, Secret
from tests.support.mqtt_peer import ScriptedPeer


@contextmanager
def session_at(endpoint: MqttEndpoint, **options: float) -> Iterator[PipelinedSession]:
    session = PipelinedSession(endpoint, Secret("token"), device="G", **options)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        session.close()


def confirmed_within(session: PipelinedSession, seconds: float) -> list[int]:
    until = time.monotonic() + seconds
    found: list[int] = []
    while (left := until - time.monotonic()) > 0:
        found += session.poll(left)
    return found


def test_polling_keeps_an_idle_session_alive(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    with session_at(endpoint, keepalive_seconds=1) as session:
        assert confirmed_within(session, 3.5) == []
        packet_id = session.publish("t", b"x")
        assert confirmed_within(session, 0.3) == [packet_id]
    assert peer.connections == 1


def test_a_server_that_went_silent_is_detected(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.responds_to_pings = False
    with session_at(endpoint, keepalive_seconds=1) as session, pytest.raises(MqttError, match="went silent"):
        confirmed_within(session, 5)
