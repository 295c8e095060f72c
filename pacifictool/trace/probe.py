"""The probe: a reading with a value that no other reading has, sent as the device and searched for downstream."""

from __future__ import annotations

import json
import math
import random
import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from time import monotonic

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pacifictool.errors import Interrupted, MqttError
from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.records import Record, record_of
from pacifictool.kafka.topics import reason_of
from pacifictool.models.generators import generator_for
from pacifictool.mqtt import TELEMETRY_TOPIC
from pacifictool.mqtt.session import MqttSession
from pacifictool.rest import Device, Platform
from pacifictool.scenario import Bounds, DeviceSpec
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Secret
from pacifictool.tools.threads import start_thread

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_POLL_SECONDS = 0.02
_CLOSE_SECONDS = 2.0
_LARGEST_RECORD = 64 * 1024
_READINGS_TRIED = 1000


@dataclass(frozen=True, slots=True)
class Probe:
    """The reading."""

    value: float
    """Six decimal places: simulated and measured values have fewer."""
    ts_ms: int
    key: str

    def payload(self) -> bytes:
        """As a device sends it; the value is a text, as in the tutorial."""
        return json.dumps({"ts": self.ts_ms, "values": {self.key: f"{self.value:.6f}"}}).encode()

    def is_in(self, record: bytes | None) -> bool:
        """Whether a Kafka record contains the value, in any form that the platform's template may write."""
        if record is None or len(record) > _LARGEST_RECORD:
            return False
        return any(float(number) == self.value for number in _NUMBER.findall(record))


def probe_value(device: DeviceSpec, key: str, bounds: Bounds, rng: random.Random | None = None) -> float:
    """A value near one that the device's model of this key gives, with a fraction of its own.

    It is valid exactly if the device's own is: a trace shows what becomes of the device's readings.
    """
    rng = rng or random.SystemRandom()
    # Neither trailing zeros, which a template may leave out, nor so few digits that another reading has them.
    fraction = (rng.randrange(10_000, 100_000) * 10 + rng.randrange(1, 10)) / 1e6
    typical = _typical(device, key, rng)
    base = math.floor(typical)
    within = bounds.min + (bounds.max - bounds.min) * fraction
    near = (base + fraction, base - fraction, base + 1 + fraction)
    is_valid = _is_within(typical, bounds)
    # Where the valid range is too narrow for all of them, `within` is the last resort; one of them is always invalid
    # if the device's own value is: the second below the range, the third above it.
    return round(next((value for value in near if _is_within(value, bounds) is is_valid), within), 6)


def _is_within(value: float, bounds: Bounds) -> bool:
    return bounds.min <= value <= bounds.max


def _typical(device: DeviceSpec, key: str, rng: random.Random) -> float:
    """A value that the device may send; a model may have none for some readings."""
    generator = generator_for(device.telemetry[key], seed=rng.getrandbits(32), device=device.name, key=key)
    values = (generator.value(number, float(number)) for number in range(_READINGS_TRIED))
    return next((float(value) for value in values if value is not None), 0.0)


@dataclass(slots=True)
class Sending:
    """The state of the message; written by the sender's thread."""

    connected_at: float | None = None
    """Monotonic seconds, as all times here. The message is sent at once then."""
    acknowledged_at: float | None = None
    failure: MqttError | None = None
    connected: threading.Event = field(default_factory=threading.Event)
    """Set when `connected_at` or `failure` is."""


def send(endpoint: MqttEndpoint, token: Secret, device: str, payload: bytes, *, timeout_seconds: float) -> Sending:
    """Connects and publishes in a thread of its own; returns at once.

    The acknowledgement may come after everything else, or never: a 1.x server sends it when every rule has finished
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

    start_thread(work, "trace-sender")
    return sending


def poll_storage(platform: Platform, device: Device, probe: Probe, closed: threading.Event) -> Future[float]:
    """Asks the platform, in a thread of its own, until it has stored the probe; the result is when (monotonic)."""

    def poll() -> float:
        while not closed.wait(_POLL_SECONDS):
            points = platform.telemetry.range(device, probe.key, probe.ts_ms, probe.ts_ms + 1)
            if any(_number(point.value) == probe.value for point in points):
                return monotonic()
        raise Interrupted

    return start_thread(poll, "trace-storage")


class ProbeConsumer:
    """Reads a topic from given offsets on, in a thread of its own, and keeps the records that contain the probe."""

    def __init__(self, endpoint: KafkaEndpoint, topic: str, start: Mapping[int, int], probe: Probe) -> None:
        self._endpoint, self._probe = endpoint, probe
        self._start = [TopicPartition(topic, partition, offset) for partition, offset in start.items()]
        self.found: list[tuple[Record, float]] = []
        """Matching records, and when they were read (monotonic seconds)."""
        self.failure: str | None = None
        self._closed = threading.Event()
        self._thread = start_thread(self._work, "trace-kafka")

    def close(self) -> None:
        self._closed.set()
        wait([self._thread], _CLOSE_SECONDS)

    def _work(self) -> None:
        properties = {"group.id": "pacifictool-trace", "enable.auto.commit": False, "fetch.wait.max.ms": 50}
        try:
            consumer = Consumer(librdkafka_properties(self._endpoint, properties))
            try:
                consumer.assign(self._start)
                while not self._closed.is_set():
                    self._read(consumer)
            finally:
                consumer.close()
        except (KafkaException, ValueError, TypeError) as error:
            self.failure = reason_of(error)

    def _read(self, consumer: Consumer) -> None:
        message = consumer.poll(_POLL_SECONDS)
        if message is None:
            return
        if (error := message.error()) is not None:
            self.failure = error.str()
        elif self._probe.is_in(message.value()) and (record := record_of(message)) is not None:
            self.found.append((record, monotonic()))


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
