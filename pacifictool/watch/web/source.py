"""Where a page gets its snapshots from: a collector that runs already, or one that runs while the page is open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from pacifictool.watch.collector import Collector

LINGER_SECONDS: Final = 15.0
"""A page that is reloaded within this time gets the same collector with its history."""


class Source(Protocol):
    """Gives each viewer a running collector."""

    def viewing(self) -> AbstractContextManager[Collector]:
        """A collector that runs at least as long as the context lasts."""


class Running:
    """A collector that the caller starts and closes."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    @contextmanager
    def viewing(self) -> Iterator[Collector]:
        yield self._collector


class OnDemand:
    """Starts a collector for the first viewer and closes it `linger_seconds` after the last one has left."""

    def __init__(self, make: Callable[[], Collector], *, linger_seconds: float = LINGER_SECONDS) -> None:
        self._make = make
        self._linger_seconds = linger_seconds
        self._lock = threading.Lock()
        self._collector: Collector | None = None
        self._viewers = 0
        self._closing: threading.Timer | None = None

    @contextmanager
    def viewing(self) -> Iterator[Collector]:
        with self._lock:
            if self._closing is not None:
                self._closing.cancel()
                self._closing = None
            if self._collector is None:
                self._collector = self._make()
                self._collector.start()
            self._viewers += 1
            collector = self._collector
        try:
            yield collector
        finally:
            with self._lock:
                self._viewers -= 1
                if self._viewers == 0:
                    self._closing = threading.Timer(self._linger_seconds, self._close)
                    self._closing.daemon = True
                    self._closing.start()

    def _close(self) -> None:
        with self._lock:
            collector = self._collector if self._viewers == 0 else None
            if collector is None:
                return
            self._collector = None
        collector.close()
