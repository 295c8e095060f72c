"""Repetitions by turns: A B C A B C, so that a busy machine is so for all of them; ratios by round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.measuring import Outcome
from benchmarks.rivals import OURS

Sample = dict[str, float]
COLD, WARM = "cold", "warm"


class Rounds:
    """Iterates over the numbers of the rounds, and keeps what was measured in each."""

    def __init__(self, repetitions: int, minutes: float) -> None:
        self.failed: dict[str, str] = {}
        """Engines that failed, with the reason."""
        self._repetitions = repetitions
        self._seconds = minutes * 60
        self._samples: dict[str, dict[str, dict[int, Sample]]] = {}
        self._number = 0

    def __iter__(self) -> Iterator[int]:
        """At least one round; another one if it can be expected to end within the minutes."""
        began = time.monotonic()
        longest = 0.0
        for number in range(self._repetitions):
            before = time.monotonic()
            if number and before - began + longest > self._seconds:
                return
            self._number = number
            yield number
            longest = max(longest, time.monotonic() - before)

    def add(self, engine: str, outcome: Outcome) -> None:
        """What an engine did in this round."""
        for phase, sample in zip((COLD, WARM), samples_of(outcome), strict=False):
            self._samples.setdefault(engine, {}).setdefault(phase, {})[self._number] = sample

    def document(self) -> dict[str, Any]:
        """Median and spread of all measures by engine and phase; and of ours to each engine, in the same round."""
        engines = {
            name: {phase: _middles(list(found.values())) for phase, found in phases.items()}
            for name, phases in self._samples.items()
        }
        return {"engines": engines, "failed": self.failed, "ours_to": self._ratios()}

    def _ratios(self) -> dict[str, dict[str, dict[str, float]]]:
        ours = self._samples.get(OURS, {})
        return {
            phase: {
                name: middle(ratios)
                for name, phases in self._samples.items()
                if name != OURS and (ratios := _quotients(own, phases.get(phase) or phases[COLD]))
            }
            for phase, own in ours.items()
        }


def samples_of(outcome: Outcome) -> list[Sample]:
    """One sample a pass. The first has the times from the launch on, too."""
    samples: list[Sample] = [
        {
            "per_second": report.per_second,
            "cpu_seconds_per_million": report.cpu_per_million,
            "peak_mb": outcome.peak_mb,
        }
        for report in outcome.reports
    ]
    samples[0] |= {"total_seconds": outcome.first_seconds, "total_cpu_seconds": outcome.first_cpu_seconds}
    return samples


def middle(values: Sequence[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "repetitions": len(values)}


def _quotients(ours: Mapping[int, Sample], theirs: Mapping[int, Sample]) -> list[float]:
    return [ours[number]["per_second"] / theirs[number]["per_second"] for number in ours.keys() & theirs.keys()]


def _middles(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    return {measure: middle([sample[measure] for sample in samples]) for measure in samples[0]}
