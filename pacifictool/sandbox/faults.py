"""Fault injection for tests of clients: delays, failures and rate limits on demand."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` calls in `seconds`, written as in tenant profiles: "3:5"."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Raises ValueError."""
        count, _, seconds = text.partition(":")
        rate = cls(int(count), float(seconds))
        if rate.count < 1 or rate.seconds <= 0:
            raise ValueError(text)
        return rate


class RateLimiter:
    """Counts calls by key, in windows that begin with the first call."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._windows: dict[str, tuple[float, int]] = {}

    def admits(self, key: str) -> bool:
        """Counts a call; False if it exceeds the rate."""
        if self._rate is None:
            return True
        now = time.monotonic()
        begin, count = self._windows.get(key, (now, 0))
        if now - begin >= self._rate.seconds:
            begin, count = now, 0
        self._windows[key] = begin, count + 1
        return count < self._rate.count


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults to inject; none by default."""

    latency_seconds: float = 0.0
    """Every REST response is delayed this long."""
    failing_share: float = 0.0
    """This share of REST calls (0 to 1) gets 503 and has no effect."""
    telemetry_latency_seconds: float = 0.0
    """Generation 4: every REST call that stores telemetry or attributes waits this long; a real server about 0.1
    (docs/servers/4.x.md#telemetry-over-rest, row 2)."""
    queue_seconds: float = 0.0
    """Generation 4: what devices send waits this long behind its PUBACK before it reaches the rule chains; a sandbox
    that is killed meanwhile loses it, as a server with its queue in memory does."""
    rest_rate: Rate | None = None
    """Generation 4: REST calls a tenant may make, then 429; logging in is not limited."""
    device_rate: Rate | None = None
    """Generation 4: messages a device may send, then its connection is closed (HTTP: 500)."""
    max_devices: int = 0
    """Generation 4: devices a tenant may have, then 403; 0: any number."""
