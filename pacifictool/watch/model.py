"""One snapshot as plain values: groups with their results, devices, topic, job, and the flow between them.

Nothing here reads a clock or a network. Where something is not known, `unknown` is a sentence with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import Any, Final

from pacifictool.rest import EntityId, Value
from pacifictool.watch.choice import EVERYTHING, Choice, Shown, shown_of
from pacifictool.watch.described import DescribedAnalytics, Description
from pacifictool.watch.states import WAITING, AlarmsState, JobState, WatchedTopicState

FRESH_SLIDES: Final = 2.5
"""A newest result older than this many times the interval between results, plus the delivery time, is stale."""

_DELIVERY_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class ResultView:
    """The results of one window of a group, as stored on the platform."""

    ts_ms: int
    """Their time on the platform, ms since the epoch."""
    values: Mapping[str, float]
    """By key; a window may lack some."""
    readings: int | None = None
    """Number of readings in the window; None: not known, only the job's folder on this machine has it."""

    def as_document(self) -> dict[str, Any]:
        return {"ts": self.ts_ms, "values": dict(self.values), "readings": self.readings}


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group of an analytics, by the name of its entity, and its newest results, oldest first."""

    name: str
    kind: str | None
    """"asset" or "device"; None: not on the platform. The gateway sink writes to devices, also in place of assets."""
    group: tuple[str, ...] | None = None
    """The values of the keys that the analytics groups by; None: not known."""
    results: tuple[ResultView, ...] = ()
    unknown: str | None = None

    @property
    def latest(self) -> ResultView | None:
        return self.results[-1] if self.results else None

    def values(self) -> dict[str, float]:
        """The newest value of each key, also where the newest window lacks it."""
        found: dict[str, float] = {}
        for result in self.results:
            found |= result.values
        return found

    def age_seconds(self, now_ms: int, analytics: DescribedAnalytics) -> float | None:
        """Since the end of the newest window; None without one."""
        return None if self.latest is None else round(max(0, now_ms - analytics.end_ms(self.latest.ts_ms)) / 1000, 1)

    def is_fresh(self, now_ms: int, analytics: DescribedAnalytics, round_ms: int = 0) -> bool:
        """Whether the newest result is recent enough; `round_ms`: how old what was read may be."""
        latest = self.latest
        oldest_ms = now_ms - FRESH_SLIDES * analytics.slide_ms - _DELIVERY_MS - round_ms
        return latest is not None and analytics.end_ms(latest.ts_ms) >= oldest_ms

    def results_since(self, since_ms: int) -> int:
        """Number of results with a time after `since_ms`."""
        return sum(result.ts_ms > since_ms for result in self.results)

    def as_document(self, now_ms: int, analytics: DescribedAnalytics, history: int, round_ms: int) -> dict[str, Any]:
        latest = self.latest
        return {
            "name": self.name,
            "kind": self.kind,
            "values": self.values(),
            "ts": None if latest is None else latest.ts_ms,
            "age_seconds": self.age_seconds(now_ms, analytics),
            "is_fresh": self.is_fresh(now_ms, analytics, round_ms),
            "readings": None if latest is None else latest.readings,
            "results": [result.as_document() for result in self.results[-history:]] if history else [],
            "unknown": self.unknown,
        }


@dataclass(frozen=True, slots=True)
class AnalyticsView:
    """The groups of one analytics."""

    described: DescribedAnalytics
    groups: tuple[GroupView, ...] = ()
    groups_total: int = 0
    """More than there are in `groups` when not all are watched."""
    round_ms: int = 0
    """How long it takes to read all groups once; they are read in turn when there are many."""

    def fresh(self, now_ms: int) -> list[GroupView]:
        """The groups whose newest result is recent enough."""
        return [group for group in self.groups if group.is_fresh(now_ms, self.described, self.round_ms)]

    def chosen(self, choice: Choice, now_ms: int) -> Shown[GroupView]:
        """The groups that `choice` asks for, in its order."""
        key = choice.key if choice.key in {each.key for each in self.described.keys} else self.described.keys[0].key
        return shown_of(
            self.groups,
            choice,
            name=lambda group: group.name,
            value=lambda group: group.values().get(key),
            age=lambda group: group.age_seconds(now_ms, self.described),
        )

    def as_document(self, now_ms: int, choice: Choice, history: Callable[[str, str], int]) -> dict[str, Any]:
        """`history`: how many results of a group to include, by the names of analytics and group."""
        described = self.described
        shown = self.chosen(choice, now_ms)
        return {
            **described.as_document(),
            "fresh": len(self.fresh(now_ms)),
            "groups": [
                group.as_document(now_ms, described, history(described.name, group.name), self.round_ms)
                for group in shown.items
            ],
            "groups_found": shown.found,
            "groups_watched": len(self.groups),
            "groups_total": self.groups_total,
        }


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device and its last readings on the platform."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Those that are forwarded, by key; the ones that are not known are missing."""
    values: Mapping[str, Value | None] = field(default_factory=dict)
    """The newest of each key of telemetry that there is."""
    ts_ms: int | None = None
    """Of the newest reading of any key."""
    rate: float | None = None
    """Readings per second that reach the platform, over the last RATE_SECONDS."""
    unknown: str | None = None

    @property
    def is_reporting(self) -> bool:
        return bool(self.rate)

    def as_document(self, now_ms: int) -> dict[str, Any]:
        age = None if self.ts_ms is None else round(max(0, now_ms - self.ts_ms) / 1000, 1)
        return {
            "name": self.name,
            "attributes": dict(self.attributes),
            "values": dict(self.values),
            "ts": self.ts_ms,
            "age_seconds": age,
            "rate": None if self.rate is None else round(self.rate, 2),
            "unknown": self.unknown,
        }


