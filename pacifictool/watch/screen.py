"""The live view on a terminal: drawn again at every look, ended by a key."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TextIO

from rich.live import Live

from pacifictool.console import Console
from pacifictool.watch.collector import Collector
from pacifictool.watch.keys import Keyboard, asks_to_quit
from pacifictool.watch.terminal import fitted, view

HINT = "q quits"
_POLL_SECONDS = 0.1


class Screen:
    """Takes the whole terminal while it runs, and leaves the last view behind when it ends."""

    def __init__(self, stdout: TextIO, stdin: TextIO, *, colour: bool) -> None:
        self._console = Console(stdout, colour=colour)
        self._keyboard = Keyboard(stdin)

    def run(self, collector: Collector, interval_seconds: float, stop: threading.Event, deadline: float | None) -> None:
        """Until a key, `stop`, or the `deadline` (monotonic seconds). Raises AuthenticationFailed."""
        console = self._console
        live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

        with self._keyboard.listening(), live:
            self._loop(collector, live, interval_seconds, stop, deadline)
        console.print(view(collector.snapshot(), width=console.width))

    def _loop(
        self,
        collector: Collector,
        live: Live,
        interval_seconds: float,
        stop: threading.Event,
        deadline: float | None,
    ) -> None:
        due, drawn_for = 0.0, self._console.size
        while not stop.is_set() and (deadline is None or monotonic() < deadline):
            collector.raise_refusal()
            if monotonic() >= due or self._console.size != drawn_for:
                # Until everything has answered once, whatever answers is shown at once.
                due = monotonic() + (interval_seconds if collector.has_seen_all else _POLL_SECONDS)
                drawn_for = self._console.size
                live.update(fitted(collector.snapshot(), self._console, HINT), refresh=True)
            if self._keyboard.asked_to_stand_still:
                live.stop()
                self._keyboard.stand_still()
                live.start()
                due = 0.0
            if self._keyboard.is_there:
                if asks_to_quit(self._keyboard.pressed(_POLL_SECONDS)):
                    return
            else:
                stop.wait(_POLL_SECONDS)
