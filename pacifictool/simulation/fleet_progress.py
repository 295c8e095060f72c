"""The progress of a run, as a person sees it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pacifictool.progress import ProgressTask, Reporter
from pacifictool.tools.rates import RateMeter

_RATE_SECONDS: Final = 2.0
_BAR_FOR_CONNECTING: Final = 50


class RunProgress:
    """A bar for the readings, and above it one for the connections until all are open."""

    def __init__(self, readings: ProgressTask, connecting: ProgressTask | None, connect: contextlib.ExitStack) -> None:
        self._readings = readings
        self._connecting = connecting
        self._connect = connect
        self._meter = RateMeter(_RATE_SECONDS)

    def show(self, *, completed: int, delivered: int, online: int, lost: int, refused: int) -> None:
        """Shows how many readings have an outcome, and the rate of the last seconds."""
        rate = self._meter.add(time.monotonic(), delivered) or 0.0
        note = f"{online} online, {rate:.0f}/s, {lost} lost"
        self._readings.update(completed=completed, note=f"{note}, {refused} refused" if refused else note)

    def show_connected(self, connected: int, *, total: int) -> None:
        """Shows how many devices have had a session."""
        if self._connecting is not None:
            self._connecting.update(completed=connected)
            if connected == total:
                self._connecting = None
                self._connect.close()


@contextlib.contextmanager
def run_progress(
    reporter: Reporter, limits: Sequence[int | None], device_word: Callable[[int], str]
) -> Iterator[RunProgress]:
    """The progress of devices that take up to `limits` readings each (None: any number), until the context ends."""
    bounded = [limit for limit in limits if limit is not None]
    total = sum(bounded) if len(bounded) == len(limits) else None
    devices = f"{len(limits)} {device_word(len(limits))}"
    with contextlib.ExitStack() as connect, contextlib.ExitStack() as run:
        # With fewer devices, connecting is over before a bar can be read.
        connecting = (
            connect.enter_context(
                reporter.task(f"Connecting {devices}", total=len(limits), unit=device_word(len(limits)))
            )
            if len(limits) >= _BAR_FOR_CONNECTING
            else None
        )
        readings = run.enter_context(reporter.task(f"Simulating {devices}", total=total, unit="readings"))
        yield RunProgress(readings, connecting, connect)
