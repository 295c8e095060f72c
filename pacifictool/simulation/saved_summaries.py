"""Summaries of `simulate -o json`, read back: compared, or joined to one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pacifictool.errors import UsageError, file_fault
from pacifictool.simulation.histogram import QUANTILES, DurationHistogram
from pacifictool.simulation.shards import Shard
from pacifictool.simulation.summary import LISTED_LOSSES

COUNTS: Final = (
    "devices", "connected", "generated", "sent", "acknowledged", "resent", "lost", "missed", "withheld", "reconnects",
)  # fmt: skip
_RATES: Final = ("target_rate", "achieved_rate")
_DURATIONS: Final = ("schedule_lag_ms", "acknowledgement_ms")
_LISTS: Final = ("refused", "interrupted", "losses", "injections")


def read_summary(file: Path) -> dict[str, Any]:
    """The summary in `file`, as `simulate -o json` or `simulate join -o json` printed it. Raises UsageError."""
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {file_fault(error)}.") from error
    except ValueError as error:
        raise UsageError(f"{file} is not JSON.", hint="Save the summary: simulate … -o json > FILE.") from error
    try:
        _check(document)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise UsageError(
            f"{file} is not a summary of simulate: {_reason(error)}.", hint="Save it with: simulate … -o json > FILE."
        ) from error
    found: dict[str, Any] = document
    return found


def _check(document: Any) -> None:
    for key in COUNTS:
        if isinstance(document[key], bool) or not isinstance(document[key], int):
            raise TypeError(f"{key!r} is not a count")
    for key in (*_RATES, "seconds"):
        if isinstance(document[key], bool) or not isinstance(document[key], int | float):
            raise TypeError(f"{key!r} is not a number")
    for key in _LISTS:
        if not isinstance(document[key], list):
            raise TypeError(f"{key!r} is not a list")
    for key in _DURATIONS:
        DurationHistogram.of_document(document[key])
    if document.get("shard") is not None:
        Shard.parse(document["shard"])
    document["qos"], document["complete"], document["stopped_by"]


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two summaries; None: there is none, for example a quantile without acknowledgements."""

    name: str
    unit: str
    first: float | None
    second: float | None
    higher_is_worse: bool

    @property
    def ratio(self) -> float | None:
        """The second by the first; None when one is missing or the first is 0."""
        return self.second / self.first if self.first and self.second is not None else None

    @property
    def worse_by(self) -> float:
        """By which share of the first the second is worse; 0 when it is not, infinity when the first is 0."""
        first, second = self.first, self.second
        if second is None:  # nothing was acknowledged any more
            return math.inf if first is not None else 0.0
        if first is None or first == second:
            return 0.0
        if first == 0:
            return math.inf if (second > 0) is self.higher_is_worse else 0.0
        change = (second - first) / first
        return max(0.0, change if self.higher_is_worse else -change)

    def as_document(self, fail_above: float | None) -> dict[str, Any]:
        """For JSON output."""
        return {
            "name": self.name,
            "unit": self.unit,
            "first": self.first,
            "second": self.second,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "failed": fail_above is not None and self.worse_by > fail_above,
        }


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """The figures of two summaries, the second next to the first: rate, shares of readings, and every quantile."""

    def per_reading(document: Mapping[str, Any], key: str) -> float:
        due = document["generated"] + document["missed"]
        return round(100 * document[key] / due, 4) if due else 0.0

    def latency(document: Mapping[str, Any], key: str) -> float | None:
        value: float | None = document["acknowledgement_ms"].get(key)
        return value

    rate = Difference("achieved_rate", "readings/s", first["achieved_rate"], second["achieved_rate"], False)  # noqa: FBT003
    shares = [
        Difference(key, "% of readings", per_reading(first, key), per_reading(second, key), higher_is_worse=True)
        for key in ("lost", "missed", "resent")
    ]
    quantiles = [
        Difference(f"acknowledgement_{key}", "ms", latency(first, key), latency(second, key), higher_is_worse=True)
        for key in (*QUANTILES, "max")
    ]
    return [rate, *shares, *quantiles]


def join(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One summary of fleets that ran at the same time: counts and rates added, histograms merged.

    `seconds` is the longest; `limit` is that of the first part that has one; seed and QoS are null where parts differ.
    Raises UsageError when the same part of a fleet is given twice.
    """
    shards = [summary["shard"] for summary in summaries if summary.get("shard") is not None]
    for shard in shards:
        if shards.count(shard) > 1:
            raise UsageError(f"Part {shard} of the fleet is given more than once.", hint="Name each summary once.")
    seconds = max(summary["seconds"] for summary in summaries)
    joined: dict[str, Any] = {key: sum(summary[key] for summary in summaries) for key in COUNTS}
    joined |= {key: round(sum(summary[key] for summary in summaries), 3) for key in _RATES}
    joined["rates"] = {
        key: round(joined[key] / seconds, 3) if seconds else 0.0
        for key in ("sent", "acknowledged", "resent", "lost", "missed")
    }
    for key in _DURATIONS:
        merged = DurationHistogram()
        for summary in summaries:
            merged.merge(DurationHistogram.of_document(summary[key]))
        joined[key] = merged.as_document()
    for key in _LISTS:
        joined[key] = [entry for summary in summaries for entry in summary[key]]
    joined["losses"] = joined["losses"][:LISTED_LOSSES]
    joined["limit"] = next((summary["limit"] for summary in summaries if summary.get("limit")), None)
    joined["seconds"] = seconds
    for key in ("seed", "qos"):
        values = {summary.get(key) for summary in summaries}
        joined[key] = values.pop() if len(values) == 1 else None
    missing = _missing_parts(shards)
    joined["complete"] = all(summary["complete"] for summary in summaries) and not missing
    joined["stopped_by"] = "stop" if any(summary["stopped_by"] == "stop" for summary in summaries) else "end"
    joined["parts"] = len(summaries)
    joined["missing_shards"] = missing
    return {"ok": joined["complete"], **joined}


def _missing_parts(shards: Sequence[str]) -> list[str]:
    """The parts of a fleet that are not among `shards`, as far as these tell."""
    totals = {int(shard.partition("/")[2]) for shard in shards}
    if len(totals) != 1:
        return []
    total = totals.pop()
    return [f"{number}/{total}" for number in range(1, total + 1) if f"{number}/{total}" not in shards]
