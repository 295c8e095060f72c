"""Drop-outs and anomalies that a scenario injects into the readings of a device, and the record of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pacifictool.models.config import MAX_DECIMALS
from pacifictool.models.generators import plain
from pacifictool.scenario.devices import Anomaly, Dropout

ANOMALY: Final = "anomaly"
DROPOUT: Final = "dropout"


@dataclass(slots=True)
class Injection:
    """One drop-out or anomaly as it happened: the truth that a detection is measured against."""

    kind: str
    """`ANOMALY` or `DROPOUT`."""
    device: str
    key: str | None
    """None: all keys."""
    change: str | None
    """Of an anomaly: "+12", "× 0.5", "= 99"."""
    from_ts_ms: int
    """Timestamp of the first reading concerned."""
    to_ts_ms: int
    """Timestamp of the last reading concerned."""
    readings: int
    """How many readings were changed, or not sent."""

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "kind": self.kind,
            "device": self.device,
            "key": self.key,
            "change": self.change,
            "from_ts": self.from_ts_ms,
            "to_ts": self.to_ts_ms,
            "readings": self.readings,
        }


class Disturbances:
    """Changes the values of one device as its scenario says, and records what was changed."""

    __slots__ = ("_anomalies", "_current", "_device", "_dropouts", "injections")

    def __init__(self, device: str, anomalies: Sequence[Anomaly], dropouts: Sequence[Dropout]) -> None:
        self._device = device
        self._anomalies = anomalies
        self._dropouts = dropouts
        self._current: dict[int, tuple[int, Injection]] = {}
        """By the episode's identity: its latest occurrence, with the record of it."""
        self.injections: list[Injection] = []

    def apply(self, values: dict[str, float], elapsed_seconds: float, ts_ms: int) -> None:
        """Removes and changes values of the reading that is due `elapsed_seconds` after the first one."""
        for dropout in self._dropouts:
            occurrence = dropout.occurrence(elapsed_seconds)
            if occurrence is None or not values or (dropout.key is not None and dropout.key not in values):
                continue
            self._record(dropout, occurrence, ts_ms)
            if dropout.key is None:
                values.clear()
            else:
                del values[dropout.key]
        for anomaly in self._anomalies:
            occurrence = anomaly.occurrence(elapsed_seconds)
            if occurrence is not None and anomaly.key in values:
                self._record(anomaly, occurrence, ts_ms)
                values[anomaly.key] = plain(round(anomaly.changed(values[anomaly.key]), MAX_DECIMALS))

    def _record(self, episode: Anomaly | Dropout, occurrence: int, ts_ms: int) -> None:
        known = self._current.get(id(episode))
        if known is not None and known[0] == occurrence:
            known[1].to_ts_ms = ts_ms
            known[1].readings += 1
            return
        is_anomaly = isinstance(episode, Anomaly)
        change = episode.change if isinstance(episode, Anomaly) else None
        injection = Injection(ANOMALY if is_anomaly else DROPOUT, self._device, episode.key, change, ts_ms, ts_ms, 1)
        self._current[id(episode)] = (occurrence, injection)
        self.injections.append(injection)
