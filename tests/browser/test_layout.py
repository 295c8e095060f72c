"""The page and a report on a phone, and while the chart's script loads. Without Kafka and Spark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from pacifictool.local.launcher import SandboxProcess
from pacifictool.report.facts import Band, Batch, Job, WindowFacts
from pacifictool.report.write import write_report
from pacifictool.rest import NO_RETRY, Platform, Session
from pacifictool.scenario import parse_scenario, tutorial_scenario
from pacifictool.settings import KafkaEndpoint, Secret
from pacifictool.watch.collector import Collector, WatchTarget
from pacifictool.watch.web.app import page_application
from pacifictool.watch.web.server import PageServer
from pacifictool.watch.web.source import OnDemand
from tests.browser.conftest import BlankPage, OpenPage, hover_until, wait_until_drawn
from tests.support.reports import report, zone, zones

CHART_LIBRARY = "**/plotly.min.js"


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a platform with the tutorial's turbines, and means of two zones."""
    scenario = tutorial_scenario()
    with (
        SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data") as sandbox,
        Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)) as platform,
    ):
        now_ms = time.time_ns() // 1_000_000
        for name in scenario.entities():
            asset = platform.assets.create(name, scenario.asset_type)
            platform.telemetry.write(asset, [(now_ms - 10_000 * age, {"windSpeed": 32.5 + age}) for age in range(20)])
        for turbine in scenario.devices:
            device = platform.devices.create(turbine.name, scenario.entity_type("device"))
            platform.telemetry.write(device, [(now_ms + 20 * number, {"windSpeed": 1234.5}) for number in range(6000)])
        target = WatchTarget(platform, KafkaEndpoint("127.0.0.1:1"), scenario, list)
        with PageServer(page_application(OnDemand(lambda: Collector(target)))) as server:
            yield server.url


def test_no_column_of_the_devices_is_cut_at_360_pixels(open_page: OpenPage, page_url: str) -> None:
    page = open_page(page_url, width=360)
    page.wait_for_function("document.querySelectorAll('#devices tbody tr').length === 3")
    widths = page.eval_on_selector(".devices .scroll", "box => [box.scrollWidth, box.clientWidth]")
    assert widths[0] <= widths[1]
    cut = page.eval_on_selector_all(
        "#devices th, #devices td", "all => all.filter((cell) => cell.scrollWidth > cell.clientWidth).length"
    )
    assert cut == 0
    page.close()


def test_a_line_of_text_is_shown_until_the_chart_is_loaded(blank_page: BlankPage, page_url: str) -> None:
    page = blank_page()
    held: list[Route] = []
    page.route(CHART_LIBRARY, lambda route: held.append(route))  # noqa: PLW0108 - Playwright cannot use a method of list
    page.goto(page_url)
    expect(page.locator(".group .value").first).not_to_have_text("–")
    expect(page.locator("#chart-empty")).to_have_text("Loading the chart …")
    expect(page.locator("#chart-empty")).to_be_visible()
    held[0].continue_()
    wait_until_drawn(page)
    expect(page.locator("#chart-empty")).to_be_hidden()
    page.close()


def test_a_chart_that_cannot_be_loaded_points_to_the_table(blank_page: BlankPage, page_url: str) -> None:
    page = blank_page()
    page.route(CHART_LIBRARY, lambda route: route.abort())
    page.goto(page_url)
    expect(page.locator("#chart-empty")).to_have_text("The chart could not be loaded. The table shows the same values.")
    page.get_by_role("button", name="Table").click()
    assert page.get_by_role("table", name="Means by zone").get_by_role("row").count() == 3
    page.get_by_role("button", name="Chart").click()
    page.unroute(CHART_LIBRARY)
    wait_until_drawn(page)  # loaded again by itself, as the page's stream is
    expect(page.locator("#chart-empty")).to_be_hidden()
    page.close()


def test_labels_of_a_report_cover_no_title_at_360_pixels(blank_page: BlankPage, tmp_path: Path) -> None:
    begin = 1_795_477_550_000
    ends = [begin + 10_000 * number for number in range(1, 30)]
    windows = tuple(WindowFacts(end, 32.5, 100, 31.0, 34.0, 32.5) for end in ends)
    groups = [zone(name, [Band("Wind Turbine 1", 30, 35)], windows) for name in ("Zone A", "Zone B")]
    job = Job("job", "rest", running=True, lag=0, batches=tuple(Batch(end, 100, 1.0, 2.0) for end in ends), rejects=())
    write_report(report(zones(groups), begin, job=job), tmp_path / "run.html")
    page = blank_page(viewport={"width": 360, "height": 800})
    page.goto((tmp_path / "run.html").as_uri())
    page.wait_for_selector(".annotation-text")
    page.wait_for_timeout(500)
    boxes = (
        "all => all.map((one) => one.getBoundingClientRect()).map((box) => [box.left, box.top, box.right, box.bottom])"
    )
    titles = page.eval_on_selector_all(".annotation-text", boxes)
    labels = page.eval_on_selector_all("g[class^=x][class$=tick] text", boxes)
    assert len(titles) >= 4
    assert len(labels) >= 8
    for left, top, right, bottom in labels:
        for title in titles:
            assert right <= title[0] or left >= title[2] or bottom <= title[1] or top >= title[3]
    assert max(title[2] for title in titles) <= 360 - 12
    page.close()


