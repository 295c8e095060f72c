"""One marked reading: a value that no other reading has, sent as the device, and looked for in Kafka."""

from __future__ import annotations

import json
import math
import random
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pacifictool.errors import Interrupted, MqttError, PacificToolError
from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.records import Record, record_of
from pacifictool.kafka.topics import reason_of
from pacifictool.models.generators import wind_generator
from pacifictool.mqtt import TELEMETRY_TOPIC
from pacifictool.mqtt.session import MqttSession
from pacifictool.rest import Device, Platform
from pacifictool.scenario import Aggregation, Turbine
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Secret

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_POLL_SECONDS = 0.02
_LARGEST_RECORD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Marker:
    """The reading."""

    value: float
    """Six digits behind the point: simulated and measured values have fewer."""
    ts_ms: int
    key: str

    def payload(self) -> bytes:
        """As a device sends it; the value is a text, as in the tutorial."""
        return json.dumps({"ts": self.ts_ms, "values": {self.key: f"{self.value:.6f}"}}).encode()

    def is_in(self, record: bytes | None) -> bool:
        """Whether a Kafka record holds the value, in whichever form the platform's template writes it."""
        if record is None or len(record) > _LARGEST_RECORD:
            return False
        return any(float(number) == self.value for number in _NUMBER.findall(record))


def marked_value(turbine: Turbine, rules: Aggregation, rng: random.Random | None = None) -> float:
    """A value near one that the turbine's wind model gives, with a fraction of its own.

    It is valid whenever the turbine's own is.
    """
    rng = rng or random.SystemRandom()
    # Neither zeros at the end, which a template may leave out, nor so few digits that somebody else has them.
    fraction = (rng.randrange(10_000, 100_000) * 10 + rng.randrange(1, 10)) / 1e6
    typical = wind_generator(turbine.wind_speed, seed=rng.getrandbits(32), device=turbine.name).value(0, 0.0)
    base = math.floor(typical)
    leaves = typical <= rules.valid.max < base + fraction
    return round(base - fraction if leaves else base + fraction, 6)


@dataclass(slots=True)
class Sending:
    """What is known of the message at the moment; written by the sender's thread."""

    connected_at: float | None = None
    """Monotonic seconds, as all times here. The message is sent at once then."""
    acknowledged_at: float | None = None
    failure: MqttError | None = None
    connected: threading.Event = field(default_factory=threading.Event)
    """Set when `connected_at` or `failure` is."""


def send(endpoint: MqttEndpoint, token: Secret, device: str, payload: bytes, *, timeout_seconds: float) -> Sending:
    """Connects and publishes in a thread of its own; returns at once.

    The acknowledgement may come last of all, or never: a 1.x server sends it when every rule has done its work
    (docs/servers/1.x.md#mqtt, rows 5 and 6).
    """
    sending = Sending()

    def work() -> None:
        try:
            with MqttSession(endpoint, token, device=device, timeout_seconds=timeout_seconds) as session:
                sending.connected_at = monotonic()
                sending.connected.set()
                session.publish(TELEMETRY_TOPIC, payload)
                sending.acknowledged_at = monotonic()
        except MqttError as error:
            sending.failure = error
        finally:
            sending.connected.set()

    threading.Thread(target=work, name="trace-sender", daemon=True).start()
    return sending


class StorageWatcher:
    """Asks the platform, in a thread of its own, until it has the reading."""

    def __init__(self, platform: Platform, device: Device, marker: Marker) -> None:
        self._platform = platform
        self._device = device
        self._marker = marker
        self._stop = threading.Event()
        self.seen_at: float | None = None
        """Monotonic seconds."""
        self.failure: PacificToolError | None = None
        self._thread = threading.Thread(target=self._work, name="trace-storage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)

    def _work(self) -> None:
        marker = self._marker
        try:
            while not self._stop.wait(_POLL_SECONDS):
                points = self._platform.telemetry.range(self._device, marker.key, marker.ts_ms, marker.ts_ms + 1)
                if any(_number(point.value) == marker.value for point in points):
                    self.seen_at = monotonic()
                    return
        except PacificToolError as error:
            self.failure = error
        except Interrupted:
            return


class TopicWatcher:
    """Reads a topic from given offsets on, in a thread of its own, and keeps the records that hold the marker."""

    def __init__(self, endpoint: KafkaEndpoint, topic: str, start: Mapping[int, int], marker: Marker) -> None:
        self._endpoint = endpoint
        self._topic = topic
        self._start = dict(start)
        self._marker = marker
        self._stop = threading.Event()
        self.found: list[tuple[Record, float]] = []
        """Matching records, and when they were seen (monotonic seconds)."""
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._work, name="trace-kafka", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)

    def _work(self) -> None:
        try:
            consumer = Consumer(
                librdkafka_properties(
                    self._endpoint,
                    {"group.id": "pacifictool-trace", "enable.auto.commit": False, "fetch.wait.max.ms": 50},
                )
            )
            try:
                self._follow(consumer)
            finally:
                consumer.close()
        except (KafkaException, ValueError, TypeError) as error:
            self.failure = reason_of(error)

    def _follow(self, consumer: Consumer) -> None:
        consumer.assign([TopicPartition(self._topic, part, offset) for part, offset in self._start.items()])
        while not self._stop.is_set():
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            if (error := message.error()) is not None:
                self.failure = error.str()
            elif self._marker.is_in(message.value()):
                record = record_of(message)
                if record is not None:
                    self.found.append((record, monotonic()))


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
