from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pacifictool.display import one_line
from pacifictool.report import html, picture
from pacifictool.report.alarms import alarm_lines, alarm_section
from pacifictool.report.facts import RunFacts
from pacifictool.report.wording import figures
from pacifictool.report.write import write_report
from pacifictool.rest import AlarmInfo, EntityAlarm
from tests.support.nasty_names import CONTROLS, LETTERS, MARKUP, UNSEEN, unseen_in

SEVERITIES = ("CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE")


def alarm(number: int, facts: RunFacts, **more: Any) -> EntityAlarm:
    identifier = f"eb54ece0-e799-11f1-9f43-2100000{number:05d}"
    document = {
        "id": {"id": identifier},
        "type": f"Type {number}",
        "severity": "MAJOR",
        "status": "ACTIVE_UNACK",
        "originator": {"entityType": "ASSET", "id": identifier},
        "startTs": facts.end_ms - 80_000,
        "endTs": facts.end_ms,
        "details": {"windSpeed": 40.5},
    }
    return EntityAlarm(AlarmInfo.from_json(document | more), f"Zone {number}")


class Cells(HTMLParser):
    """The rows of a table, and all tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        self._in_cell = tag in ("td", "th")
        if self._in_cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def test_the_page_has_a_table_of_active_alarms(facts: RunFacts) -> None:
    with_alarms = replace(facts, alarms=(alarm(1, facts, severity="CRITICAL"), alarm(2, facts)))
    head, first, second = Cells(alarm_section(with_alarms)).rows
    assert head == ["Severity", "Type", "Entity", "Since", "For", "Details"]
    assert first == ["CRITICAL", "Type 1", "Zone 1", "2026-11-23 23:45:30Z", "1 min 20 s", "windSpeed: 40.5"]
    assert second[0] == "MAJOR"
    assert alarm_section(with_alarms) in html.page(with_alarms)
    assert ("Active alarms", "2") in figures(with_alarms)


def test_a_report_without_alarms(facts: RunFacts) -> None:
    assert alarm_section(facts) == ""
    assert "Active alarms" not in html.page(facts)
    assert list(alarm_lines(facts)) == []
    assert facts.as_document()["alarms"] == []


def test_hundreds_are_bounded(facts: RunFacts, tmp_path: Path) -> None:
    many = replace(facts, alarms=tuple(alarm(number, facts) for number in range(300)))
    section = alarm_section(many)
    assert "Active alarms: the 100 most urgent of 300" in section
    assert len(Cells(section).rows) == 101
    *first, last = alarm_lines(many)
    assert len(first) == 5
    assert last == "and 295 more active alarms"
    write_report(many, tmp_path / "run.svg")
    drawn = (tmp_path / "run.svg").read_text(encoding="utf-8")
    assert "and 295 more active alarms" in drawn
    assert len(many.as_document()["alarms"]) == 300


def test_the_document_is_json(facts: RunFacts) -> None:
    with_alarms = replace(facts, alarms=(alarm(1, facts),))
    [found] = json.loads(json.dumps(with_alarms.as_document()))["alarms"]
    assert (found["type"], found["entity"], found["details"]) == ("Type 1", "Zone 1", {"windSpeed": 40.5})
    assert "raw" not in found


def test_alarms_of_a_picture_are_above_the_charts(facts: RunFacts) -> None:
    with_alarms = replace(facts, alarms=tuple(alarm(number, facts) for number in range(5)))
    figure = picture.figure(with_alarms)
    top = max(axes.get_position().y1 for axes in figure.axes)
    lines = [text for text in figure.texts if "MAJOR" in text.get_text()]
    assert len(lines) == 5
    assert min(text.get_position()[1] for text in lines) > top


@pytest.mark.parametrize("name", [*MARKUP, LETTERS[2], *CONTROLS, *UNSEEN])
def test_types_and_details_are_data(facts: RunFacts, name: str) -> None:
    hostile = replace(facts, alarms=(alarm(1, facts, type=name, details={name: name}),))
    found = Cells(alarm_section(hostile))
    assert found.rows[1][1] == one_line(name)
    assert found.rows[1][5] == one_line(f"{name}: {name}")
    assert found.tags == {"h2", "div", "table", "thead", "tr", "th", "tbody", "td"}
    assert unseen_in(alarm_section(hostile)) == []
