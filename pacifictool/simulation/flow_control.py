"""How many readings may be on their way, and when one is sent again, by how quickly the platform acknowledges.

An overloaded platform acknowledges late. Whoever then sends everything again doubles its load, and it never catches up.
So while acknowledgements take long, a fleet limits the queue in front of the platform to what this acknowledges in half
of `ack_timeout_seconds`. It waits longer than acknowledgements take at the moment, and has few readings on their second
way at a time; a device to which nothing is acknowledged tries one reading at a time, less and less often.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from pacifictool.simulation.loop import EventLoop, LoopTask
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.reading import Reading
from pacifictool.tools.rates import RateMeter

_FEWEST_IN_FLIGHT: Final = 100
"""What a fleet may always have in flight."""
_FIRST_SHARE: Final = 4
"""A quarter of the readings in flight may be sent before anything was acknowledged."""
_RESENT_SHARE: Final = 10
"""At most a tenth of the readings in flight may be repetitions."""
_MAX_DOUBLINGS: Final = 3
_REGULARLY_SECONDS: Final = 0.25


class FlowControl:
    """What a whole fleet may send now. With QoS 0 nothing is acknowledged, and the limits are those of the options.

    Times are monotonic seconds. All methods must be called in the event loop's thread.
    """

    def __init__(self, options: FleetOptions) -> None:
        self._options = options
        self._ceiling = options.max_in_flight_of_fleet
        first = min(self._ceiling, max(_FEWEST_IN_FLIGHT, self._ceiling // _FIRST_SHARE))
        self.max_in_flight = first if options.qos else self._ceiling
        """How many readings may wait for their acknowledgement."""
        self.timeout_seconds = options.ack_timeout_seconds
        """After which time without acknowledgement a reading is sent again, by a device that gets others."""
        self._meter = RateMeter(options.ack_timeout_seconds / 4)
        self._resends = self._most_resends = max(10.0, self._ceiling / _RESENT_SHARE)
        self._updated = -math.inf
        self._longest = self._longest_before = 0.0  # of this and the previous `ack_timeout_seconds`
        self._longest_since = -math.inf

    def update(self, now: float, acknowledged: int) -> None:
        """Follows the rate of acknowledgements; called in every round, with the number since the start."""
        timeout = self._options.ack_timeout_seconds
        elapsed = now - self._updated
        if not self._options.qos or elapsed < timeout / 40:
            return
        self._updated = now
        rate = self._meter.add(now, acknowledged) or 0.0
        if acknowledged:
            # A low rate alone may be all that is asked for.
            is_slow = not rate or max(self._longest, self._longest_before) > timeout / 4
            bounded = min(self._ceiling, max(_FEWEST_IN_FLIGHT, int(rate * timeout / 2)))
            self.max_in_flight = bounded if is_slow else self._ceiling
        if math.isfinite(elapsed):  # repetitions that are never acknowledged give their place back slowly
            self._resends = min(self._most_resends, self._resends + elapsed * self._most_resends / (4 * timeout))
        if now - self._longest_since >= timeout:
            self._longest_before, self._longest, self._longest_since = self._longest, 0.0, now
            self._set_timeout()

    def acknowledged(self, readings: Sequence[Reading], now: float) -> None:
        """These readings were acknowledged."""
        first = readings[0]
        # Of a reading that was sent twice nobody knows which transmission is acknowledged (RFC 6298, section 3).
        if not first.resent and now - first.first_sent > self._longest:
            self._longest = now - first.first_sent
            self._set_timeout()
        if self._resends < self._most_resends:  # else nothing was sent again for a while
            self._resends = min(self._most_resends, self._resends + sum(reading.resent > 0 for reading in readings))

    @property
    def resends_left(self) -> int:
        """How many readings the fleet may send again now."""
        return int(self._resends)

    def take_resends(self, wanted: int) -> int:
        """How many of `wanted` readings may be sent again now."""
        granted = min(wanted, self.resends_left)
        self._resends -= granted
        return granted

    def _set_timeout(self) -> None:
        options = self._options
        wanted = 2 * max(self._longest, self._longest_before)
        longest = max(options.ack_timeout_seconds, options.give_up_after_seconds)
        self.timeout_seconds = min(max(options.ack_timeout_seconds, wanted), longest)


class DeviceFlowControl:
    """What one device may send now: while nothing is acknowledged, one repetition and one new reading at a time.

    Two, because the platform may have something against the one reading.
    """

    __slots__ = ("_failures", "_fleet", "_last_new", "_last_resend", "_since")

    def __init__(self, fleet: FlowControl) -> None:
        self._fleet = fleet
        self._failures = 0  # timeouts in a row without any acknowledgement
        self._since = -math.inf  # the latest of them
        self._last_resend = self._last_new = -math.inf

    @property
    def timeout_seconds(self) -> float:
        """After how long without acknowledgement a reading is resent; doubles with each failure, up to eightfold."""
        timeout: float = self._fleet.timeout_seconds * 2.0 ** min(self._failures, _MAX_DOUBLINGS)
        return timeout

    def timed_out(self, now: float, last_sent: float) -> None:
        """The acknowledgement of a reading that was sent at `last_sent` is overdue."""
        if last_sent >= self._since:  # else it was on its way before the last failure, and says nothing new
            self._failures += 1
            self._since = now

    def recover(self) -> bool:
        """Something was acknowledged, or there is a new session; returns whether the device had to hold back."""
        had_failed = self._failures > 0
        self._failures = 0
        self._since = -math.inf
        return had_failed

    def room(self, limit: int, in_flight: int) -> tuple[int, int]:
        """How many readings may be sent again now, and how many in all, where `limit` may be in flight."""
        if not self._failures or limit == 1:
            return limit - in_flight, limit - in_flight
        resends = int(self._last_resend < self._since)
        return resends, resends + int(self._last_new < self._since)

    def sent(self, now: float, resends: int, new: int) -> None:
        """Readings were sent: `resends` again, `new` for the first time."""
        if resends:
            self._last_resend = now
        if new:
            self._last_new = now


class WaitingTask(LoopTask, Protocol):
    """A device that can wait for room."""

    is_waiting: bool
    """Maintained by the line."""


class WaitingLine:
    """Devices with readings due that wait until the fleet may send more: they are run in the order in which they came.

    Each takes what it has due, so that the readings of a device travel together: none is run for nothing.
    """

    def __init__(self, loop: EventLoop, flow: FlowControl, room: Callable[[], int]) -> None:
        """`room` returns how many further readings may be in flight; 0 or less: none."""
        self.wake_at = math.inf
        self._loop = loop
        self._flow = flow
        self._room = room
        self._devices: deque[WaitingTask] = deque()
        self._freed = 0

    def add(self, device: WaitingTask) -> None:
        """Runs `device` after those that already wait."""
        if not device.is_waiting:
            device.is_waiting = True
            self._devices.append(device)
            self._loop.call_at(self, self._loop.now + _REGULARLY_SECONDS)

    def freed(self, count: int) -> None:
        """`count` readings have an outcome."""
        if self._devices:
            self._freed += count
            self._loop.call_soon(self)

    def run(self, now: float) -> None:
        """Runs devices. Called by the event loop after outcomes, and regularly: a device that was run for them may have
        lost its connection, or wait for a repetition."""
        is_regular = self.wake_at == math.inf
        count = max(self._room(), self._flow.resends_left) if is_regular else self._freed
        self._freed = 0
        for _ in range(min(count, len(self._devices))):
            if not is_regular and self._room() <= 0:
                break
            device = self._devices.popleft()
            device.is_waiting = False
            device.run(now)
        if self._devices:
            self._loop.call_at(self, now + _REGULARLY_SECONDS)
