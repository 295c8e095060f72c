"""Keeps looking at every part of the way, each in a thread of its own, and puts what is known together.

A part that does not answer holds up nobody: the snapshot says what was seen last, or why nothing is known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final, Self

from pacifictool.errors import AuthenticationFailed, PacificToolError
from pacifictool.rest import Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import KafkaEndpoint
from pacifictool.watch.flow import flows_of, hops_of, verdict_of
from pacifictool.watch.job import JobEye, Window, lag
from pacifictool.watch.model import WAITING, JobState, Mean, PlatformState, Snapshot, TopicState, ZoneView
from pacifictool.watch.platform import HISTORY, PlatformEye
from pacifictool.watch.topic import TopicEye

ONCE_SECONDS: Final = 6.0
"""How long a single snapshot waits for parts that do not answer."""
SESSION_TIMEOUTS: Final = (3.0, 8.0)
"""To connect, and between two pieces of an answer: a server that hangs is told of soon."""

_PATIENCE_SECONDS: Final = 1.0
_COUNTS_KEPT: Final = 2 * HISTORY
"""Windows of each zone whose number of readings is remembered."""


@dataclass(frozen=True, slots=True)
class WatchTarget:
    """What is watched."""

    platform: Platform
    kafka: KafkaEndpoint
    scenario: Scenario
    job_folders: Callable[[], Sequence[Path]]
    """Where the job may be, the likeliest first."""
    zones: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """Only these; empty: all."""


class Collector:
    """Looks until it is closed. `snapshot` may be called from any thread, at any time."""

    def __init__(
        self,
        target: WatchTarget,
        *,
        interval_seconds: float = 1.0,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        scenario = target.scenario
        self._interval_seconds = interval_seconds
        self._clock_ms = clock_ms
        self._aggregation = scenario.aggregation
        self._platform_eye = PlatformEye(
            target.platform, scenario, zones=target.zones, devices=target.devices, clock_ms=clock_ms
        )
        self._topic_eye = TopicEye(target.kafka, scenario.kafka.topic)
        self._job_eye = JobEye(scenario.kafka.topic, target.job_folders, clock_ms)
        self._platform = PlatformState(target.platform.url, unknown=WAITING)
        self._topic = TopicState(scenario.kafka.topic, unknown=WAITING)
        self._job = JobState(unknown=WAITING)
        self._counts: dict[Window, int] = {}
        self._refusal: PacificToolError | None = None
        self._looks = dict.fromkeys(("platform", "topic", "job"), 0)
        self._seen = threading.Condition()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begins to look."""
        for name, look in (
            ("platform", self._look_at_platform),
            ("topic", self._look_at_topic),
            ("job", self._look_at_job),
        ):
            thread = threading.Thread(target=self._keep_looking, args=(name, look), name=f"watch-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Looks no more. Does not wait for a part that does not answer."""
        self._closed.set()
        deadline = monotonic() + 0.5
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def has_seen_all(self) -> bool:
        """Whether every part was looked at, with whatever outcome."""
        return min(self._looks.values()) > 0

    def wait_until_seen(self, stop: threading.Event, *, times: int = 1, seconds: float = ONCE_SECONDS) -> None:
        """Returns when every part was looked at `times` times, or `stop` is set, or after so many seconds."""
        deadline = monotonic() + seconds
        with self._seen:
            while min(self._looks.values()) < times and not stop.is_set() and self._refusal is None:
                if monotonic() >= deadline:
                    return
                self._seen.wait(0.1)

    def raise_refusal(self) -> None:
        """Raises AuthenticationFailed when the platform refused the user; it is not asked again then."""
        if self._refusal is not None:
            raise self._refusal

    def snapshot(self) -> Snapshot:
        """What is known now."""
        now_ms, window_ms = self._clock_ms(), self._aggregation.window_ms
        with self._seen:
            topic, job, counts = self._topic, self._job, self._counts
            platform = replace(
                self._platform, zones=tuple(_with_readings(zone, counts) for zone in self._platform.zones)
            )
        behind = lag(topic.ends, job.counted)
        return Snapshot(
            ts_ms=now_ms,
            window_ms=window_ms,
            value_key=self._aggregation.value_key,
            platform=platform,
            topic=topic,
            job=job,
            lag=behind,
            hops=hops_of(platform, topic, job, behind, now_ms=now_ms, window_ms=window_ms),
            flows=flows_of(platform, topic, job, now_ms=now_ms, window_ms=window_ms),
            verdict=verdict_of(platform, topic, job, behind, now_ms=now_ms, window_ms=window_ms),
        )

    def _keep_looking(self, name: str, look: Callable[[], None]) -> None:
        while not self._closed.is_set() and self._refusal is None:
            began = monotonic()
            look()
            with self._seen:
                self._looks[name] += 1
                self._seen.notify_all()
            self._closed.wait(max(0.0, self._interval_seconds - (monotonic() - began)))

    def _look_at_platform(self) -> None:
        try:
            seen = self._platform_eye.look()
        except AuthenticationFailed as error:
            self._refusal = error
            seen = PlatformState(self._platform.url, unknown=error.message)
        with self._seen:
            if seen.unknown is not None:
                # What was seen before stays in sight.
                seen = replace(self._platform, unknown=seen.unknown, rate=None, reporting=None)
            self._platform = seen

    def _look_at_topic(self) -> None:
        seen = self._topic_eye.look()
        with self._seen:
            self._topic = seen

    def _look_at_job(self) -> None:
        with self._seen:
            # The others' first looks say what to ask.
            self._seen.wait_for(lambda: self._looks["platform"] and self._looks["topic"], _PATIENCE_SECONDS)
            topic_id, wanted = self._topic.topic_id, self._open_questions()
        seen, counts = self._job_eye.look(topic_id, wanted)
        with self._seen:
            self._job = seen
            merged = {**self._counts, **counts}
            kept = _COUNTS_KEPT * max(1, len(self._platform.zones))
            if len(merged) > 2 * kept:
                merged = dict(sorted(merged.items(), key=lambda item: item[0][1])[-kept:])
            self._counts = merged

    def _open_questions(self) -> list[Window]:
        """Windows on the platform that the ledger may still know, and whose number of readings may still grow."""
        since_ms = self._clock_ms() - 3 * self._aggregation.window_ms - 2 * self._aggregation.lateness_ms
        return [
            (zone.name, mean.ts_ms)
            for zone in self._platform.zones
            for mean in zone.means[-10:]
            if mean.ts_ms >= since_ms
        ]


def _with_readings(zone: ZoneView, counts: dict[Window, int]) -> ZoneView:
    means = [Mean(mean.ts_ms, mean.value, counts.get((zone.name, mean.ts_ms))) for mean in zone.means]
    return replace(zone, means=tuple(means))
