"""How a fleet behaves."""

from __future__ import annotations

from dataclasses import dataclass

from pacifictool.errors import UsageError
from pacifictool.mqtt.connection import CONNECT_TIMEOUT_SECONDS, KEEPALIVE_SECONDS


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Options of a run; the defaults are those of `pacifictool simulate`. Raises UsageError for impossible ones."""

    qos: int = 1
    """1: every reading is acknowledged, resent or listed as lost. 0: sent and forgotten."""
    duration_seconds: float | None = None
    """How long every device takes readings, from its first session on; None: until stopped."""
    count: int | None = None
    """Readings per device; None: no limit."""
    seed: int | None = None
    """Makes the values and the start jitter reproducible; None: a new one, which the summary names."""
    bare: bool = False
    """The tutorial's exact message, without a time stamp. With QoS 1 there is then one message of a device on its way
    at a time, as the platform loses messages without stamps that arrive in the same millisecond."""
    sequence: bool = False
    """Whether the number of the reading, from 0 on for each device, goes along as the value `sequence`."""
    jitter: bool = True
    """Devices start at a random point of their period (10 s at most), so that they do not publish in step."""
    ramp_per_second: float | None = None
    """Connections opened per second at the start; None: as fast as they can be opened."""
    max_in_flight: int = 100
    """Readings of one device that may wait for their acknowledgement; then the device waits, and lags behind."""
    max_in_flight_of_fleet: int = 10_000
    """Readings of all devices together that may wait. A platform that is asked for more than it can do would otherwise
    answer later than `ack_timeout_seconds`, get everything again, and never catch up."""
    ack_timeout_seconds: float = 10.0
    """Without an acknowledgement for so long, a reading is sent again: the same value, the same time stamp. At the end
    of a run open acknowledgements are awaited for as long."""
    give_up_after_seconds: float = 300.0
    """A reading that could not be delivered for so long is listed as lost. After an outage, the readings that were due
    more than this ago are not taken any more (`missed` in the summary). A device that was to take a certain number of
    readings is given up when it has been offline for so long."""
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    """For TCP and TLS, and again for the answer to the login."""
    keepalive_seconds: int = KEEPALIVE_SECONDS
    """A connection that has gone silent is noticed after at most twice this time."""
    refused_retry_seconds: float = 30.0
    """How long a device waits whose token was refused."""

    def __post_init__(self) -> None:
        if self.qos not in (0, 1):
            raise UsageError(f"QoS {self.qos} is not possible; it is 0 or 1.")
        for name in ("duration_seconds", "count", "ramp_per_second"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name.partition('_')[0]} must be greater than 0.")
        if not 1 <= self.max_in_flight <= 30_000:  # a packet id has 16 bits, and stale ones linger
            raise UsageError("The limit of readings in flight is between 1 and 30000.")
        if self.max_in_flight_of_fleet < 1:
            raise UsageError("The limit of readings in flight of a fleet is at least 1.")
