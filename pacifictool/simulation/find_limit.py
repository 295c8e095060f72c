"""`simulate --find-limit`: the highest rate at which the platform keeps up, in steps of load on a running fleet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Literal

from pacifictool.errors import UsageError
from pacifictool.models.config import replay_clock
from pacifictool.progress import SILENT, Reporter
from pacifictool.simulation.bottleneck import BUSY
from pacifictool.simulation.histogram import milliseconds
from pacifictool.simulation.intervals import FleetInterval, FleetState
from pacifictool.simulation.plan import SimulatedDevice

_PRECISION: Final = 0.05
"""Up to which share the highest rate that held and the lowest one that did not may differ in the end."""
_MAX_STEPS: Final = 40
_KEEPS_UP: Final = 0.95
"""Share of the due readings that must be sent, and acknowledged, while a step is held: a step takes a few seconds, in
which some acknowledgements are always on their way."""
_FEWEST_READINGS: Final = 10
_POLL_SECONDS: Final = 0.1
_LONGEST_CONNECT_PAUSE: Final = 15.0


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """How a limit is searched. Raises UsageError for what is not possible."""

    hold_seconds: float = 10.0
    """How long each step is measured, after a quarter of that time to settle."""
    factor: float = 1.5
    """By which the rate grows from step to step, until one does not hold."""
    max_latency_seconds: float = 1.0
    """A step holds only if 99 % of its readings are acknowledged within this time."""

    def __post_init__(self) -> None:
        if not 1.05 <= self.factor <= 100:
            raise UsageError(f"--factor: {self.factor:g} is not possible.", hint="From 1.05 to 100, for example 1.5.")
        if self.hold_seconds < 0.1 or self.max_latency_seconds <= 0:
            raise UsageError("--hold and --max-latency must be greater than 0.", hint="For example --hold 10s.")


class RateSearch:
    """Which rate to try next: up by a factor until one fails (down, if the first one does), then between the two."""

    def __init__(self, start: float, factor: float, lowest: float = 0.0) -> None:
        """All but `factor` are readings per second; nothing below `lowest` is tried: a step had too few readings."""
        self.held: float | None = None
        """The highest rate that held."""
        self.failed: float | None = None
        """The lowest rate that did not."""
        self._next: float | None = start
        self._factor = factor
        self._lowest = lowest
        self._tried = 0

    @property
    def next_rate(self) -> float | None:
        """Readings per second; None when the limit is known well enough, or after 40 steps."""
        return self._next

    def add(self, rate: float, *, held: bool) -> None:
        """The result of a step."""
        if held:
            self.held = max(rate, self.held or 0.0)
        else:
            self.failed = min(rate, self.failed or math.inf)
        self._tried += 1
        if self._tried >= _MAX_STEPS:
            self._next = None
        elif self.failed is None:
            self._next = rate * self._factor
        elif self.held is None:
            self._next = rate / self._factor if rate / self._factor >= self._lowest else None
        else:
            done = self.failed <= self.held * (1 + _PRECISION)
            self._next = None if done else math.sqrt(self.held * self.failed)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of load, as it was measured."""

    rate: float
    """Readings per second that were due, all devices together."""
    interval: FleetInterval
    reason: str | None
    """Why it did not hold; None: it held."""
    by: Literal["platform", "machine"] | None

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        latency = self.interval.acknowledgement
        seconds = self.interval.seconds
        return {
            "rate": round(self.rate, 3),
            "held": self.reason is None,
            "sent_rate": round(self.interval.generated / seconds, 3),
            "acknowledged_rate": round(self.interval.delivered / seconds, 3),
            "p50_ms": milliseconds(latency.percentile(50)),
            "p99_ms": milliseconds(latency.percentile(99)),
            "max_ms": milliseconds(latency.longest) if latency.count else None,
            "resent": self.interval.resent,
            "lost": self.interval.lost,
            "seconds": round(seconds, 3),
            "simulator_busy": round(self.interval.busy, 3),
            "reason": self.reason,
            "by": self.by,
        }


def classify_step(rate: float, interval: FleetInterval, max_latency_seconds: float) -> Step:
    """Whether a fleet kept up with `rate` readings per second in `interval`, and what the limit was if not."""
    seconds = interval.seconds
    enough = max(1.0, _KEEPS_UP * rate * seconds - 1)
    latency, lag = interval.acknowledgement.percentile(99), interval.lag.percentile(99)
    reason = None
    if interval.lost:
        reason = f"{interval.lost} readings were lost"
    elif interval.last.online < interval.first.online:
        reason = f"{interval.first.online - interval.last.online} devices lost their sessions"
    elif interval.generated < enough:
        reason = f"only {interval.generated / seconds:.0f} of {rate:.0f} readings/s could be sent"
    elif interval.delivered < enough:
        reason = f"only {interval.delivered / seconds:.0f} of {rate:.0f} readings/s were acknowledged"
    elif latency is not None and latency > max_latency_seconds:
        reason = f"the 99th percentile of acknowledgements was {latency:.2g} s, more than {max_latency_seconds:g} s"
    elif lag is not None and lag > max_latency_seconds:
        reason = f"readings were sent {lag:.2g} s late (p99), more than {max_latency_seconds:g} s"
    if reason is None:
        return Step(rate, interval, None, None)
    loop_lag = interval.loop_lag.percentile(99) or 0.0
    is_machine = interval.busy >= BUSY or loop_lag > max_latency_seconds / 2
    return Step(rate, interval, reason, "machine" if is_machine else "platform")


