"""Runs the user's functions on Spark's workers: which calls there are, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.functions import Alarm, Result


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One window of one group whose function is to be called."""

    analytics: str
    group: str
    """See windows.join_group."""
    window_end_ms: int
    count: int
    """Number of records that the state store has counted into it."""
    history: Sequence[tuple[int, Mapping[str, float]]] = ()
    """The last results for the group's own entity before this window, oldest first: window end in milliseconds, and
    values by key."""


@dataclass(frozen=True, slots=True)
class FunctionOutcome:
    """What became of a call."""

    call: FunctionCall
    results: Sequence[Result] = ()
    """A returned mapping is the result of the group's entity. Values are finite floats."""
    alarms: Sequence[Alarm] = ()
    """With entity and kind filled in."""
    failure: str | None = None
    """One sentence when the function raised, ran out of time or memory, exited, or returned what cannot be posted."""
    traceback: str | None = field(default=None, repr=False)
    """Of the user's function, when it raised; or where it was when its time was over."""
    output: str | None = field(default=None, repr=False)
    """The last lines that the function printed in this call."""
    missing: int = 0
    """How many of the call's records did not reach the function, since they cannot be read again: those without
    timestamp, of which nobody knows any more in which window they were counted, and those that Kafka has deleted."""


class FunctionRunner(Protocol):
    """Calls functions for windows."""

    def warm_up(self) -> None:
        """Prepares what the first call would have to wait for. Raises as `run` does."""
        ...

    def run(
        self, calls: Sequence[FunctionCall], ranges: Mapping[tuple[str, int], Sequence[OffsetRange]]
    ) -> list[FunctionOutcome]:
        """One outcome for each call, in the same order. `ranges`: by analytics and window end, where in the topic the
        window's records lie, which are read again.

        A failing function is an outcome. Raises Py4JError, OSError or a PacificToolError when Spark or Kafka fail.
        """
        ...