ROOMS = """
units = { temperature = "°C" }
labels = { device = "sensor", hottest = "highest temperature of all the readings of the window" }
[platform]
device_type = "ColdRoomSensor"
asset_type = "ColdRoom"
[forwarding]
topic = "cold-rooms"
attributes = ["room"]
telemetry = ["temperature", "humidity"]
[[analytics]]
name = "rooms"
group_by = ["room"]
window = "5m"
slide = "1m"
telemetry = { temperature = "mean(temperature)", hottest = "max(temperature)", readings = "count()" }
[[analytics]]
name = "everything"
entity = "All rooms"
window = "1h"
telemetry = { temperature = "mean(temperature)" }
"""


@pytest.fixture(scope="module")
def rooms_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of 120 cold rooms, of which one has had no results for an hour."""
    text = ROOMS + "".join(
        f'[[devices]]\nname = "Sensor {number}"\nattributes = {{ room = "Room {number}" }}\n'
        "telemetry = { temperature = { min = 2, max = 8 }, humidity = { min = 40, max = 60 } }\n"
        for number in range(1, 121)
    )
    scenario = parse_scenario(text, source="test")
    with (
        SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data") as sandbox,
        Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)) as platform,
    ):
        now_ms = time.time_ns() // 1_000_000 // 60_000 * 60_000
        for number in range(1, 121):
            asset = platform.assets.create(f"Room {number}", scenario.asset_type)
            newest_ms = now_ms - (3_600_000 if number == 77 else 0)
            rows = [
                (
                    newest_ms - 60_000 * age,
                    {"temperature": 2 + number / 20, "hottest": 9 + number / 20, "readings": 300},
                )
                for age in range(4)
            ]
            platform.telemetry.write(asset, rows)
        target = WatchTarget(platform, KafkaEndpoint("127.0.0.1:1"), scenario, list)
        with PageServer(page_application(OnDemand(lambda: Collector(target)))) as server:
            yield server.url


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_groups_by_the_hundred_are_searched_sorted_and_cut(
    open_page: OpenPage, rooms_url: str, width: int, scheme: str
) -> None:
    page = open_page(rooms_url, width=width, scheme=scheme)
    cards, cut = page.locator("#cards .name"), page.locator("#cut")
    expect(cut).to_have_text("showing 50 of 120")
    expect(cards).to_have_count(50)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".chart").count() == 3
    titles = page.locator(".chart .ytitle").all_text_contents()
    assert titles[0] == "temperature (°C)"
    assert titles[1].endswith("…"), "a long title is cut"
    clipped = "all => all.filter((card) => card.scrollHeight > card.clientHeight + 1).length"
    assert page.eval_on_selector_all("#cards .group", clipped) == 0
    # Worst first: the group whose newest result is the oldest.
    page.select_option("#sort", "age")
    expect(cards.first).to_have_text("Room 77")
    page.select_option("#sort", "value")
    expect(cards.first).to_have_text("Room 120")
    page.fill("#search", "room 11")
    expect(cut).to_have_text("11 of 120 match")
    page.fill("#search", "nothing")
    expect(page.locator("#chart-empty")).to_have_text("No room matches “nothing”.")
    page.fill("#search", "")
    page.select_option("#analytics", "everything")
    expect(page.locator("#results-title")).to_have_text("Means")
    expect(page.locator("#chart-empty")).to_have_text("The first mean comes at the end of the first window.")
    # The choice is in the address, so that the page can be opened again, or shared.
    page.reload()
    expect(page.locator("#analytics")).to_have_value("everything")
    expect(page.locator("#sort")).to_have_value("value")
    page.close()


def test_a_dark_report_has_dark_colours_throughout(blank_page: BlankPage, tmp_path: Path) -> None:
    begin = 1_795_477_550_000
    windows = [WindowFacts(begin + 10_000 * number, 32.5, 100, 31.0, 34.0, 32.5) for number in range(1, 5)]
    write_report(
        report(zones([zone("Zone A", [Band("Wind Turbine 1", 30, 35)], windows)]), begin), tmp_path / "run.html"
    )
    page = blank_page(viewport={"width": 1000, "height": 800}, color_scheme="dark")
    page.goto((tmp_path / "run.html").as_uri())
    page.wait_for_selector("#charts[data-scheme=dark]")
    luminance = """(colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
      return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255; }"""
    texts = page.evaluate(
        f"[...document.querySelectorAll('#charts text')].map((text) => ({luminance})(getComputedStyle(text).fill))"
    )
    assert texts
    assert min(texts) > 0.5, "texts are light"
    lines = page.evaluate(
        f"[...document.querySelectorAll('#charts .js-line')].map((line) => ({luminance})(getComputedStyle(line).stroke))"
    )
    assert lines
    assert min(lines) > 0.5, "and so are lines"
    point = page.locator("#charts .subplot.xy .scatterlayer .point").nth(1)
    point.scroll_into_view_if_needed()
    hover_until(page, point, page.locator(".hoverlayer .hovertext path").first)
    grounds = page.evaluate(
        f"[...document.querySelectorAll('.hovertext path')].map((path) => ({luminance})(getComputedStyle(path).fill))"
    )
    assert max(grounds) < 0.3, "what hovers is dark"
    page.close()
