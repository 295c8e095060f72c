from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacifictool.settings import MqttEndpoint
from tests.support.mqtt_peer import ScriptedPeer


@pytest.fixture
def peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer() as peer:
        yield peer


@pytest.fixture
def endpoint(peer: ScriptedPeer) -> MqttEndpoint:
    return MqttEndpoint("127.0.0.1", peer.port)
