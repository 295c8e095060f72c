"""Options of a simulated fleet."""

from __future__ import annotations

from dataclasses import dataclass

from pacifictool.errors import UsageError
from pacifictool.mqtt.connection import CONNECT_TIMEOUT_SECONDS, KEEPALIVE_SECONDS
from pacifictool.simulation.schedule import readings_within


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Options of a run; the defaults are those of `pacifictool simulate`. Raises UsageError for invalid values."""

    qos: int = 1
    """1: every reading is acknowledged, resent or listed as lost. 0: every reading is sent once, unconfirmed."""
    duration_seconds: float | None = None
    """How long every device takes readings, from its first session on; None: until stopped."""
    count: int | None = None
    """Readings per device; None: no limit."""
    seed: int | None = None
    """Makes the values and the start jitter reproducible; None: a random seed, which the summary reports."""
    bare: bool = False
    """The tutorial's exact message, without a timestamp. With QoS 1 a device then has one message in flight at a time,
    as the platform loses messages without timestamps that arrive in the same millisecond."""
    sequence: bool = False
    """Whether messages hold the number of the reading, from 0 on for each device, as the value `sequence`. Neither this
    nor `bare` is possible for a device that has a payload template."""
    jitter: bool = True
    """Whether devices start at a random point of their period (10 s at most), so that they do not publish in step."""
    spawn_rate: float | None = None
    """Connections opened per second at the start; None: as fast as they can be opened."""
    max_in_flight: int = 100
    """Readings of one device that may wait for their acknowledgement; at this limit the device waits."""
    max_in_flight_of_fleet: int = 10_000
    """The same limit for all devices together. With QoS 1 it is lower while the platform is slow: what it acknowledges
    in half of `ack_timeout_seconds`, at least 100; and a quarter of it until something is acknowledged."""
    ack_timeout_seconds: float = 10.0
    """A reading that is not acknowledged within this time is sent again, with the same value and timestamp; later, when
    acknowledgements take longer at the moment, or nothing was acknowledged to the device before. At the end of a run,
    missing acknowledgements are awaited for this time, or twice as long as they take."""
    give_up_after_seconds: float = 300.0
    """A reading that could not be delivered within this time is listed as lost. After an outage, readings that were
    due longer ago are skipped (`missed` in the summary). With `count`, a device ends when it has been offline for this
    time."""
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    """For TCP and TLS, and again for the CONNACK."""
    keepalive_seconds: int = KEEPALIVE_SECONDS
    """A connection that has gone silent is detected after at most twice this time."""
    refused_retry_seconds: float = 30.0
    """How long a device whose token was refused waits before it tries again."""
    source_addresses: tuple[str, ...] = ()
    """Local IP addresses that connections are opened from in turn; empty: the system's choice. Each has ports of its
    own."""

    def readings_at(self, rate: float) -> int | None:
        """How many readings a device takes at `rate` readings per second; None: no limit."""
        limits = [] if self.count is None else [self.count]
        if self.duration_seconds is not None:
            limits.append(readings_within(self.duration_seconds, rate))
        return min(limits, default=None)

    def __post_init__(self) -> None:
        if self.qos not in (0, 1):
            raise UsageError(f"QoS {self.qos} is not possible; it is 0 or 1.")
        for option, value in (
            ("duration", self.duration_seconds), ("count", self.count), ("ramp", self.spawn_rate),
        ):  # fmt: skip
            if value is not None and not value > 0:
                raise UsageError(f"{option} must be greater than 0.")
        if not 1 <= self.max_in_flight <= 30_000:  # a packet id has 16 bits, and stale ones linger
            raise UsageError("The limit of readings in flight is between 1 and 30000.")
        if self.max_in_flight_of_fleet < 1:
            raise UsageError("The limit of readings in flight of a fleet is at least 1.")
