"""What Kafka tells of the topic."""

from __future__ import annotations

from time import monotonic
from typing import Final

from pacifictool.errors import KafkaError, SettingsError
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.settings import KafkaEndpoint
from pacifictool.tools.rates import RateMeter
from pacifictool.watch.model import TopicState

TIMEOUT_SECONDS: Final = 3.0
_DESCRIBE_EVERY_SECONDS: Final = 10.0
"""A topic that is deleted and made again has another identity."""


class TopicEye:
    """Looks at the topic's ends. One thread at a time; after a failure it goes on with the next look."""

    def __init__(self, endpoint: KafkaEndpoint, topic: str) -> None:
        self._endpoint = endpoint
        self._topic = topic
        self._admin: KafkaAdmin | None = None
        self._info: TopicInfo | None = None
        self._described_at = 0.0
        self._meter = RateMeter()

    def look(self) -> TopicState:
        """One look, of a few seconds at most. A failure is told in `unknown`."""
        try:
            if self._admin is None:
                self._admin = KafkaAdmin(self._endpoint, timeout_seconds=TIMEOUT_SECONDS)
                # The cheapest way to find out, without librdkafka's patience, that nobody is there.
                self._admin.brokers()
            info = self._describe(self._admin)
            if info is None:
                return TopicState(self._topic, unknown="There is no such topic yet; `pacifictool setup` creates it.")
            ends = self._admin.offsets(self._topic)
            return TopicState(self._topic, info.topic_id, ends, rate=self._meter.add(monotonic(), sum(ends.values())))
        except (KafkaError, SettingsError) as error:
            # A client that has lost its broker is slow to believe that it is back.
            self._admin, self._info = None, None
            self._meter.reset()
            return TopicState(self._topic, unknown=error.message)

    def _describe(self, admin: KafkaAdmin) -> TopicInfo | None:
        now = monotonic()
        if self._info is None or now - self._described_at >= _DESCRIBE_EVERY_SECONDS:
            info = admin.describe(self._topic)
            if info is not None and self._info is not None and info.topic_id != self._info.topic_id:
                self._meter.reset()
            self._info, self._described_at = info, now
        return self._info
