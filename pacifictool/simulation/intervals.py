"""The state of a running fleet at one moment, and what happened between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pacifictool.simulation.histogram import DurationHistogram


@dataclass(frozen=True, slots=True)
class FleetState:
    """The counters of a fleet since its start, at one moment."""

    at: float
    """Monotonic seconds."""
    generated: int
    delivered: int
    """Readings acknowledged (QoS 1) or sent (QoS 0)."""
    resent: int
    lost: int
    online: int
    """Devices that have a session."""
    acknowledgement: DurationHistogram
    """From the first sending to the acknowledgement."""
    lag: DurationHistogram
    """How late readings were taken, by the schedule."""
    loop_lag: DurationHistogram
    """How late the event loop itself ran."""
    busy_seconds: float
    """How long the event loop did something, instead of waiting for sockets and timers."""
    is_ending: bool = False
    """Whether the run was stopped or has finished: no further readings are taken."""

    @property
    def in_flight(self) -> int:
        """Readings without an outcome."""
        return max(0, self.generated - self.delivered - self.lost)


class FleetInterval:
    """What a fleet did between two states."""

    def __init__(self, first: FleetState, last: FleetState) -> None:
        self.first = first
        self.last = last
        self.seconds = last.at - first.at
        self.generated = last.generated - first.generated
        self.delivered = last.delivered - first.delivered
        self.resent = last.resent - first.resent
        self.lost = last.lost - first.lost
        self.acknowledgement = last.acknowledgement.since(first.acknowledgement)
        self.lag = last.lag.since(first.lag)
        self.loop_lag = last.loop_lag.since(first.loop_lag)

    @property
    def busy(self) -> float:
        """The share of the time in which the event loop did something."""
        return (self.last.busy_seconds - self.first.busy_seconds) / self.seconds if self.seconds else 0.0


class FleetObserver(Protocol):
    """Follows a running fleet, in the thread of `Fleet.run`; it must be quick."""

    due_at: float
    """When it wants to see the state next (monotonic seconds; anything in the past: at once)."""

    def observe(self, state: FleetState) -> None:
        """Gets the state at `due_at`, or soon after; and once more at the end of the run."""
