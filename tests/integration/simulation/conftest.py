from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig

from pacifictool.settings import MqttEndpoint
from tests.support.fixtures import endpoint, peer

__all__ = ["endpoint", "peer"]


async def _serve(started: threading.Event, found: dict[str, Any]) -> None:
    config = BrokerConfig(
        listeners={"default": ListenerConfig(bind="127.0.0.1:0")},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": False}},
    )
    broker = Broker(config)
    await broker.start()
    (server,) = broker._servers.values()
    assert server.instance is not None
    found["port"] = server.instance.sockets[0].getsockname()[1]
    found["stop"] = stop = asyncio.Event()
    found["loop"] = asyncio.get_running_loop()
    started.set()
    await stop.wait()
    await broker.shutdown()
    await asyncio.sleep(0.1)  # amqtt closes its transports later; without this they stay unclosed


@pytest.fixture(scope="module")
def broker() -> Iterator[MqttEndpoint]:
    """amqtt, an independent MQTT broker. It accepts any user name, but requires one."""
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    started = threading.Event()
    found: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: asyncio.run(_serve(started, found)), name="amqtt")
    thread.start()
    assert started.wait(60)
    yield MqttEndpoint("127.0.0.1", found["port"])
    found["loop"].call_soon_threadsafe(found["stop"].set)
    thread.join(60)
    assert not thread.is_alive()
