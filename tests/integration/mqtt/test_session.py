from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from pacifictool.mqtt import ATTRIBUTES_TOPIC
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.settings import MqttEndpoint, Secret
from tests.support.load import slowdown
from tests.support.mqtt_peer import ScriptedPeer
from tests.support.mqtt_publish import failure
from tests.support.waiting import SOON_SECONDS


def test_a_server_that_does_not_speak_mqtt_is_not_waited_for(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    def speak_http(_user_name: str, _connection: int) -> None:
        peer.send_to_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    peer.on_connect = speak_http
    began = time.monotonic()
    failure(endpoint, timeout_seconds=3)
    assert time.monotonic() - began < SOON_SECONDS


def test_a_thousand_devices_publish_at_more_than_a_hundred_per_second(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    threads_before = threading.active_count()
    most_threads = 0

    def one(number: int) -> None:
        nonlocal most_threads
        publish_and_confirm(endpoint, Secret(f"token-{number}"), ATTRIBUTES_TOPIC, b"{}", device=f"Turbine {number}")
        most_threads = max(most_threads, threading.active_count())

    busy, began = slowdown(), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(1000)))
    assert time.monotonic() - began < 10 * max(busy, slowdown())
    assert {message.user_name for message in peer.received} == {f"token-{number}" for number in range(1000)}
    assert most_threads <= threads_before + 8 + 20  # the workers, and the peer's own threads
