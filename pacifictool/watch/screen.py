"""The live view on a terminal: drawn again at every look, ended by a key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TextIO

from rich.console import Console
from rich.live import Live

from pacifictool.watch.collector import Collector
from pacifictool.watch.keys import Keyboard, asks_to_quit
from pacifictool.watch.terminal import view

FOOTER = "q quits"
_POLL_SECONDS = 0.1


class Screen:
    """Takes the whole terminal while it runs, and leaves the last view behind when it ends."""

    def __init__(self, stdout: TextIO, stdin: TextIO, *, colour: bool) -> None:
        self._console = Console(file=stdout, no_color=not colour, highlight=False, emoji=False)
        self._keyboard = Keyboard(stdin)

    def run(self, collector: Collector, interval_seconds: float, stop: threading.Event, deadline: float | None) -> None:
        """Until a key, `stop`, or the `deadline` (monotonic seconds). Raises AuthenticationFailed."""
        console = self._console
        live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

        def draw() -> None:
            width, height = console.size
            live.update(view(collector.snapshot(), width=width, height=height, footer=FOOTER), refresh=True)

        def resume() -> None:
            live.start()
            draw()

        with self._keyboard.listening(suspend=live.stop, resume=resume), live:
            self._loop(collector, draw, interval_seconds, stop, deadline)
        console.print(view(collector.snapshot(), width=console.width, height=console.height))

    def _loop(
        self,
        collector: Collector,
        draw: Callable[[], None],
        interval_seconds: float,
        stop: threading.Event,
        deadline: float | None,
    ) -> None:
        due, drawn_for = 0.0, self._console.size
        while not stop.is_set() and (deadline is None or monotonic() < deadline):
            collector.raise_refusal()
            if monotonic() >= due or self._console.size != drawn_for:
                due, drawn_for = monotonic() + interval_seconds, self._console.size
                draw()
            if self._keyboard.is_there:
                if asks_to_quit(self._keyboard.pressed(_POLL_SECONDS)):
                    return
            else:
                stop.wait(_POLL_SECONDS)
