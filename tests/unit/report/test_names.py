"""Names of zones and turbines in reports: shown as they are, whatever HTML, Plotly, Matplotlib or SVG would read."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pacifictool.display import one_line
from pacifictool.report import html, picture
from pacifictool.report.facts import Band, InvalidRecords, RunFacts
from pacifictool.report.write import write_report
from tests.support.nasty_names import CONTROLS, LETTERS, MARKUP, UNSEEN, unseen_in
from tests.support.reports import zone, zones

NAMES = (*MARKUP[6:], LETTERS[1], CONTROLS[0], CONTROLS[5], UNSEEN[2])
"""One of each kind is enough: each is drawn several times."""


@pytest.fixture
def nasty(facts: RunFacts) -> RunFacts:
    """All text from outside is hostile."""
    assert facts.job is not None
    known = list(facts.analytics[0].all_series())
    groups = [zone(name, [Band(name, 30, 35)], known[number % 2].windows) for number, name in enumerate(NAMES)]
    rejects = tuple(InvalidRecords(facts.begin_ms + facts.step_ms, name, 2) for name in NAMES)
    return replace(
        facts, analytics=(zones(groups),), server="http://[/a]\x9b$b$", job=replace(facts.job, rejects=rejects)
    )


class _Texts(HTMLParser):
    """Tags, and the text of each `summary`."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.summaries: list[str] = []
        self._is_in_summary = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._is_in_summary = tag == "summary"

    def handle_endtag(self, tag: str) -> None:
        self._is_in_summary = False

    def handle_data(self, data: str) -> None:
        if self._is_in_summary:
            self.summaries.append(data)


def as_plotly_reads(text: str) -> str:
    """Entities are replaced once; tags and templates would have been interpreted before."""
    assert not set("<>%$") & set(text)
    return re.sub(r"&#(\d+);", lambda match: chr(int(match[1])), text)


def test_the_page_shows_every_name_and_interprets_none(nasty: RunFacts) -> None:
    page = html.page(nasty)
    own = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert unseen_in(own) == []
    texts = _Texts()
    texts.feed(own)
    assert texts.summaries == [f"{one_line(each.name)}: 3 windows" for each in nasty.analytics[0].groups]
    assert not {"a", "b"} & texts.tags

    start = page.index("[", page.index("Plotly.newPlot("))
    series: list[Any] = json.JSONDecoder().raw_decode(page, start)[0]
    assert unseen_in(json.dumps(series, ensure_ascii=False)) == []
    means = [trace for trace in series if trace["type"] == "scatter" and trace["name"].endswith(": mean")]
    rejects = [trace for trace in series if trace["name"].startswith("invalid: ")]
    for name, mean, invalid in zip(NAMES, means, rejects, strict=True):
        assert as_plotly_reads(mean["name"]) == f"{one_line(name)}: mean"
        assert as_plotly_reads(invalid["name"]) == f"invalid: {one_line(name)}"
        for trace in (mean, invalid):
            assert as_plotly_reads(trace["hovertemplate"].split("<extra>")[1].removesuffix("</extra>")) == one_line(
                name
            )


def test_the_picture_shows_every_name_and_interprets_none(nasty: RunFacts, tmp_path: Path) -> None:
    path = tmp_path / "run.svg"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(nasty, path)
    assert unseen_in(path.read_text(encoding="utf-8")) == []
    texts = [text.strip() for text in ET.parse(path).getroot().itertext()]
    for each in nasty.analytics[0].groups:
        # The panel's title and the legends of rates and of invalid records.
        assert texts.count(re.sub(" +", " ", one_line(each.name))) == 3, each.name


def test_a_png_is_drawn_with_names_of_every_kind(nasty: RunFacts, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = (*nasty.analytics[0].groups[:2], *nasty.analytics[0].groups[-2:])
        write_report(replace(nasty, analytics=(zones(groups),)), tmp_path / "run.png")


def test_titles_contain_no_formulas(nasty: RunFacts) -> None:
    for axes, each in zip(picture.figure(nasty).axes, nasty.analytics[0].groups, strict=False):
        assert axes.title._parse_math is False
        assert axes.get_title(loc="left").strip() == one_line(each.name)
