"""What is done with complete windows, each kind of work on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pacifictool.analytics.event_time import Completeness

_TICK_SECONDS: Final = 0.1

Work = Callable[[int | None, threading.Event], object]
"""Does everything that there is to do with windows that end at or before this event time (None: with all). Returns
something true when others may have something to do after that. Returns early, with the rest left for later, when the
event is set."""


@dataclass(slots=True)
class Stage:
    """Work that goes on until what comes before it has ended."""

    name: str
    """Of its thread."""
    work: Work
    after: Sequence[threading.Event] = ()
    """Set when nothing more comes."""
    done: threading.Event = field(default_factory=threading.Event)
    """Set when everything is done, for good."""
    news: threading.Event = field(default_factory=threading.Event)
    """Set when there may be something to do."""


class Stages:
    """The stages of a run. Work that is slow or waits holds up no other stage."""

    def __init__(
        self,
        stages: Sequence[Stage],
        completeness: Completeness,
        halt: threading.Event,
        fail: Callable[[BaseException], None],
    ) -> None:
        """`halt` ends all of them; `fail` gets what waiting does not fix."""
        self._stages = stages
        self._completeness = completeness
        self._halt = halt
        self._fail = fail

    @property
    def are_done(self) -> bool:
        """Whether nothing is left to do, and nothing more comes."""
        return all(stage.done.is_set() for stage in self._stages)

    def threads(self) -> list[threading.Thread]:
        """One for each stage, to be started."""
        return [
            threading.Thread(target=self._keep_working, args=(stage,), name=stage.name, daemon=True)
            for stage in self._stages
        ]

    def announce(self) -> None:
        """There may be something to do."""
        for stage in self._stages:
            stage.news.set()

    def _keep_working(self, stage: Stage) -> None:
        try:
            while not self._halt.is_set():
                at_end = all(event.is_set() for event in stage.after)
                due_until = self._completeness.due_until(time.monotonic())
                if (at_end or due_until is not None) and stage.work(None if at_end else due_until, self._halt):
                    self.announce()
                if at_end and not self._halt.is_set():
                    stage.done.set()
                    self.announce()
                    return
                stage.news.wait(_TICK_SECONDS)
                stage.news.clear()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that supervises
            self._fail(error)
