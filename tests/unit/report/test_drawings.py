from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib.image
import pytest

from pacifictool.errors import FileNotWritten, UsageError
from pacifictool.report import html, picture
from pacifictool.report.facts import RunFacts
from pacifictool.report.write import write_report


def milliseconds(time: datetime | str) -> int:
    if isinstance(time, str):
        time = datetime.fromisoformat(time).replace(tzinfo=UTC)
    return round(time.timestamp() * 1000)


def drawn_series(page: str) -> list[Any]:
    """The traces in the page, as the browser gets them."""
    start = page.index("[", page.index("Plotly.newPlot("))
    series: list[Any] = json.JSONDecoder().raw_decode(page, start)[0]
    return series


def test_the_page_contains_exactly_the_facts(facts: RunFacts) -> None:
    series = drawn_series(html.page(facts))
    means = [trace for trace in series if trace["type"] == "scatter" and trace["name"].endswith(": mean")]
    for zone, trace in zip(facts.analytics[0].all_series(), means, strict=True):
        drawn = {milliseconds(x): y for x, y in zip(trace["x"], trace["y"], strict=True) if y is not None}
        assert drawn == {window.end_ms: window.value for window in zone.windows if window.value is not None}
    # A window is missing in Zone A: no line across.
    assert means[0]["y"] == [32.5, 40.25, None, 39.75]

    rates = [trace for trace in series if trace["name"].endswith(": readings per second")]
    assert [trace["y"] for trace in rates] == [[10, 20, 20], [10, 10, 0.7]]
    waits = {trace["name"]: trace["y"] for trace in series if trace["name"].endswith(" wait")}
    assert waits == {"median wait": [0.9, 1.1], "longest wait": [2.0, 2.2]}
    rejects = {trace["name"]: trace["y"] for trace in series if trace["name"].startswith("invalid: ")}
    assert rejects == {"invalid: the value is not a number": [2, 3], "invalid: there is no zone": [1]}


def test_the_page_shows_the_turbines_ranges(facts: RunFacts) -> None:
    layout = html.figure(facts).to_plotly_json()["layout"]
    bands = [(shape["y0"], shape["y1"]) for shape in layout["shapes"]]
    assert bands == [(30, 35), (45, 50), (30, 60)]
    texts = " ".join(note["text"] for note in layout["annotations"])
    for label in ("Wind Turbine 1: 30–35", "Wind Turbine 2: 45–50", "Wind Turbine 3: 30–60"):
        assert label in texts


def test_the_page_is_self_contained_and_escapes_names(facts: RunFacts) -> None:
    page = html.page(facts)
    assert re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?!data:)', page) == []
    assert "</script><b>" not in page
    assert "<td>32.5000</td>" in page  # the table, for people who cannot see the chart
    assert page.count("<tr><th") == 6 + 2  # windows and headings


def test_the_picture_contains_exactly_the_facts(facts: RunFacts) -> None:
    panels = picture.figure(facts).axes
    assert len(panels) == 2 + 3
    for zone, axes in zip(facts.analytics[0].all_series(), panels[:2], strict=True):
        (line,) = axes.lines
        drawn = {
            milliseconds(x): y for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True) if not math.isnan(y)
        }
        assert drawn == {window.end_ms: window.value for window in zone.windows if window.value is not None}
        bands = [(patch.get_y(), patch.get_y() + patch.get_height()) for patch in axes.patches]
        assert bands == [(band.low, band.high) for band in zone.bands]
    rates, waits, rejects = panels[2:]
    assert [round(bar.get_height(), 6) for bar in rates.patches] == [10, 20, 20, 10, 10, 0.7]
    assert [list(line.get_ydata()) for line in waits.lines] == [[2.0, 2.2], [0.9, 1.1]]
    assert [bar.get_height() for bar in rejects.patches] == [2, 3, 1]
    assert [bar.get_y() for bar in rejects.patches] == [0, 0, 2]  # stacked


@pytest.mark.parametrize("name", ["run.png", "run.svg", "run.HTML"])
def test_the_suffix_chooses_the_kind_of_file(facts: RunFacts, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_report(facts, path)
    if name.endswith("png"):
        pixels = matplotlib.image.imread(path)
        assert pixels.shape[1] == 1650
        assert len({tuple(pixel) for pixel in pixels[::20, ::20, :3].reshape(-1, 3)}) > 5
    elif name.endswith("svg"):
        words = "".join(ET.parse(path).getroot().itertext())
        assert "Zone A" in words
        assert "Wind Turbine 2: 45–50" in words
        drawn = path.read_bytes()
        path.write_bytes(drawn.replace(b"Zone A", b"Zone B"))
        write_report(facts, path)  # An earlier report is replaced, and the same run gives the same picture.
        assert path.read_bytes() == drawn
    else:
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [other.name for other in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["thesis.html", "photo.png", "plan.svg"])
def test_a_file_that_is_not_a_report_is_not_replaced(facts: RunFacts, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("the user's own", encoding="utf-8")
    with pytest.raises(UsageError, match="is not a report of pacifictool"):
        write_report(facts, path)
    assert path.read_text(encoding="utf-8") == "the user's own"


def test_other_files_in_the_folder_stay_unchanged(facts: RunFacts, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("the user's own", encoding="utf-8")
    (tmp_path / ".run.html.part").symlink_to(own)
    write_report(facts, tmp_path / "run.html")
    assert own.read_text(encoding="utf-8") == "the user's own"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.html.part", "own.txt", "run.html"]
    assert (tmp_path / "run.html").stat().st_mode & 0o777 == own.stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["run.pdf", "run", "missing/run.html", "."])
def test_an_impossible_target_is_reported_first(facts: RunFacts, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_report(facts, tmp_path / name)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written(facts: RunFacts) -> None:
    with pytest.raises(FileNotWritten, match=r"/proc/run\.svg"):
        write_report(facts, Path("/proc/run.svg"))