@dataclass(frozen=True, slots=True)
class PlatformState:
    """What was read over REST."""

    url: str
    generation: str | None = None
    analytics: tuple[AnalyticsView, ...] = ()
    devices: tuple[DeviceView, ...] = ()
    """The devices polled last; all, unless there are too many for one poll."""
    devices_total: int = 0
    reporting: int | None = None
    """Number of devices that send readings; an estimate when not all were polled."""
    rate: float | None = None
    """Readings per second that reach the platform, from all devices; an estimate when not all were polled."""
    silent_seconds: float = 0.0
    """How long ago the newest reading came."""
    notes: tuple[str, ...] = ()
    """What is left out, or shown page by page."""
    entities: Mapping[EntityId, str] = field(default_factory=dict)
    """Names of all groups' entities and devices that are watched, whose alarms are shown."""
    unknown: str | None = None

    @property
    def is_estimate(self) -> bool:
        return len(self.devices) < self.devices_total

    @property
    def groups(self) -> int:
        """Groups of all analytics that are watched."""
        return sum(len(each.groups) for each in self.analytics)

    def fresh(self, now_ms: int) -> int:
        """How many of them have a recent result."""
        return sum(len(each.fresh(now_ms)) for each in self.analytics)


@dataclass(frozen=True, slots=True)
class HopView:
    """One hop of the data flow."""

    name: str
    """"devices", "platform", "topic", "job" or "results"."""
    title: str
    figure: str
    """The main figure, a few characters."""
    detail: str
    state: str
    """"flowing", "still" or "unknown"."""
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class FlowView:
    """The flow from one hop to the next."""

    rate: float | None
    unit: str
    is_estimate: bool = False

    @property
    def text(self) -> str:
        """For example "≈ 1,200 readings/s"."""
        if self.rate is None:
            return f"? {self.unit}"
        number = f"{self.rate:,.0f}" if self.rate >= 100 else f"{self.rate:.1f}"
        return f"{'≈ ' if self.is_estimate else ''}{number} {self.unit}"


class VerdictCode(Enum):
    """Whether the data flows from end to end, or the first place where it stops."""

    WAITING = auto()
    PLATFORM_UNKNOWN = auto()
    NO_DEVICES = auto()
    NO_READINGS = auto()
    TOPIC_UNKNOWN = auto()
    NOT_FORWARDED = auto()
    JOB_STOPPED = auto()
    JOB_STARTING = auto()
    NO_RESULTS = auto()
    JOB_BEHIND = auto()
    FIRST_WINDOW = auto()
    GROUPS_STALE = auto()
    FLOWING = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the data flows, as a code and as one sentence."""

    code: VerdictCode
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of all parts at one time."""

    ts_ms: int
    description: Description
    platform: PlatformState
    alarms: AlarmsState
    topic: WatchedTopicState
    job: JobState
    lag: int | None
    """Records in the topic that the job has not counted."""
    hops: tuple[HopView, ...]
    flows: tuple[FlowView, ...]
    """One fewer than hops: the first leads from the first hop to the second."""
    verdict: Verdict

    @property
    def ok(self) -> bool:
        """Whether the platform responded."""
        return self.platform.unknown is None

    @property
    def notes(self) -> list[str]:
        """What is left out, or read in turn."""
        pending = self.alarms.pending
        return [*self.platform.notes, *self.alarms.notes, *([pending] if pending not in (None, WAITING) else [])]

    def as_document(
        self,
        *,
        history: int = 60,
        choice: Choice = EVERYTHING,
        history_of: Callable[[str, str], int] | None = None,
        alarms: int | None = None,
    ) -> dict[str, Any]:
        """For `--output json` and the page, with up to `history` results per group. Contains no secret.

        `choice`: the groups to include. `history_of`: by the names of analytics and group instead of `history`.
        `alarms`: how many; None: all.
        """
        platform, words = self.platform, self.description
        nothing = Choice(limit=0)
        return {
            "ok": self.ok,
            "ts": self.ts_ms,
            "words": {"device": words.device, "devices": words.devices, "results": words.results},
            "telemetry": [key.as_document() for key in words.telemetry],
            "attributes": [key.as_document() for key in words.attributes],
            "verdict": self.verdict.text,
            "analytics": [
                each.as_document(
                    self.ts_ms,
                    choice if choice.includes(each.described.name) else nothing,
                    history_of or (lambda _analytics, _group: history),
                )
                for each in platform.analytics
            ],
            "devices": [device.as_document(self.ts_ms) for device in platform.devices],
            "devices_total": platform.devices_total,
            **self.alarms.as_document(alarms),
            "alarms_expected": words.has_alarms,
            "platform": {
                "url": platform.url,
                "generation": platform.generation,
                "reporting": platform.reporting,
                "rate": None if platform.rate is None else round(platform.rate, 2),
                "is_estimate": platform.is_estimate,
                "unknown": platform.unknown,
            },
            "topic": self.topic.as_document(),
            "job": self.job.as_document(self.lag),
            "hops": [asdict(hop) for hop in self.hops],
            "flows": [
                {
                    "rate": None if flow.rate is None else round(flow.rate, 3),
                    "unit": flow.unit,
                    "text": flow.text,
                    "is_estimate": flow.is_estimate,
                }
                for flow in self.flows
            ],
            "notes": self.notes,
        }
