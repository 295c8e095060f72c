"""Windows and their results, and how values are kept exact: integers only until the last step.

Floating-point sums depend on the order of their terms, so a replay with other batch boundaries would post other
values. Every value is therefore rounded to 1e-9 once and summed as an integer: the result is the same in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal, NamedTuple

from pacifictool.scenario import Analytics

UNITS: Final = 10**9
"""Units per 1.0; valid values lie within ±1e9 (scenario.Bounds), so a value in units fits 64 bits."""

PREFERRED_TRIGGER_MS: Final = 2000
"""How often the job looks for records: a late record is corrected this much later. Shorter costs CPU when idle."""

_SEPARATOR: Final = "\x1f"


# Nobody changes these objects. They are not frozen, because making a frozen one takes four times as long, 3.5 us, and
# there is one of each for every mean.


@dataclass(slots=True)
class WindowResult:
    """The results of one group over [window_start_ms, window_end_ms), in milliseconds since the epoch."""

    analytics: str
    """Name of the analytics in the scenario."""
    group: tuple[str, ...]
    """Values of the keys of its `group_by`."""
    entity_kind: Literal["asset", "device"]
    entity: str
    """Name of the entity that the results go to."""
    window_start_ms: int
    window_end_ms: int
    ts_ms: int
    """The time that the results bear on the platform: one of the two."""
    count: int
    """Number of records behind the results. It only grows, so it tells versions of one window apart."""
    values: Mapping[str, float | int]
    """By key of the result. A result that the window's records do not define, such as a mean of nothing, is absent."""


ResultPlace = tuple[str, tuple[str, ...], str, str, int]
"""What tells results apart: analytics, group, kind and name of the entity, end of the window."""
result_place: Final[Callable[[WindowResult], ResultPlace]] = attrgetter(
    "analytics", "group", "entity_kind", "entity", "window_end_ms"
)


class PartialAggregate(NamedTuple):
    """What one batch adds to one window of one group; in the order of the state store's columns."""

    analytics: str
    group: str
    """Its values as `join_group` puts them together."""
    window_end_ms: int
    count: int  # type: ignore[assignment]  # nobody wants the method of tuple
    """Number of records."""
    state: bytes
    """See engine.aggregates.StateLayout."""


def join_group(values: Iterable[str]) -> str:
    """A group as the state store knows it: its values, with a control character between them, which none holds."""
    return _SEPARATOR.join(values)


def split_group(analytics: Analytics, group: str) -> tuple[str, ...]:
    """The values that `join_group` put together."""
    return tuple(group.split(_SEPARATOR)) if analytics.group_by else ()


def group_values(group: str) -> list[str]:
    """As `split_group`, where the analytics is not known: none for the one group of all records."""
    return group.split(_SEPARATOR) if group else []


def window_ends(analytics: Analytics, slide_end_ms: int, *, after_ms: int = 0) -> range:
    """The ends of the windows that the records of a slide count in; those that end after `after_ms`."""
    slide = analytics.slide_ms
    first = slide_end_ms
    if after_ms >= first:
        first += (after_ms - first) // slide * slide + slide
    return range(first, slide_end_ms - slide + analytics.window_ms + 1, slide)


def trigger_interval_ms(slide_ms: int) -> int:
    """How long the job waits between two looks at the topic, unless a window ends before."""
    return min(PREFERRED_TRIGGER_MS, max(slide_ms // 2, 100))


def arrival_without_timestamp_ms(planned_ms: int, trigger_ms: int) -> int:
    """When the records without timestamp of a batch arrived: some time since the trigger before it."""
    return planned_ms - trigger_ms // 2
