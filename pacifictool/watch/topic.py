"""Polls the Kafka topic: its end offsets and the rate at which they grow."""

from __future__ import annotations

from time import monotonic
from typing import Final

from pacifictool.errors import KafkaError, SettingsError
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.settings import KafkaEndpoint
from pacifictool.tools.rates import RateMeter
from pacifictool.watch.states import WatchedTopicState

TIMEOUT_SECONDS: Final = 3.0
_DESCRIBE_EVERY_SECONDS: Final = 10.0
"""How often its identity is read: a topic that is deleted and created again has another one."""


class TopicPoller:
    """Polls the topic. For one thread at a time; the poll after a failure starts with a new client."""

    def __init__(self, endpoint: KafkaEndpoint, topic: str) -> None:
        self._endpoint = endpoint
        self._topic = topic
        self._admin: KafkaAdmin | None = None
        self._info: TopicInfo | None = None
        self._described_at = 0.0
        self._meter = RateMeter()
        self._total: int | None = None
        self._grew_at = 0.0

    def poll(self) -> WatchedTopicState:
        """The topic now; takes up to TIMEOUT_SECONDS per request. A failure is reported in `unknown`."""
        try:
            if self._admin is None:
                self._admin = KafkaAdmin(self._endpoint, timeout_seconds=TIMEOUT_SECONDS)
                # The quickest way to find out that no broker responds, without librdkafka's retries.
                self._admin.brokers()
            info = self._describe(self._admin)
            if info is None:
                return WatchedTopicState(
                    self._topic, unknown="The topic does not exist yet; `pacifictool setup` creates it."
                )
            ends = self._admin.offsets(self._topic)
            now, total = monotonic(), sum(ends.values())
            if total != self._total:
                self._total, self._grew_at = total, now
            return WatchedTopicState(
                self._topic, info.topic_id, ends, self._meter.add(now, total), still_seconds=now - self._grew_at
            )
        except (KafkaError, SettingsError) as error:
            # A client that has lost its broker reconnects slowly.
            self._admin, self._info = None, None
            self._meter.reset()
            self._total = None
            return WatchedTopicState(self._topic, unknown=error.message)

    def _describe(self, admin: KafkaAdmin) -> TopicInfo | None:
        now = monotonic()
        if self._info is None or now - self._described_at >= _DESCRIBE_EVERY_SECONDS:
            info = admin.describe(self._topic)
            if info is not None and self._info is not None and info.topic_id != self._info.topic_id:
                self._meter.reset()
            self._info, self._described_at = info, now
        return self._info
