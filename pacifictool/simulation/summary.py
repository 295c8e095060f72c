"""What a fleet has done, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, Final, Literal, Self

from pacifictool.simulation.bottleneck import Bottleneck
from pacifictool.simulation.disturbances import Injection
from pacifictool.simulation.histogram import DurationHistogram, milliseconds
from pacifictool.simulation.reading import Outcome, Reading

LISTED_LOSSES: Final = 100
"""Lost readings that the summary lists; a callback gets all of them."""
_ADDED: Final = (
    "devices", "connected", "online", "generated", "sent", "acknowledged", "resent", "lost", "unconfirmed", "missed",
    "withheld", "target_rate", "achieved_rate", "reconnects",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """The result of `Fleet.run`, and the state of a running fleet that `Fleet.snapshot` returns.

    generated = acknowledged (QoS 1) or sent (QoS 0) + lost + unconfirmed; at the end unconfirmed is 0.
    """

    devices: int
    connected: int
    """Devices that had a session at least once."""
    online: int
    """Devices that have a session now (0 at the end)."""
    generated: int
    sent: int
    """Readings sent at least once."""
    acknowledged: int
    resent: int
    lost: int
    unconfirmed: int
    missed: int
    """Readings that were due but never taken, because the device was offline or behind until the end of the run."""
    withheld: int
    """Readings that were due and not sent as they had no value: drop-outs, and missing values of a file."""
    target_rate: float
    """Readings per second that the schedules ask for, all devices together."""
    achieved_rate: float
    """Readings per second acknowledged (QoS 1) or sent (QoS 0): the sum of the rates of the devices, each over the
    time in which it took and delivered readings."""
    lag: DurationHistogram
    """How late readings were taken, by the schedule."""
    acknowledgement: DurationHistogram
    """From the first sending to the acknowledgement."""
    busy: float
    """The share of the time in which the simulator's event loop did something, while devices took readings."""
    loop_lag_p99_ms: float | None
    """How late the event loop itself ran: a delay by this machine, not by the platform."""
    held_back: float
    """The mean share of devices that had readings due and waited for acknowledgements."""
    bottleneck: Bottleneck | None
    """What limits the run, when it does not keep up."""
    reconnects: int
    refused: dict[str, str]
    """Devices that ended without a usable session because the platform refused them, with the reason."""
    interrupted: dict[str, str]
    """Devices whose sessions the platform ended again and again, with the likely cause."""
    losses: tuple[Reading, ...]
    """The first lost readings."""
    injections: tuple[Injection, ...]
    """Drop-outs and anomalies that the scenario asked for, as they happened."""
    seconds: float
    seed: int
    qos: int
    stopped_by: Literal["stop", "end"] = "end"
    """"stop": somebody ended it, before every device had ended by itself."""

    @property
    def complete(self) -> bool:
        """Whether the simulation went on to its end, every reading that was due was delivered and no device refused."""
        return (
            self.stopped_by == "end"
            and not (self.lost or self.unconfirmed or self.missed or self.refused)
            and self.connected == self.devices
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The summary of a fleet from those of its parts, which ran at the same time with the same options: what can be
        added is added, of the other figures it has the worst."""

        def of_all(name: str) -> Iterator[Any]:
            return (getattr(part, name) for part in parts)

        merged: dict[str, Any] = {name: sum(of_all(name)) for name in _ADDED}
        for name in ("lag", "acknowledgement"):
            merged[name] = DurationHistogram()
            for histogram in of_all(name):
                merged[name].merge(histogram)
        for name in ("refused", "interrupted"):
            merged[name] = {device: reason for reasons in of_all(name) for device, reason in reasons.items()}
        for name in ("losses", "injections"):
            merged[name] = tuple(chain.from_iterable(of_all(name)))
        for name in ("busy", "seconds"):
            merged[name] = max(of_all(name))
        return replace(
            parts[0],
            **merged | {"losses": merged["losses"][:LISTED_LOSSES]},
            held_back=sum(part.held_back * part.devices for part in parts) / merged["devices"],
            loop_lag_p99_ms=max(filter(None, of_all("loop_lag_p99_ms")), default=None),
            bottleneck=next(filter(None, of_all("bottleneck")), None),
            stopped_by="stop" if "stop" in of_all("stopped_by") else "end",
        )

    @property
    def lag_p50_ms(self) -> float | None:
        """The median of `lag`."""
        return milliseconds(self.lag.percentile(50))

    @property
    def lag_p99_ms(self) -> float | None:
        """The 99th percentile of `lag`."""
        return milliseconds(self.lag.percentile(99))

    @property
    def acknowledgement_p50_ms(self) -> float | None:
        """The median of `acknowledgement`."""
        return milliseconds(self.acknowledgement.percentile(50))

    @property
    def acknowledgement_p99_ms(self) -> float | None:
        """The 99th percentile of `acknowledgement`."""
        return milliseconds(self.acknowledgement.percentile(99))

    def rates(self) -> dict[str, float]:
        """Readings per second, over the whole time from the start to the end of the run."""
        seconds = self.seconds or 1.0
        return {
            key: round(count / seconds, 3)
            for key, count in (
                ("sent", self.sent), ("acknowledged", self.acknowledged), ("resent", self.resent),
                ("lost", self.lost), ("missed", self.missed),
            )
        }  # fmt: skip

    def as_document(self) -> dict[str, Any]:
        """For JSON output; times in milliseconds, rates per second."""
        return {
            "devices": self.devices,
            "connected": self.connected,
            "generated": self.generated,
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "resent": self.resent,
            "lost": self.lost,
            "missed": self.missed,
            "withheld": self.withheld,
            "target_rate": round(self.target_rate, 3),
            "achieved_rate": round(self.achieved_rate, 3),
            "rates": self.rates(),
            "schedule_lag_ms": self.lag.as_document(),
            "acknowledgement_ms": self.acknowledgement.as_document(),
            "simulator": {"busy": round(self.busy, 3), "lag_p99_ms": self.loop_lag_p99_ms},
            "held_back": round(self.held_back, 3),
            "limit": None if self.bottleneck is None else self.bottleneck.as_document(),
            "reconnects": self.reconnects,
            "refused": [{"device": device, "reason": reason} for device, reason in self.refused.items()],
            "interrupted": [{"device": device, "reason": reason} for device, reason in self.interrupted.items()],
            "losses": [reading.as_document() for reading in self.losses],
            "injections": [injection.as_document() for injection in self.injections],
            "seconds": round(self.seconds, 3),
            "seed": self.seed,
            "qos": self.qos,
            "complete": self.complete,
            "stopped_by": self.stopped_by,
        }


@dataclass(slots=True)
class FleetCounters:
    """The counters behind a summary. Written by the event loop only; other threads may read them."""

    connected: int = 0
    online: int = 0
    ended: int = 0
    generated: int = 0
    delivered: int = 0
    resent: int = 0
    lost: int = 0
    reconnects: int = 0
    lag: DurationHistogram = field(default_factory=DurationHistogram)
    confirmation: DurationHistogram = field(default_factory=DurationHistogram)
    loop_lag: DurationHistogram = field(default_factory=DurationHistogram)
    refused: dict[str, str] = field(default_factory=dict)
    interrupted: dict[str, str] = field(default_factory=dict)
    losses: list[Reading] = field(default_factory=list)

    def deliver(self, readings: Sequence[Reading], outcome: Outcome, now: float) -> None:
        """Counts readings that were delivered."""
        self.delivered += len(readings)
        for reading in readings:
            reading.outcome = outcome
        if outcome is Outcome.ACKNOWLEDGED:
            if len(readings) == 1:  # nearly always, when each of many devices sends little
                self.confirmation.record(now - readings[0].first_sent)
                return
            # Readings that were sent together are mostly acknowledged together.
            for first_sent, group in groupby(readings, key=_FIRST_SENT):
                self.confirmation.record(now - first_sent, sum(1 for _ in group))

    def lose(self, reading: Reading, reason: str) -> None:
        """Counts a reading that was lost, for `reason`."""
        reading.outcome = Outcome.LOST
        reading.reason = reason
        self.lost += 1
        if len(self.losses) < LISTED_LOSSES:
            self.losses.append(reading)


_FIRST_SENT = attrgetter("first_sent")
