"""The event loop of a fleet: sockets, timers and results of other threads, all handled by one thread."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from pacifictool.simulation.connection import DeviceConnection
from pacifictool.simulation.histogram import DurationHistogram

_LONGEST_WAIT_SECONDS: Final = 0.1
"""The longest sleep of the loop: the delay with which a stop is noticed."""
_ROUND: Final = 256
"""Events and timers that a round handles before it writes: so that the platform works on what they sent while the next
ones are handled, and the objects of a device are still in the processor's caches when its packets are written."""


class LoopTask(Protocol):
    """Something whose work the loop calls when it is due."""

    wake_at: float
    """When it will be called next (monotonic seconds; infinity: not at all); maintained by the loop."""

    def run(self, now: float) -> None:
        """Does what is due at `now`."""


class EventLoop:
    """Selector, timers and a queue of calls from other threads.

    All methods but `call_soon_threadsafe` must be called in the thread that calls `run_once`.
    """

    def __init__(self, lag: DurationHistogram | None = None) -> None:
        """`lag` gets how late timers ran, by the earliest of each round: what processor and work of a round delayed."""
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, LoopTask]] = []
        self._tie_breaker = itertools.count()
        self._ready: dict[LoopTask, None] = {}
        self._unwritten: dict[DeviceConnection, None] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._events: deque[tuple[selectors.SelectorKey, int]] = deque()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.settimeout(0)
        self._wake_writer.settimeout(0)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        self.now = time.monotonic()
        """Monotonic seconds: the end of this round's wait for sockets, read again before timers are run."""
        self.clock_offset = time.time() - self.now
        """The difference between seconds since the epoch and monotonic seconds; follows corrections of the clock."""
        self.busy_seconds = 0.0
        """How long the loop did something, instead of waiting for events."""
        self._lag = DurationHistogram() if lag is None else lag
        self._worked_since = self.now

    def add(self, connection: DeviceConnection) -> None:
        """Registers a connection for input."""
        connection.watched = selectors.EVENT_READ
        self._selector.register(connection.fileno, selectors.EVENT_READ, connection)

    def remove(self, connection: DeviceConnection) -> None:
        """Unregisters a connection; also one that was never added, or has been closed."""
        self._unwritten.pop(connection, None)
        if connection.watched:
            connection.watched = 0
            self._selector.unregister(connection.fileno)

    def flush_soon(self, connection: DeviceConnection) -> None:
        """Flushes a connection at the end of this round, so that all packets queued in a round are sent together."""
        self._unwritten[connection] = None

    def call_at(self, task: LoopTask, when: float) -> None:
        """Runs `task` at `when` at the latest; an earlier timer of the task remains."""
        if when < task.wake_at:
            task.wake_at = when
            heapq.heappush(self._timers, (when, next(self._tie_breaker), task))

    def call_soon(self, task: LoopTask) -> None:
        """Runs `task` in this round, or in the next one if it is running now."""
        self._ready[task] = None

    def call_soon_threadsafe(self, call: Callable[[], None]) -> None:
        """Runs `call` in the loop's thread; for use by other threads."""
        self._calls.append(call)
        # An error means that the socket is full of wake-ups, which is enough, or that the loop has been closed.
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"!")

    def run_once(self) -> None:
        """Waits up to a tenth of a second for an event, and handles events and timers that are due: some, when they are
        many, and the others in the next rounds."""
        if not self._events:
            timeout = self._select_timeout()
            self.busy_seconds += time.monotonic() - self._worked_since
            self._events.extend(self._selector.select(timeout))
            self._worked_since = time.monotonic()
        self.now = time.monotonic()
        self.clock_offset = time.time() - self.now
        for _ in range(min(len(self._events), _ROUND)):
            key, events = self._events.popleft()
            connection = key.data
            if connection is None:
                self._drain_wake_ups()
                continue
            if events & selectors.EVENT_WRITE and connection.watched:
                self._unwritten[connection] = None
            if events & selectors.EVENT_READ and connection.watched:
                connection.read(self.now)
        self.now = time.monotonic()
        while self._calls:
            self._calls.popleft()()
        self._run_tasks()
        self._flush()

    def close(self) -> None:
        """Frees the descriptors; connections must have been closed before."""
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _select_timeout(self) -> float:
        if self._ready or self._calls:
            return 0.0
        next_timer = self._timers[0][0] if self._timers else math.inf
        return min(max(0.0, next_timer - time.monotonic()), _LONGEST_WAIT_SECONDS)

    def _drain_wake_ups(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _run_tasks(self) -> None:
        ready, self._ready = self._ready, {}
        for task in ready:
            task.run(self.now)
        if self._timers and self._timers[0][0] <= self.now:
            self._lag.record(self.now - self._timers[0][0])
        for _ in range(_ROUND):
            if not self._timers or self._timers[0][0] > self.now:
                break
            when, _, task = heapq.heappop(self._timers)
            if task.wake_at == when:  # else an earlier call has replaced this timer
                task.wake_at = math.inf
                task.run(self.now)

    def _flush(self) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        for connection in unwritten:
            finished = connection.flush(self.now)
            if not connection.watched:
                continue  # it was closed while writing
            wanted = selectors.EVENT_READ if finished else selectors.EVENT_READ | selectors.EVENT_WRITE
            if connection.watched != wanted:
                connection.watched = wanted
                self._selector.modify(connection.fileno, wanted, connection)
