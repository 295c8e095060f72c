"""What limits an overloaded load test: the platform, or the machine that simulates the devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

_LATE_SECONDS: Final = 0.5
"""Lateness of readings, or of the event loop itself, that is more than a moment's delay."""
_HELD_BACK: Final = 0.05
BUSY: Final = 0.85
"""Share of the time beyond which a simulator has none to spare."""
_SHORTEST_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What limits a load test, with the evidence."""

    by: Literal["platform", "machine"]
    sentence: str

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {"by": self.by, "sentence": self.sentence}


class LoadMeter:
    """How busy the simulator is, and how many devices wait for the platform, while devices take readings."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._held_back_seconds = 0.0
        self._busy_seconds = 0.0
        self._delivered = 0
        self._last: tuple[float, float, int] | None = None

    def update(self, now: float, busy_seconds: float, delivered: int, *, held_back: int, taking: int) -> None:
        """`busy_seconds` of the event loop and readings `delivered`, since the start; how many devices take readings,
        and how many of these have readings due that must wait for acknowledgements."""
        if self._last is not None and taking:
            elapsed = now - self._last[0]
            self.seconds += elapsed
            self._busy_seconds += busy_seconds - self._last[1]
            self._delivered += delivered - self._last[2]
            self._held_back_seconds += elapsed * held_back / taking
        self._last = now, busy_seconds, delivered

    @property
    def busy(self) -> float:
        """The share of the time in which the event loop did something."""
        return min(1.0, self._busy_seconds / self.seconds) if self.seconds else 0.0

    @property
    def rate(self) -> float:
        """Readings delivered per second, while devices took readings."""
        return self._delivered / self.seconds if self.seconds else 0.0

    @property
    def held_back(self) -> float:
        """The mean share of devices that had readings due and waited for acknowledgements."""
        return self._held_back_seconds / self.seconds if self.seconds else 0.0


def bottleneck(
    meter: LoadMeter,
    *,
    target_rate: float,
    lag_seconds: float | None,
    loop_lag_seconds: float | None,
    confirmed: bool,
) -> Bottleneck | None:
    """What limits the run; None while the fleet keeps up. Rates are readings per second, lags 99th percentiles.

    A loop that is busy all the time, or runs its timers late, reads acknowledgements late and sends late: then nothing
    is known about the platform. A loop with time to spare whose devices wait for acknowledgements waits for the
    platform.
    """
    if meter.seconds < _SHORTEST_SECONDS:
        return None
    waits = meter.held_back >= _HELD_BACK
    loop_lag = loop_lag_seconds or 0.0
    if loop_lag > _LATE_SECONDS or (meter.busy >= BUSY and (waits or (lag_seconds or 0.0) > _LATE_SECONDS)):
        return Bottleneck(
            "machine",
            f"This machine is the limit: the simulator was busy {meter.busy:.0%} of the time and up to {loop_lag:.2g} s"
            f" late itself (p99), with {meter.rate:.0f} of {target_rate:.0f} readings/s;"
            " simulate fewer devices on it, or use more of its cores (--processes) or several machines (--shard).",
        )
    if not waits:
        return None
    return Bottleneck(
        "platform",
        f"The platform is the limit: it {'acknowledged' if confirmed else 'took'} {meter.rate:.0f} of"
        f" {target_rate:.0f} readings/s, and devices waited for it {meter.held_back:.0%} of the time,"
        f" while the simulator was busy only {meter.busy:.0%} of it.",
    )
