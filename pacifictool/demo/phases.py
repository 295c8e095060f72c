"""The phases of the tutorial: which turbine starts, which windows show its zone's mean, and where that must lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Range = tuple[float, float]
"""The lowest and the highest value, both included."""

UNEVEN = 0.1
"""Share by which the number of a turbine's readings in a window may differ from that of its schedule. The ranges of the
phases are those of even readings."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Which turbine starts publishing, and the expected range of the zone's mean from then on."""

    turbine: str
    zone: str
    check: str
    expected: Range
    title: str


PHASES = (
    Phase("Wind Turbine 1", "Zone A", "zone-a-turbine-1", (32.0, 33.0), "Zone A with turbine 1 alone"),
    Phase("Wind Turbine 2", "Zone A", "zone-a-turbines-1-and-2", (39.0, 41.0), "Zone A with turbines 1 and 2"),
    Phase("Wind Turbine 3", "Zone B", "zone-b-turbine-3", (40.0, 50.0), "Zone B appears, with turbine 3"),
)


def turbines_of(phase: Phase) -> list[str]:
    """The turbines that publish in the zone of the phase; the last of them starts with it."""
    return [each.turbine for each in PHASES[: PHASES.index(phase) + 1] if each.zone == phase.zone]


@dataclass(frozen=True, slots=True)
class ZoneWindows:
    """The readings of a zone's turbines, by window. `ranges` are the turbines' values, one range for each, apart from
    each other; the last turbine is the one that starts with the phase."""

    values: Mapping[int, Sequence[float]]
    """By window end (ms since the epoch)."""
    ranges: Sequence[Range]

    def __post_init__(self) -> None:
        assert all(low[1] < high[0] for low, high in pairwise(sorted(self.ranges)))

    def counts(self, end_ms: int) -> list[int]:
        """The number of readings of each turbine."""
        values = self.values[end_ms]
        return [sum(low <= value <= high for value in values) for low, high in self.ranges]

    @property
    def has_begun(self) -> bool:
        """Whether the new turbine has a reading in the topic."""
        return self._first is not None

    @property
    def _first(self) -> int | None:
        """The end of the window of the new turbine's first reading."""
        return min((end for end in self.values if self.counts(end)[-1]), default=None)

    def of_phase(self, number: int) -> list[int]:
        """The ends of the first `number` windows, or fewer, that began after the new turbine's first reading was in the
        topic, and that have readings of every turbine."""
        first = self._first
        if first is None:
            return []
        return [end for end in sorted(self.values) if end > first and all(self.counts(end))][:number]

    def possible_mean(self, ends_ms: Sequence[int]) -> Range:
        """The lowest and the highest mean of the windows' means that their numbers of readings allow."""
        bounds = []
        for side in range(2):
            means = []
            for end in ends_ms:
                counts = self.counts(end)
                parts = (count * extent[side] for count, extent in zip(counts, self.ranges, strict=True))
                means.append(sum(parts) / sum(counts))
            bounds.append(sum(means) / len(means))
        return bounds[0], bounds[1]

    def are_even(self, ends_ms: Sequence[int], *, per_window: float) -> bool:
        """Whether every turbine has about as many readings in each window as its schedule has."""
        return all(abs(count - per_window) <= UNEVEN * per_window for end in ends_ms for count in self.counts(end))
