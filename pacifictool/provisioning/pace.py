"""How fast a long piece of work goes, and how long it still takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from pacifictool.reporting import ProgressTask

_NOTE_SECONDS: Final = 0.5
_LOOK_BACK_NOTES: Final = 20
"""The rate is that of the last ten seconds: what is left goes at the pace of now, not at that of the start."""


class Pace:
    """Advances a task of `total` steps and notes behind its bar "210/s, 1 min 20 s left"."""

    def __init__(self, task: ProgressTask, total: int, clock: Callable[[], float] = monotonic) -> None:
        self._task = task
        self._total = total
        self._clock = clock
        self._done = 0
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)], maxlen=_LOOK_BACK_NOTES)

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = self._clock()
        if now - self._marks[-1][0] >= _NOTE_SECONDS:
            then, before = self._marks[0]
            self._marks.append((now, self._done))
            rate = (self._done - before) / (now - then)
            left = duration_text((self._total - self._done) / rate)
            self._task.update(note=f"{rate:.0f}/s, {left} left")
        self._task.advance()


def duration_text(seconds: float) -> str:
    """For a person: "5 s", "1 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