class _Phase(Enum):
    CONNECTING = auto()
    RELIEVING = auto()
    """After a step that did not hold: a low rate, until the platform has worked off what is in flight."""
    SETTLING = auto()
    HOLDING = auto()


class LimitFinder:
    """Takes a running fleet through the steps, as its observer."""

    def __init__(self, devices: Sequence[SimulatedDevice], options: LimitOptions, reporter: Reporter = SILENT) -> None:
        """Raises UsageError for devices that replay a file with times: their rate is that of the file."""
        for device in devices:
            if replay_clock(device.telemetry) is not None:
                raise UsageError(
                    f"The readings of {device.name!r} have the times of a file, so that their rate cannot be raised.",
                    hint="Choose other devices with --device, or a scenario without time_column.",
                )
        self.steps: list[Step] = []
        self.due_at = -math.inf
        self._devices = len(devices)
        self._start_rate = sum(device.rate for device in devices)
        self._options = options
        self._reporter = reporter
        self._search = RateSearch(self._start_rate, options.factor, lowest=_FEWEST_READINGS / options.hold_seconds)
        self._change_rate: Callable[[float], None] = lambda _scale: None
        self._finish: Callable[[], None] = lambda: None
        self._phase = _Phase.CONNECTING
        self._until = math.inf
        self._online = -1
        self._first: FleetState | None = None
        self._is_second_try = False

    def control(self, change_rate: Callable[[float], None], finish: Callable[[], None]) -> None:
        """How the fleet is controlled: `change_rate` multiplies the rates of its devices, `finish` ends the run."""
        self._change_rate, self._finish = change_rate, finish

    @property
    def is_complete(self) -> bool:
        """Whether the search has ended by itself."""
        return self._search.next_rate is None

    def observe(self, state: FleetState) -> None:
        """See `FleetObserver`."""
        self.due_at = state.at + _POLL_SECONDS
        if state.is_ending:
            return
        if self._phase is _Phase.CONNECTING:
            if state.online != self._online:
                self._online, self._until = state.online, state.at + _LONGEST_CONNECT_PAUSE
            if state.online == self._devices or (state.online and state.at >= self._until):
                self._begin_step(state)
        elif self._phase is _Phase.RELIEVING:
            if state.at >= self._until or state.in_flight <= self._low_rate() * self._options.max_latency_seconds:
                self._begin_step(state)
        elif self._phase is _Phase.SETTLING and state.at >= self._until:
            self._phase, self._first = _Phase.HOLDING, state
            self._until = self.due_at = state.at + self._options.hold_seconds
        elif self._phase is _Phase.HOLDING and state.at >= self._until:
            self._end_step(state)

    def as_document(self) -> dict[str, Any]:
        """For JSON output: `limit` is the highest rate that held and why the next one did not; null without one."""
        held, failed = self._search.held, self._search.failed
        why = next((step for step in reversed(self.steps) if step.rate == failed), None)
        limit = None
        if held is not None:
            limit = {
                "rate": round(held, 3),
                "rate_per_device": round(held / self._devices, 6),
                "next_rate": None if failed is None else round(failed, 3),
                "by": None if why is None else why.by,
                "reason": None if why is None else why.reason,
            }
        return {
            "devices": self._devices,
            "limit": limit,
            "steps": [step.as_document() for step in self.steps],
            "complete": self.is_complete,
        }

    def _low_rate(self) -> float:
        rates = [rate for rate in (self._search.held, self._search.failed, self._start_rate) if rate is not None]
        return min(rates) / self._options.factor / 2

    def _begin_step(self, state: FleetState) -> None:
        rate = self._search.next_rate
        assert rate is not None
        self._change_rate(rate / self._start_rate)
        self._phase = _Phase.SETTLING
        self._until = self.due_at = state.at + self._options.hold_seconds / 4

    def _end_step(self, state: FleetState) -> None:
        rate = self._search.next_rate
        assert rate is not None
        assert self._first is not None
        step = classify_step(rate, FleetInterval(self._first, state), self._options.max_latency_seconds)
        self.steps.append(step)
        # A moment's delay is not a limit: what did not hold is tried once more.
        self._is_second_try = step.reason is not None and not self._is_second_try
        if not self._is_second_try:
            self._search.add(rate, held=step.reason is None)
        again = "; once more" if self._is_second_try else ""
        self._reporter.info(f"{rate:.0f} readings/s: {step.reason or 'held'}{again}.")
        if self._search.next_rate is None:
            self._finish()
        elif step.reason is None:
            self._begin_step(state)
        else:
            self._change_rate(self._low_rate() / self._start_rate)
            self._phase = _Phase.RELIEVING
            self._until = state.at + 3 * self._options.hold_seconds
