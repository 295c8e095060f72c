"""Windows and their results, and how values are kept exact: integers only until the last step.

Floating-point sums depend on the order of their terms, so a replay with other batch boundaries would post other
values. Every value is therefore rounded to 1e-9 once and summed as an integer: the result is the same in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

UNITS: Final = 10**9
"""Units per 1.0; valid values lie within ±1e9 (scenario.Bounds), so a value in units fits 64 bits."""

PREFERRED_TRIGGER_MS: Final = 2000
"""How often the job looks for records: a late record is corrected this much later. Shorter costs CPU when idle."""


@dataclass(frozen=True, slots=True)
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


def trigger_interval_ms(slide_ms: int) -> int:
    """How long the job waits between two looks at the topic, unless a window ends before."""
    return min(PREFERRED_TRIGGER_MS, max(slide_ms // 2, 100))


def arrival_without_timestamp_ms(planned_ms: int, trigger_ms: int) -> int:
    """When the records without timestamp of a batch arrived: some time since the trigger before it."""
    return planned_ms - trigger_ms // 2
