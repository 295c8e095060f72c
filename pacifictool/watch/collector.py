"""Polls platform, alarms, topic and job, each in its own thread, and combines the results into a snapshot.

A part that does not respond delays no other: the snapshot has its last state, or the reason why nothing is known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final, Self

from pacifictool.analytics.state.fitting import WantedJob
from pacifictool.errors import AuthenticationFailed
from pacifictool.rest import Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import KafkaEndpoint, MqttEndpoint
from pacifictool.watch.alarms import POLL_SECONDS, AlarmPoller
from pacifictool.watch.described import describe
from pacifictool.watch.flow import flows_of, hops_of, verdict_of
from pacifictool.watch.job import AskedWindow, CountedWindow, JobPoller, lag
from pacifictool.watch.model import AnalyticsView, PlatformState, Snapshot
from pacifictool.watch.platform import PlatformPoller
from pacifictool.watch.states import WAITING, AlarmsState, JobState, WatchedTopicState
from pacifictool.watch.topic import TopicPoller

ONCE_SECONDS: Final = 6.0
"""How long a single snapshot waits for parts that do not respond."""
SESSION_TIMEOUTS: Final = (3.0, 8.0)
"""Connect and read timeout: short, so that a server that hangs is reported soon."""

_FIRST_POLLS_SECONDS: Final = 1.0
"""How long the first poll of the job waits for those of platform and topic, which say what to ask for."""
_WINDOWS_ASKED: Final = 400
"""Windows whose number of readings is asked for in one poll, at most."""
_COUNTS_KEPT: Final = 20_000
"""Windows whose number of readings is kept."""


@dataclass(frozen=True, slots=True)
class WatchTarget:
    """What is watched."""

    platform: Platform
    kafka: KafkaEndpoint
    scenario: Scenario
    job_folders: Callable[[], Sequence[Path]]
    """Where the job may be, most likely first."""
    entities: tuple[str, ...] = ()
    """Only the groups whose entities have these names; empty: all."""
    devices: tuple[str, ...] = ()
    """Only these; empty: all."""
    mqtt: MqttEndpoint | None = None
    """Of the platform, to know the job that posts there through the gateway; None: not known."""


class Collector:
    """Polls until it is closed. `snapshot` may be called from any thread at any time."""

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
        topic = scenario.forwarding.topic
        self._words = describe(scenario)
        self._platform_poller = PlatformPoller(
            target.platform, scenario, entities=target.entities, devices=target.devices, clock_ms=clock_ms
        )
        self._alarm_poller = AlarmPoller(target.platform)
        self._topic_poller = TopicPoller(target.kafka, topic)
        wanted = WantedJob.from_scenario(scenario, target.platform.url, target.mqtt)
        self._job_poller = JobPoller(wanted, target.job_folders, clock_ms)
        empty = tuple(AnalyticsView(each) for each in self._words.analytics)
        self._platform = PlatformState(target.platform.url, analytics=empty, unknown=WAITING)
        self._alarms = AlarmsState(pending=WAITING)
        self._topic = WatchedTopicState(topic, unknown=WAITING)
        self._job = JobState(unknown=WAITING)
        self._counts: dict[CountedWindow, int] = {}
        self._joined: PlatformState | None = None
        """The platform with the numbers of readings; None: not joined since the last poll."""
        self._failure: Exception | None = None
        self._polls = dict.fromkeys(("platform", "alarms", "topic", "job"), 0)
        self._polled = threading.Condition()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the threads."""
        each = self._interval_seconds
        for name, poll, seconds in (
            ("platform", self._poll_platform, each),
            ("alarms", self._poll_alarms, max(each, POLL_SECONDS)),
            ("topic", self._poll_topic, each),
            ("job", self._poll_job, each),
        ):
            thread = threading.Thread(
                target=self._keep_polling, args=(name, poll, seconds), name=f"watch-{name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Stops polling. Does not wait for a part that does not respond."""
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
    def analytics(self) -> tuple[str, ...]:
        """Names of the scenario's analytics."""
        return tuple(each.name for each in self._words.analytics)

    @property
    def has_polled_all(self) -> bool:
        """Whether every part was polled at least once, successfully or not."""
        return min(self._polls.values()) > 0

    def wait_until_polled(self, stop: threading.Event, *, times: int = 1, seconds: float = ONCE_SECONDS) -> None:
        """Returns when every part was polled `times` times, or `stop` is set, or after `seconds`."""
        deadline = monotonic() + seconds
        with self._polled:
            while min(self._polls.values()) < times and not stop.is_set() and self._failure is None:
                if monotonic() >= deadline:
                    return
                self._polled.wait(0.1)

    def raise_failure(self) -> None:
        """Raises AuthenticationFailed when the platform refused the login, and whatever ended a thread: nothing is
        polled after that."""
        if self._failure is not None:
            raise self._failure

    def snapshot(self) -> Snapshot:
        """The newest known state of all parts."""
        now_ms, words = self._clock_ms(), self._words
        with self._polled:
            topic, job, alarms = self._topic, self._job, self._alarms
            if self._joined is None:
                views = tuple(_with_readings(each, self._counts) for each in self._platform.analytics)
                self._joined = replace(self._platform, analytics=views)
            platform = self._joined
        behind = lag(topic.ends, job.counted)
        return Snapshot(
            ts_ms=now_ms,
            description=words,
            platform=platform,
            alarms=alarms,
            topic=topic,
            job=job,
            lag=behind,
            hops=hops_of(platform, topic, job, behind, now_ms=now_ms, words=words),
            flows=flows_of(platform, topic, job, now_ms=now_ms, words=words),
            verdict=verdict_of(platform, topic, job, behind, now_ms=now_ms, words=words),
        )

    def _keep_polling(self, name: str, poll: Callable[[], None], seconds: float) -> None:
        while not self._closed.is_set() and self._failure is None:
            started = monotonic()
            try:
                poll()
            except Exception as error:  # noqa: BLE001 - `raise_failure` raises it where it is reported
                self._failure = error
            with self._polled:
                self._polls[name] += 1
                self._polled.notify_all()
            self._closed.wait(max(0.0, seconds - (monotonic() - started)))

    def _poll_platform(self) -> None:
        try:
            state = self._platform_poller.poll()
        except AuthenticationFailed as error:
            self._failure = error
            state = PlatformState(self._platform.url, unknown=error.message)
        with self._polled:
            if state.unknown is not None:
                # The last known state stays visible.
                state = replace(self._platform, unknown=state.unknown, rate=None, reporting=None)
            self._platform, self._joined = state, None

    def _poll_alarms(self) -> None:
        with self._polled:
            # Whose alarms to ask for is not known before.
            while not self._polls["platform"] and not self._closed.is_set():
                self._polled.wait(0.1)
            entities, reason = self._platform.entities, self._platform.unknown
        try:
            state = self._alarm_poller.poll(entities) if entities else AlarmsState(unknown=reason)
        except AuthenticationFailed as error:
            self._failure = error
            state = AlarmsState(unknown=error.message)
        with self._polled:
            self._alarms = state if state.unknown is None else replace(self._alarms, unknown=state.unknown)

    def _poll_topic(self) -> None:
        state = self._topic_poller.poll()
        with self._polled:
            self._topic = state

    def _poll_job(self) -> None:
        with self._polled:
            self._polled.wait_for(lambda: self._polls["platform"] and self._polls["topic"], _FIRST_POLLS_SECONDS)
            topic_id, wanted = self._topic.topic_id, self._windows_to_ask()
        state, counts = self._job_poller.poll(topic_id, wanted)
        with self._polled:
            self._job = state
            merged = {**self._counts, **counts}
            if len(merged) > 2 * _COUNTS_KEPT:
                merged = dict(sorted(merged.items(), key=lambda item: item[0][2])[-_COUNTS_KEPT:])
            self._counts, self._joined = merged, None

    def _windows_to_ask(self) -> list[AskedWindow]:
        """Windows on the platform that the state store may still have, and whose number of readings may still grow;
        those without a number, and the newest, first."""
        asked = []
        for view in self._platform.analytics:
            described = view.described
            since_ms = self._clock_ms() - 3 * described.window_ms - 2 * described.lateness_ms
            for group in view.groups:
                if group.group is None:
                    continue
                for result in group.results[-10:]:
                    end_ms = described.end_ms(result.ts_ms)
                    if end_ms >= since_ms:
                        asked.append(AskedWindow(described.name, group.group, group.name, end_ms))
        asked.sort(key=lambda each: ((each.analytics, each.entity, each.end_ms) in self._counts, -each.end_ms))
        return asked[:_WINDOWS_ASKED]


def _with_readings(view: AnalyticsView, counts: dict[CountedWindow, int]) -> AnalyticsView:
    described = view.described
    groups = tuple(
        replace(
            group,
            results=tuple(
                replace(result, readings=counts.get((described.name, group.name, described.end_ms(result.ts_ms))))
                for result in group.results
            ),
        )
        for group in view.groups
    )
    return replace(view, groups=groups)
