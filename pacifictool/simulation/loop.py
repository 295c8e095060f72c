"""The event loop of a fleet: sockets, timers and results of other threads, all served by one thread."""

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

from pacifictool.simulation.link import Link

_LONGEST_WAIT_SECONDS: Final = 0.1
"""How long the loop sleeps at most: the delay with which a stop is noticed."""


class Served(Protocol):
    """Something that does its work when the loop calls."""

    wake_at: float
    """When it will be called next (monotonic seconds; infinity: not at all); kept by the loop."""

    def service(self, now: float) -> None:
        """Does what is due at `now`."""


class EventLoop:
    """Selector, timers and a mailbox. Everything but `post` belongs to the thread that calls `run_once`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Served]] = []
        self._tie_breaker = itertools.count()
        self._ready: dict[Served, None] = {}
        self._unwritten: dict[Link, None] = {}
        self._posted: deque[Callable[[], None]] = deque()
        self._bell, self._bell_button = socket.socketpair()
        self._bell.settimeout(0)
        self._bell_button.settimeout(0)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self.now = time.monotonic()
        """When this round found something to do; read again before timers are served."""
        self.clock_offset = time.time() - self.now
        """What to add to monotonic seconds to get seconds since the epoch; follows corrections of the clock."""

    def add(self, link: Link) -> None:
        """Watches a link for input."""
        link.watched = selectors.EVENT_READ
        self._selector.register(link.fileno, selectors.EVENT_READ, link)

    def remove(self, link: Link) -> None:
        """Forgets a link; also one that was never added, or has been closed."""
        self._unwritten.pop(link, None)
        if link.watched:
            link.watched = 0
            self._selector.unregister(link.fileno)

    def wants_flush(self, link: Link) -> None:
        """Flushes a link at the end of this round: all that was queued in a round goes out together."""
        self._unwritten[link] = None

    def wake(self, served: Served, when: float) -> None:
        """Calls `served` at `when` at the latest; earlier wishes stand."""
        if when < served.wake_at:
            served.wake_at = when
            heapq.heappush(self._timers, (when, next(self._tie_breaker), served))

    def soon(self, served: Served) -> None:
        """Calls `served` in this round, or in the next one if it is being called just now."""
        self._ready[served] = None

    def post(self, call: Callable[[], None]) -> None:
        """Has `call` done by the loop's thread; for use by other threads."""
        self._posted.append(call)
        # An error means that the bell is full and will ring anyway, or that the loop has been closed.
        with contextlib.suppress(OSError):
            self._bell_button.send(b"!")

    def run_once(self) -> None:
        """Waits for something to happen, a tenth of a second at most, and serves all that has."""
        happened = self._selector.select(self._patience())
        self.now = time.monotonic()
        self.clock_offset = time.time() - self.now
        for key, events in happened:
            link = key.data
            if link is None:
                self._empty_bell()
                continue
            if events & selectors.EVENT_WRITE:
                self._unwritten[link] = None
            if events & selectors.EVENT_READ and link.watched:
                link.read(self.now)
        self.now = time.monotonic()
        while self._posted:
            self._posted.popleft()()
        self._serve()
        self._flush()

    def close(self) -> None:
        """Frees the descriptors; links must have been closed before."""
        self._selector.close()
        self._bell.close()
        self._bell_button.close()

    def _patience(self) -> float:
        if self._ready or self._posted:
            return 0.0
        next_timer = self._timers[0][0] if self._timers else math.inf
        return min(max(0.0, next_timer - time.monotonic()), _LONGEST_WAIT_SECONDS)

    def _empty_bell(self) -> None:
        try:
            while self._bell.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _serve(self) -> None:
        ready, self._ready = self._ready, {}
        for served in ready:
            served.service(self.now)
        while self._timers and self._timers[0][0] <= self.now:
            when, _, served = heapq.heappop(self._timers)
            if served.wake_at == when:  # else an earlier call has made this one superfluous
                served.wake_at = math.inf
                served.service(self.now)

    def _flush(self) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        for link in unwritten:
            finished = link.flush(self.now)
            if not link.watched:
                continue  # it was closed while writing
            wanted = selectors.EVENT_READ if finished else selectors.EVENT_READ | selectors.EVENT_WRITE
            if link.watched != wanted:
                link.watched = wanted
                self._selector.modify(link.fileno, wanted, link)
