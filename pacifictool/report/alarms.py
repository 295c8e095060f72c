"""The active alarms of a report, as a table of its page and as lines of its picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pacifictool.display import for_html
from pacifictool.report.facts import RunFacts
from pacifictool.rest import EntityAlarm
from pacifictool.tools.times import duration_text, utc_text

_ROWS: Final = 100
_LINES: Final = 5
_LETTERS: Final = 300
"""Of an alarm's details on the page, at most."""


def alarm_section(facts: RunFacts) -> str:
    """HTML; empty without active alarms."""
    if not facts.alarms:
        return ""
    columns = ("Severity", "Type", "Entity", "Since", "For", "Details")
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{for_html(cell)}</td>" for cell in _cells(alarm, facts)) + "</tr>"
        for alarm in facts.alarms[:_ROWS]
    )
    shown = min(_ROWS, len(facts.alarms))
    cut = "" if shown == len(facts.alarms) else f": the {shown} most urgent of {len(facts.alarms):,}"
    return (
        f'<h2 id="alarms">Active alarms{cut}</h2><div class="wide"><table class="alarms" aria-labelledby="alarms">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def alarm_lines(facts: RunFacts) -> Iterator[str]:
    """One for each of the most urgent alarms, and one about the rest."""
    for alarm in facts.alarms[:_LINES]:
        severity, type_, entity, since, _, details = _cells(alarm, facts)
        yield f"{severity}  {type_} of {entity} since {since}" + (f"  ({details[:80]})" if details else "")
    if (more := len(facts.alarms) - _LINES) > 0:
        yield f"and {more:,} more active alarms"


def _cells(alarm: EntityAlarm, facts: RunFacts) -> tuple[str, ...]:
    info = alarm.info
    age = duration_text(max(0, facts.end_ms - info.start_ms) / 1000)
    return info.severity, info.type, alarm.entity, utc_text(info.start_ms), age, alarm.details_text(_LETTERS)
