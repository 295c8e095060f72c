"""The demo's checks and results, and the interface through which it reports its progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoCheck:
    """One check: passes if `actual` lies in the closed range `expected`, or equals it."""

    name: str
    expected: tuple[float, float] | bool
    actual: float | bool | None
    """None: nothing was measured, and the check fails."""

    @property
    def ok(self) -> bool:
        if self.actual is None:
            return False
        if isinstance(self.expected, bool):
            return self.actual is self.expected
        low, high = self.expected
        return low <= self.actual <= high

    def as_document(self) -> dict[str, Any]:
        expected = self.expected if isinstance(self.expected, bool) else list(self.expected)
        return {"name": self.name, "expected": expected, "actual": self.actual, "ok": self.ok}

    def describe(self) -> str:
        """The actual and the expected value as text."""
        if isinstance(self.expected, bool):
            return "yes" if self.actual is self.expected else "no"
        return f"{'nothing' if self.actual is None else f'{self.actual:.6g}'} (expected {self.expected_text})"

    @property
    def expected_text(self) -> str:
        """What is expected: "1", "32 to 33", "yes"."""
        if isinstance(self.expected, bool):
            return "yes" if self.expected else "no"
        low, high = self.expected
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"


@dataclass(slots=True)
class ZoneResult:
    """A zone's asset and the means posted to it, by window end (ms since the epoch)."""

    asset_id: str | None
    created_by: str
    windows: dict[int, float] = field(default_factory=dict)

    def as_document(self, value_key: str) -> dict[str, Any]:
        return {
            "asset_id": self.asset_id,
            "created_by": self.created_by,
            "windows": [{"ts": ts, value_key: mean} for ts, mean in sorted(self.windows.items())],
        }


@dataclass(slots=True)
class DemoResult:
    """Everything that the demo measured."""

    checks: list[DemoCheck]
    zones: dict[str, ZoneResult]
    seconds: float
    value_key: str
    readings: Mapping[str, int]
    """The number of readings acknowledged by the platform, of records in the topic, and of invalid records."""

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def as_document(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "checks": [check.as_document() for check in self.checks],
            "zones": {name: zone.as_document(self.value_key) for name, zone in sorted(self.zones.items())},
            "readings": dict(self.readings),
            "seconds": round(self.seconds, 1),
        }


class LiveView:
    """Callbacks for the demo's progress, called from several threads. These do nothing; the command line draws it."""

    def on_page(self, url: str) -> None:
        """A page shows the data live until the demo ends."""

    def on_step(self, step: str) -> None:
        """A step starts, and the previous one is finished. `runner.steps` lists them."""

    def on_check(self, check: DemoCheck) -> None:
        """A check was evaluated."""

    def on_mean(self, zone: str, window_end_ms: int, mean: float) -> None:
        """A mean appeared on an asset, or changed."""

    def on_numbers(self, *, counted: int, per_second: float, rejected: int, lag: int | None) -> None:
        """The job's progress: valid records, records per second, invalid records, and lag in records."""
