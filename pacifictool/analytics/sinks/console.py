"""The sink that needs no server: one line a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.windows import WindowResult


class ConsoleSink(Sink):
    """Hands the results of each window and group to `write` as a line of text."""

    name = "console"
    target = "console"

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        for result in results:
            self._write(describe(result))
        callback.accepted(results)


def describe(result: WindowResult) -> str:
    """ "2026-01-01T00:00:10Z  Zone A  windSpeed 32.51  (200 records)", the time being the end of the window."""
    end = datetime.fromtimestamp(result.window_end_ms / 1000, UTC)
    values = "  ".join(f"{key} {value:.6g}" for key, value in result.values.items())
    text = end.isoformat(timespec="milliseconds" if result.window_end_ms % 1000 else "seconds")
    return f"{text.replace('+00:00', 'Z')}  {result.entity}  {values}  ({result.count} records)"
