"""One snapshot as plain values: zones, devices, topic, job, and the flow between them.

Nothing here reads a clock or a network. Where something is not known, `unknown` is a sentence with the reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import Any, Final

FRESH_WINDOWS: Final = 2.5
"""A newest mean older than this many windows, plus the delivery time, is stale."""

_DELIVERY_MS: Final = 5_000

WAITING: Final = "It has not responded yet."
"""The value of `unknown` before a part has been polled for the first time."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of one window of a zone, as stored on the platform."""

    ts_ms: int
    """End of the window, ms since the epoch."""
    value: float
    readings: int | None = None
    """Number of readings in the window; None: not known, only the job's folder on this machine has it."""

    def as_document(self) -> dict[str, Any]:
        return {"ts": self.ts_ms, "value": self.value, "readings": self.readings}


@dataclass(frozen=True, slots=True)
class ZoneView:
    """A zone and its newest means, oldest first."""

    name: str
    kind: str | None
    """"asset", or "device" for a zone that the gateway sink writes; None: not on the platform."""
    means: tuple[Mean, ...] = ()
    unknown: str | None = None

    @property
    def latest(self) -> Mean | None:
        return self.means[-1] if self.means else None

    def age_seconds(self, now_ms: int) -> float | None:
        """Since the end of the newest window; None without one."""
        return None if self.latest is None else round(max(0, now_ms - self.latest.ts_ms) / 1000, 1)

    def is_fresh(self, now_ms: int, window_ms: int) -> bool:
        """Whether the newest mean is recent enough."""
        latest = self.latest
        return latest is not None and now_ms - latest.ts_ms <= FRESH_WINDOWS * window_ms + _DELIVERY_MS

    def means_since(self, since_ms: int) -> int:
        """Number of means whose window ended after `since_ms`."""
        return sum(mean.ts_ms > since_ms for mean in self.means)

    def as_document(self, now_ms: int, history: int) -> dict[str, Any]:
        latest = self.latest
        return {
            "name": self.name,
            "kind": self.kind,
            "value": None if latest is None else latest.value,
            "ts": None if latest is None else latest.ts_ms,
            "age_seconds": self.age_seconds(now_ms),
            "readings": None if latest is None else latest.readings,
            "means": [mean.as_document() for mean in self.means[-history:]] if history else [],
            "unknown": self.unknown,
        }


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device and its last reading on the platform."""

    name: str
    zone: str | None
    value: float | int | str | bool | None = None
    ts_ms: int | None = None
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
            "zone": self.zone,
            "value": self.value,
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
    zones: tuple[ZoneView, ...] = ()
    zones_total: int = 0
    devices: tuple[DeviceView, ...] = ()
    """The devices polled last; all, unless there are too many for one poll."""
    devices_total: int = 0
    reporting: int | None = None
    """Number of devices that send readings; an estimate when not all were polled."""
    rate: float | None = None
    """Readings per second that reach the platform, from all devices; an estimate when not all were polled."""
    notes: tuple[str, ...] = ()
    """What is left out, or shown page by page."""
    unknown: str | None = None

    @property
    def is_estimate(self) -> bool:
        return len(self.devices) < self.devices_total


@dataclass(frozen=True, slots=True)
class WatchedTopicState:
    """What was read from Kafka."""

    name: str
    topic_id: str | None = None
    ends: dict[int, int] = field(default_factory=dict)
    """By partition, the offset of the next record."""
    rate: float | None = None
    """Records per second."""
    unknown: str | None = None

    def as_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "partitions": len(self.ends) or None,
            "records": sum(self.ends.values()) if self.ends else None,
            "rate": None if self.rate is None else round(self.rate, 2),
            "unknown": self.unknown,
        }


@dataclass(frozen=True, slots=True)
class JobState:
    """What was read from the job's folder on this machine."""

    folder: str | None = None
    target: str | None = None
    """Where the means go, for example "rest http://localhost:8080"."""
    is_running: bool | None = None
    counted: dict[int, int] = field(default_factory=dict)
    """By partition, the offset after the last record that was counted or rejected."""
    records: int = 0
    """Counted or rejected since the job's first start."""
    rejects: dict[str, int] = field(default_factory=dict)
    """Number by reason, since the job's first start."""
    posted: int = 0
    """Means that the platform acknowledged, corrections included."""
    corrections: int = 0
    refused: int = 0
    open_windows: int | None = None
    """(Window, zone) pairs whose mean is not delivered yet."""
    rate: float | None = None
    """Records per second."""
    unknown: str | None = None

    @property
    def state(self) -> str:
        """ "running", "stopped" or "unknown"."""
        return "unknown" if self.is_running is None else "running" if self.is_running else "stopped"

    def as_document(self, lag: int | None) -> dict[str, Any]:
        known = self.is_running is not None
        return {
            "state": self.state,
            "lag": lag,
            "records": self.records if known else None,
            "rejects": sum(self.rejects.values()) if known else None,
            "rejects_by_reason": self.rejects,
            "posted": self.posted if known else None,
            "corrections": self.corrections if known else None,
            "refused": self.refused if known else None,
            "open_windows": self.open_windows,
            "rate": None if self.rate is None else round(self.rate, 2),
            "target": self.target,
            "checkpoint": self.folder,
            "unknown": self.unknown,
        }


@dataclass(frozen=True, slots=True)
class HopView:
    """One hop of the data flow."""

    name: str
    """"turbines", "platform", "topic", "job" or "assets"."""
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
    NO_MEANS = auto()
    JOB_BEHIND = auto()
    FIRST_WINDOW = auto()
    ZONES_STALE = auto()
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
    window_ms: int
    value_key: str
    platform: PlatformState
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

    def as_document(self, *, history: int = 60) -> dict[str, Any]:
        """For `--output json` and the page, with up to `history` means per zone. Contains no secret."""
        platform = self.platform
        return {
            "ok": self.ok,
            "ts": self.ts_ms,
            "window_ms": self.window_ms,
            "value_key": self.value_key,
            "verdict": self.verdict.text,
            "zones": [zone.as_document(self.ts_ms, history) for zone in platform.zones],
            "zones_total": platform.zones_total,
            "devices": [device.as_document(self.ts_ms) for device in platform.devices],
            "devices_total": platform.devices_total,
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
            "notes": list(platform.notes),
        }
