"""The page and a report on a phone, and while the chart's script loads. Without Kafka and Spark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from pacifictool.local.launcher import SandboxProcess
from pacifictool.report.facts import Band, Batch, Job, RunFacts, Window, Zone
from pacifictool.report.write import write_report
from pacifictool.rest import NO_RETRY, Platform, Session
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint, Secret
from pacifictool.watch.collector import Collector, WatchTarget
from pacifictool.watch.web.app import page_application
from pacifictool.watch.web.server import PageServer
from pacifictool.watch.web.source import OnDemand
from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.timeout(120)

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
        for zone in scenario.zones:
            asset = platform.assets.create(zone, scenario.platform.entity_type)
            platform.telemetry.write(asset, [(now_ms - 10_000 * age, {"windSpeed": 32.5 + age}) for age in range(20)])
        for turbine in scenario.turbines:
            device = platform.devices.create(turbine.name, scenario.platform.entity_type)
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


def test_a_line_of_text_is_shown_until_the_chart_is_loaded(browser: Browser, page_url: str) -> None:
    page = browser.new_page()
    held: list[Route] = []
    page.route(CHART_LIBRARY, lambda route: held.append(route))  # noqa: PLW0108 - Playwright cannot use a method of list
    page.goto(page_url)
    expect(page.locator(".zone .value").first).not_to_have_text("–")
    expect(page.locator("#chart-empty")).to_have_text("Loading the chart …")
    expect(page.locator("#chart-empty")).to_be_visible()
    page.wait_for_timeout(600)
    held[0].continue_()
    page.wait_for_selector("html[data-chart=drawn]", state="attached")
    expect(page.locator("#chart-empty")).to_be_hidden()
    page.close()


def test_a_chart_that_cannot_be_loaded_points_to_the_table(browser: Browser, page_url: str) -> None:
    page = browser.new_page()
    page.route(CHART_LIBRARY, lambda route: route.abort())
    page.goto(page_url)
    expect(page.locator("#chart-empty")).to_have_text("The chart could not be loaded. The table shows the same values.")
    page.get_by_role("button", name="Table").click()
    assert page.get_by_role("table", name="Means by zone").get_by_role("row").count() == 3
    page.close()


def test_labels_of_a_report_cover_no_title_at_360_pixels(browser: Browser, tmp_path: Path) -> None:
    begin = 1_795_477_550_000
    ends = [begin + 10_000 * number for number in range(1, 30)]
    windows = tuple(Window(end, 32.5, 100, 31.0, 34.0, 32.5) for end in ends)
    zones = tuple(Zone(name, (Band("Wind Turbine 1", 30, 35),), windows) for name in ("Zone A", "Zone B"))
    job = Job("job", "rest", running=True, lag=0, batches=tuple(Batch(end, 100, 1.0, 2.0) for end in ends), rejects=())
    facts = RunFacts("http://localhost", "topic", "windSpeed", 10_000, begin, ends[-1], zones, 0, job)
    write_report(facts, tmp_path / "run.html")
    page = browser.new_page(viewport={"width": 360, "height": 800})
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
