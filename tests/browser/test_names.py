"""Names of zones and devices in a real browser: what Plotly and HTML would read as markup is shown as it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.display import one_line
from pacifictool.local.launcher import SandboxProcess
from pacifictool.report.facts import Band, WindowFacts
from pacifictool.report.write import write_report
from pacifictool.rest import NO_RETRY, Platform, Session
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint, Secret
from pacifictool.watch.collector import Collector, WatchTarget
from pacifictool.watch.web.app import page_application
from pacifictool.watch.web.server import PageServer
from pacifictool.watch.web.source import Running
from tests.browser.conftest import BlankPage, OpenPage, hover_until
from tests.support.nasty_names import CONTROLS, LETTERS, MARKUP, NASTY, UNSEEN, unseen_in
from tests.support.reports import report, zone, zones

CHARTED = (*MARKUP[4:16], LETTERS[2], *UNSEEN[:2], *CONTROLS[:2])
"""The names in the chart, which draws at most twelve lines."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with (
        SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data") as sandbox,
        Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)) as platform,
    ):
        now_ms = time.time_ns() // 1_000_000 // 2000 * 2000
        for name in NASTY:
            zone = platform.assets.create(f"Z {name}", "t")
            platform.telemetry.write(zone, [(now_ms - 2000 * age, {"windSpeed": 32.5 + age}) for age in range(5)])
            platform.devices.create(f"T {name}", "t")
        yield platform


def serve(platform: Platform, names: tuple[str, ...]) -> Iterator[str]:
    target = WatchTarget(
        platform,
        KafkaEndpoint("127.0.0.1:1"),
        tutorial_scenario(),
        list,
        tuple(f"Z {name}" for name in names),
        tuple(f"T {name}" for name in names),
    )
    with Collector(target, interval_seconds=0.5) as collector:
        collector.wait_until_polled(threading.Event())
        with PageServer(page_application(Running(collector), interval_seconds=0.5)) as server:
            yield server.url


@pytest.mark.parametrize("start", range(0, len(CHARTED), 12))
def test_the_live_page(platform: Platform, open_page: OpenPage, start: int) -> None:
    names = CHARTED[start : start + 12]
    shown = [one_line(f"Z {name}") for name in names]
    for url in serve(platform, names):
        page = open_page(url)
        page.wait_for_function(f"document.querySelectorAll('#cards .group').length === {len(names)}")
        assert page.eval_on_selector_all("#cards .name", "all => all.map((one) => one.textContent)") == shown
        devices = page.eval_on_selector_all("#devices .name", "all => all.map((one) => one.textContent)")
        assert devices == [one_line(f"T {name}") for name in names]
        hover_until(page, page.locator(".chart"), page.locator(".chart .hoverlayer .legendtext").first)
        hovered = page.eval_on_selector_all(
            ".chart .hoverlayer .legendtext", "all => all.map((one) => one.textContent)"
        )
        assert len(hovered) >= len(names)
        for name in shown:
            assert any(text.startswith(f"{name} :") for text in hovered), (name, hovered)
        assert page.locator(".chart .hoverlayer a, .chart .hoverlayer tspan[style*=bold]").count() == 0
        page.click("#as-table")
        rows = page.eval_on_selector_all("#results-table tbody th", "all => all.map((one) => one.textContent)")
        assert rows == shown
        assert unseen_in(page.inner_text("body").replace("\t", " ")) == []
        assert unseen_in(page.title()) == []
        page.close()  # before its stream is


def test_every_name_is_escaped_by_the_page_as_by_the_terminal(platform: Platform, open_page: OpenPage) -> None:
    for url in serve(platform, CHARTED[:1]):
        page = open_page(url)
        assert page.evaluate("names => names.map(words.shown)", list(NASTY)) == [one_line(name) for name in NASTY]
        page.close()


def test_a_report(blank_page: BlankPage, tmp_path: Path) -> None:
    begin = 1_795_477_550_000
    windows = tuple(WindowFacts(begin + 10_000 * number, 32.5, 100, 31.0, 34.0, 32.5) for number in range(1, 5))
    groups = [zone(name, [Band(name, 30, 35)], windows) for name in CHARTED]
    facts = report(zones(groups), begin)
    write_report(facts, tmp_path / "run.html")
    page = blank_page(viewport={"width": 1200, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "run.html").as_uri())
    page.wait_for_selector(".annotation-text")
    notes = page.eval_on_selector_all(".annotation-text", "all => all.map((one) => one.textContent)")
    for each in groups:
        assert f"■ {one_line(each.name)}" in notes
    assert page.locator(".annotation-text a").count() == 0
    for number, each in enumerate(groups):
        axes = "xy" if number == 0 else f"x{number + 1}y{number + 1}"
        point = page.locator(f".subplot.{axes} .scatterlayer .point").nth(1)
        point.scroll_into_view_if_needed()
        seen = page.locator(".hoverlayer text").get_by_text(one_line(each.name), exact=True)
        hover_until(page, point, seen)
    assert unseen_in(page.inner_text("body").replace("\t", " ")) == []
    assert errors == []
