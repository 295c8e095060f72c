"""What a user's own analytics function gets and gives; docs/your-analytics.md shows how to write one.

    def score(readings: pandas.DataFrame, window: Window, history: pandas.DataFrame) -> Mapping[str, float]: ...

Everything here is plain data, so that a function can be tested without a server, Spark or a scenario.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

EntityKind = Literal["asset", "device"]
Severity = Literal["CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE"]

SEVERITIES: Final[tuple[Severity, ...]] = ("CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE")
"""The platform's severities, the most urgent first (docs/servers/alarms.md#refusals, row 5)."""


@dataclass(frozen=True, slots=True)
class Window:
    """The group and window that a function is called for."""

    analytics: str
    """Name of the analytics in the scenario."""
    group: Mapping[str, str]
    """Values of the keys of `group_by`: `window.group["site"]`."""
    entity: str
    """Name of the entity that a returned mapping is posted to."""
    start: datetime
    """In UTC, the first instant that belongs to the window."""
    end: datetime
    """In UTC, the first instant that no longer belongs to it."""


@dataclass(frozen=True, slots=True)
class Result:
    """Values for an entity of the function's choice, such as one device of the group."""

    entity: str
    values: Mapping[str, float]
    kind: EntityKind = "asset"

    def __post_init__(self) -> None:
        """Raises ValueError or TypeError for what the platform cannot take."""
        if not isinstance(self.entity, str) or not self.entity.strip():
            raise ValueError(f"a Result needs the name of an entity, not {self.entity!r}")
        if self.kind not in ("asset", "device"):
            raise ValueError(f"the kind of a Result is 'asset' or 'device', not {self.kind!r}")


@dataclass(frozen=True, slots=True)
class Alarm:
    """Raises an alarm; it is cleared when the function, called for a later window of the group, does not return it."""

    type: str
    severity: Severity = "MAJOR"
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that people see with the alarm."""
    entity: str | None = None
    """Name of the entity that it is raised on; that of the group by default."""
    kind: EntityKind | None = None
    """Kind of that entity; that of the analytics by default."""

    def __post_init__(self) -> None:
        """Raises ValueError for what the platform cannot take."""
        if not isinstance(self.type, str) or not self.type.strip():
            raise ValueError(f"an Alarm needs a type, not {self.type!r}")
        if self.severity not in SEVERITIES:
            raise ValueError(f"the severity of an Alarm is one of {', '.join(SEVERITIES)}, not {self.severity!r}")


def finite_values(values: Mapping[Any, Any]) -> dict[str, float]:
    """The values as posted: finite numbers as floats; NaN and None mean that there is no value for the key.

    Takes numpy's numbers. Raises TypeError or ValueError with a sentence for the author of the function.
    """
    found: dict[str, float] = {}
    for key, value in values.items():
        if not isinstance(key, str) or not key:
            raise TypeError(f"a result's key is a text, not {key!r}")
        if value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"the result {key!r} is a number, not {value!r}") from None
        if math.isinf(number):
            raise ValueError(f"the result {key!r} is not finite")
        if not math.isnan(number):
            found[key] = number
    return found
