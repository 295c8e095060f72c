"""What the demo claims, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One claim: `actual` lies within `expected` (a closed range) or equals it."""

    name: str
    expected: tuple[float, float] | bool
    actual: float | bool | None
    """None: nothing was measured, which never holds."""

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
        """Expected and actual in words."""
        if isinstance(self.expected, bool):
            return "yes" if self.actual is self.expected else "no"
        low, high = self.expected
        wanted = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"{'nothing' if self.actual is None else f'{self.actual:.6g}'} (expected {wanted})"


@dataclass(slots=True)
class ZoneResult:
    """An asset and the means that were posted to it: window end (ms since the epoch) to mean."""

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
    """Everything the demo found out."""

    checks: list[Check]
    zones: dict[str, ZoneResult]
    seconds: float
    value_key: str
    readings: Mapping[str, int]
    """Readings acknowledged by the platform, records in the topic, records rejected by the job."""

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
    """Is told what happens while the demo runs, by several threads. The command line draws it; this one ignores it."""

    def on_page(self, url: str) -> None:
        """A page shows the data move, until the demo ends."""

    def on_step(self, step: str) -> None:
        """A step begins, and the one before it is over. `story.steps` lists them."""

    def on_check(self, check: Check) -> None:
        """A check was made."""

    def on_mean(self, zone: str, window_end_ms: int, mean: float) -> None:
        """A mean appeared on an asset, or changed."""

    def on_numbers(self, *, counted: int, per_second: float, rejected: int, lag: int | None) -> None:
        """How far the job is: records counted, records per second, rejects, records that it is behind."""
