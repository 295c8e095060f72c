"""The probe in Kafka, and the windows that it counts in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from pacifictool.kafka.records import Record
from pacifictool.scenario import READING_TIME, Analytics, Attribute, DeviceSpec, Scenario
from pacifictool.scenario.names import common_word
from pacifictool.tools.times import utc_clock


@dataclass(frozen=True, slots=True)
class Arrival:
    """The probe in Kafka."""

    record: Record
    seen_at: float
    """Monotonic seconds."""

    def group(self, analytics: Analytics) -> tuple[str, ...] | None:
        """The group that the record names; None when it is not a JSON object with one."""
        values = tuple(self._field(key) for key in analytics.group_by)
        return values if all(isinstance(value, str) for value in values) else None  # type: ignore[return-value]

    def differs(self, device: DeviceSpec) -> bool:
        """Whether the record has another value of an attribute than the device in the scenario."""
        for text, value in device.attributes.items():
            found = self._field(Attribute.parse(text).key)
            if isinstance(found, str) and found != value:
                return True
        return False

    def is_outside(self, low: float, high: float, key: str) -> bool:
        """Whether the record's value is a number outside these limits."""
        value = self._field(key)
        try:
            return isinstance(value, str | int | float) and not low <= float(value) <= high
        except ValueError:
            return False

    def reading_ms(self) -> int | None:
        """The reading's own time, where the record has it."""
        value = self._field(READING_TIME)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def event_ms(self) -> float:
        """The present time by the clock of the records' timestamps (this machine's if the record has none)."""
        if self.record.timestamp_ms is None:
            return time.time() * 1000
        return self.record.timestamp_ms + (monotonic() - self.seen_at) * 1000

    def _field(self, key: str) -> object:
        try:
            return json.loads(self.record.value or b"")[key]
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class ResultWindow:
    """The first window of one analytics that the record counts in and that ends."""

    analytics: Analytics
    group: tuple[str, ...]
    end_ms: int
    window_ms: int
    """As the job has it; the scenario may have another by now."""
    word: str
    """What a person calls a group."""
    result: str
    """What a person calls a result."""

    @property
    def entity(self) -> str:
        return self.analytics.entity_name(self.group)

    @property
    def ts_ms(self) -> int:
        """The time of its results."""
        return self.end_ms - self.window_ms if self.analytics.ts == "start" else self.end_ms

    @property
    def name(self) -> str:
        """For example "zone 'Zone A'"."""
        return f"{self.word} {self.entity!r}"

    @property
    def times(self) -> str:
        return f"{utc_clock(self.end_ms - self.window_ms)} to {utc_clock(self.end_ms)} UTC"


def taking(analytics: Iterable[Analytics], key: str) -> list[Analytics]:
    """Those whose results depend on a reading of this key; a function gets all readings."""
    return [
        each
        for each in analytics
        if each.function is not None or any(result.depends_on(key) for result in each.telemetry.values())
    ]


def result_words(scenario: Scenario, key: str) -> str:
    """What a person calls the results that a reading of this key counts in."""
    return common_word((scenario.result_word(each) for each in taking(scenario.analytics, key)), "result")
