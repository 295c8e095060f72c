"""The sink that needs no server: one line a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.windows import WindowResult
from pacifictool.tools.times import utc_iso


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
    values = "  ".join(f"{key} {value:.6g}" for key, value in result.values.items())
    return f"{utc_iso(result.window_end_ms)}  {result.entity}  {values}  ({result.count} records)"
