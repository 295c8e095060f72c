"""Alarms on the page: they come and go, are data, and hold on a phone. Without Kafka and Spark."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from pacifictool.display import one_line
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import NO_RETRY, Asset, Platform, Session
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint, Secret
from pacifictool.watch.collector import Collector, WatchTarget
from pacifictool.watch.web.app import page_application
from pacifictool.watch.web.server import PageServer
from pacifictool.watch.web.source import Running
from tests.browser.conftest import ARTIFACTS, OpenPage
from tests.browser.test_page import CONTRASTS
from tests.support.nasty_names import LETTERS, MARKUP, UNSEEN

pytestmark = pytest.mark.timeout(120)

SEVERITIES = ("CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE")
SOON_MS = 8000
TEXTS = "all => all.map((one) => one.textContent)"


@pytest.fixture(scope="module")
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A sandbox of generation 1, unless a test asks for another one."""
    scenario, options = tutorial_scenario(), ("--generation", getattr(request, "param", "1"))
    with (
        SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data", options=options) as sandbox,
        Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)) as platform,
    ):
        now_ms = time.time_ns() // 1_000_000
        for name in scenario.entities():
            asset = platform.assets.create(name, scenario.asset_type)
            platform.telemetry.write(asset, [(now_ms - 10_000 * age, {"windSpeed": 32.5 + age}) for age in range(20)])
        for turbine in scenario.devices:
            platform.devices.create(turbine.name, scenario.entity_type("device"))
        yield platform


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    """The page of a platform without any active alarm."""
    for alarm in platform.alarms.of_many([*platform.assets.list(), *platform.devices.list()], active=True):
        platform.alarms.clear(alarm.id)
    target = WatchTarget(platform, KafkaEndpoint("127.0.0.1:1"), tutorial_scenario(), list)
    with (
        Collector(target, interval_seconds=0.5) as collector,
        PageServer(page_application(Running(collector), interval_seconds=0.5)) as server,
    ):
        yield server.url


@pytest.fixture
def zone(platform: Platform) -> Asset:
    found = platform.assets.find("Zone A")
    assert found is not None
    return found


def raise_one(platform: Platform, zone: Asset, type_: str, severity: str = "MAJOR", **details: object) -> str:
    now_ms = time.time_ns() // 1_000_000
    return platform.alarms.raise_alarm(zone, type_, severity, details, now_ms - 200_000, now_ms).id


def wait_for(page: Page, count: int) -> None:
    expect(page.locator("#alarms > li")).to_have_count(count, timeout=SOON_MS)


@pytest.mark.parametrize("platform", ["4", pytest.param("1", marks=pytest.mark.long)], indirect=True)
def test_alarms_come_and_go(url: str, open_page: OpenPage, platform: Platform, zone: Asset) -> None:
    page = open_page(url)
    expect(page.locator("#alarms-panel")).to_be_hidden()
    turbine = platform.devices.find("Wind Turbine 2")
    assert turbine is not None
    minor = raise_one(platform, zone, "Calm", "MINOR")
    now_ms = time.time_ns() // 1_000_000
    platform.alarms.raise_alarm(turbine, "Storm", "CRITICAL", {"windSpeed": 40.5, "sensors": [1]}, now_ms, now_ms)
    wait_for(page, 2)
    first, second = page.locator("#alarms > li").all()
    for part, text in {
        "severity": "CRITICAL",
        "type": "Storm",
        "entity": "Wind Turbine 2",
        "details": "windSpeed: 40.5, sensors: [1]",
    }.items():
        expect(first.locator(f".{part}")).to_have_text(text)
    expect(second.locator(".type")).to_have_text("Calm")
    expect(second.locator(".details")).to_be_hidden()
    expect(second.locator(".age")).to_have_text("3 min ago")
    expect(page.locator("#alarms-sub")).to_have_text("2 active")
    assert page.title().startswith("(2) Zone A ")
    platform.alarms.clear(minor)
    wait_for(page, 1)
    raise_one(platform, zone, "Calm", "CRITICAL")
    wait_for(page, 2)
    for alarm in (*platform.alarms.active(zone), *platform.alarms.active(turbine)):
        platform.alarms.clear(alarm.id)
    wait_for(page, 0)
    expect(page.locator("#alarms-sub")).to_have_text("none is active")
    assert page.title().startswith("Zone A ")


def test_hundreds_are_bounded(url: str, open_page: OpenPage, platform: Platform, zone: Asset) -> None:
    for number in range(120):
        raise_one(platform, zone, f"Type {number}", SEVERITIES[-1 - number % 5])
    page = open_page(url)
    wait_for(page, 100)
    expect(page.locator("#alarms-sub")).to_have_text("120 active; the 100 most urgent are shown")
    shown = page.eval_on_selector_all("#alarms .severity", TEXTS)
    assert shown == sorted(shown, key=SEVERITIES.index)
    assert shown.count("CRITICAL") == 24
    height = page.eval_on_selector("#alarms", "list => list.clientHeight")
    assert height <= 340


def test_types_and_details_are_data(url: str, open_page: OpenPage, platform: Platform, zone: Asset) -> None:
    page = open_page(url)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    names = [*MARKUP, *LETTERS, *UNSEEN]
    for name in names:
        raise_one(platform, zone, name, **{name: name})
    wait_for(page, len(names))
    assert set(page.eval_on_selector_all("#alarms .type", TEXTS)) == {one_line(name) for name in names}
    expected = {one_line(f"{name}: {name}") for name in names}
    assert set(page.eval_on_selector_all("#alarms .details", TEXTS)) == expected
    assert page.locator("#alarms :is(script, a, b, img)").count() == 0


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        *((1440, "light"), (360, "dark")),
        *(pytest.param(*other, marks=pytest.mark.long) for other in ((1440, "dark"), (360, "light"))),
    ],
)
def test_alarms_can_be_read(
    url: str, open_page: OpenPage, platform: Platform, zone: Asset, width: int, scheme: str
) -> None:
    """In both colours and on a phone, and their urgency without seeing colours."""
    for severity in SEVERITIES:
        raise_one(platform, zone, f"A {severity.lower()} alarm", severity, temperature=9.25, share="10 of 12 windows")
    raise_one(platform, zone, "Unbroken" * 30, "MAJOR", unbroken="x" * 400)
    page = open_page(url, width=width, scheme=scheme)
    wait_for(page, 6)
    page.screenshot(path=ARTIFACTS / f"alarms-{width}-{scheme}.png", full_page=True)
    sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]
    cut = "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"
    assert page.eval_on_selector_all("#alarms li, #alarms p, #alarms h3", cut) == []
    assert page.eval_on_selector_all("#alarms .severity", TEXTS) == ["CRITICAL", "MAJOR", *SEVERITIES[1:]]
    faint = [found for found in page.evaluate(CONTRASTS) if found[0] < 4.5]
    assert faint == []
