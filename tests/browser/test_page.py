"""The page in a real browser, with live data. The last tests stop the parts one by one."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pacifictool.rest import Asset, Device, Platform
from tests.browser.conftest import ARTIFACTS, WINDOW_MS, BlankPage, OpenPage, Pipeline, page_opener, wait_until_drawn
from tests.support.load import slowdown
from tests.support.waiting import wait_until

READY_MS = 1000


@pytest.fixture(scope="module")
def page(browser: Browser, pipeline: Pipeline) -> Iterator[Page]:
    """One page for all tests that leave it as it was; compiling the chart's script takes seconds."""
    with page_opener(browser) as open_one:
        yield open_one(pipeline.url)


SHOWN = """() => ({
  zones: [...document.querySelectorAll("#cards [data-group]")].map((card) => ({
    name: card.dataset.group, ts: Number(card.dataset.ts), value: Number(card.dataset.value),
    text: card.querySelector(".value").textContent })),
  devices: [...document.querySelectorAll("[data-device]")].map((row) => ({
    name: row.dataset.device, ts: Number(row.dataset.ts), value: Number(row.dataset.value),
    text: row.cells[3].textContent })),
})"""

CONTRASTS = """() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, base) => [0, 1, 2].map((i) => top[i] * top[3] + base[i] * (1 - top[3]));
  const light = (c) => c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const probe = document.createElement("i");
  document.body.append(probe);
  const colour = (value) => { probe.style.color = value; return parse(getComputedStyle(probe).color); };
  // The sea is a gradient: its lightest colour is the worst for light text.
  const sea = colour("var(--sea-light)");
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    if (!text || element.closest(".chart, noscript, .spoken, .skip, script") || !element.checkVisibility()) continue;
    const layers = [];
    let base = [255, 255, 255];
    for (let e = element; e; e = e.parentElement) {
      const layer = e.classList.contains("sea") ? sea : parse(getComputedStyle(e).backgroundColor);
      if (layer[3] === 1) { base = layer.slice(0, 3); break; }
      if (layer[3] > 0) layers.unshift(layer);
    }
    const ground = layers.reduce((below, layer) => over(layer, below), base);
    const [a, b] = [light(over(parse(getComputedStyle(element).color), ground)), light(ground)];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.className || element.tagName, text]);
  }
  for (const text of document.querySelectorAll(".chart .xtick text, .chart .ytick text")) {
    const [a, b] = [light(parse(getComputedStyle(text).fill)), light(colour("var(--panel)"))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), "axis", text.textContent]);
  }
  probe.remove();
  return found.sort((a, b) => a[0] - b[0]);
}"""


def two_digits(value: Any) -> str:
    """As JavaScript's `toFixed(2)` writes it: of two that are equally near it takes the larger, Python the even one."""
    return str(Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP))


def stored(platform: Platform, entity: Asset | Device | None, ts_ms: int) -> Any:
    assert entity is not None
    points = platform.telemetry.range(entity, "windSpeed", ts_ms, ts_ms + 1)
    return points[0].value if points else None


def wait_until_equal(page: Page, pipeline: Pipeline, name: str, asset: Any) -> None:
    """Waits until the page shows what REST has: on a busy machine one correction may follow another."""
    deadline = time.monotonic() + 90
    while True:
        page.wait_for_timeout(200)
        now = next(seen for seen in page.evaluate(SHOWN)["zones"] if seen["name"] == name)
        value = stored(pipeline.platform, asset, now["ts"])
        if value == now["value"]:
            return
        assert time.monotonic() < deadline, (now, value)


def compare(page: Page, pipeline: Pipeline, sample: dict[str, Any]) -> None:
    """Every value of a sample is that of REST at the same timestamp, and its text is that value."""
    for zone in sample["zones"]:
        asset = pipeline.platform.assets.find(zone["name"])
        value = stored(pipeline.platform, asset, zone["ts"])
        if value != zone["value"]:
            # A correction may have arrived between the page's read and the test's: then the page shows it soon.
            wait_until_equal(page, pipeline, zone["name"], asset)
        else:
            assert zone["text"] == two_digits(value)
    for device in sample["devices"]:
        value = stored(pipeline.platform, pipeline.platform.devices.find(device["name"]), device["ts"])
        assert value == device["value"], device
        assert device["text"] == str(value)


def test_values_on_the_page_are_those_of_rest_in_every_sample(page: Page, pipeline: Pipeline) -> None:
    zone_timestamps: set[int] = set()
    device_timestamps: set[int] = set()
    deadline = time.monotonic() + 90
    while (len(zone_timestamps) < 3 or len(device_timestamps) < 10) and time.monotonic() < deadline:
        sample = page.evaluate(SHOWN)
        assert [zone["name"] for zone in sample["zones"]] == ["Zone A", "Zone B"]
        assert [device["name"] for device in sample["devices"]] == [f"Wind Turbine {number}" for number in (1, 2, 3)]
        compare(page, pipeline, sample)
        zone_timestamps |= {zone["ts"] for zone in sample["zones"]}
        device_timestamps |= {device["ts"] for device in sample["devices"]}
        page.wait_for_timeout(200)
    assert len(zone_timestamps) >= 3, "the means moved meanwhile"
    assert len(device_timestamps) >= 10, "the readings moved meanwhile"
    assert all(ts_ms % WINDOW_MS == 0 for ts_ms in zone_timestamps)


IS_REDRAWN = """([width, scheme]) => {
  const chart = document.querySelector(".chart > div");
  const probe = document.createElement("i");
  document.body.append(probe);
  probe.style.color = "var(--muted)";
  const muted = getComputedStyle(probe).color;
  probe.remove();
  return matchMedia(`(prefers-color-scheme: ${scheme})`).matches && Math.abs(chart._fullLayout.width - chart.clientWidth) < 1
    && document.documentElement.clientWidth === width && getComputedStyle(chart.querySelector(".xtick text")).fill === muted;
}"""


def test_it_fits_is_legible_and_has_its_picture_taken(open_page: OpenPage, pipeline: Pipeline) -> None:
    page = open_page(pipeline.url)
    ARTIFACTS.mkdir(exist_ok=True)
    for width, scheme in itertools.product((1440, 360), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        # Whoever changes width or scheme sees the chart drawn again, after the page around it.
        page.wait_for_function(IS_REDRAWN, arg=[width, scheme])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollHeight - document.querySelector('footer').offsetTop") < 200
        page.wait_for_function("document.querySelectorAll('.group .about:not(:empty)').length === 2")
        worst = page.evaluate(CONTRASTS)
        assert len(worst) > 40
        assert worst[0][0] >= 4.5, (width, scheme, worst[:5])
        picture = ARTIFACTS / f"watch-{width}-{scheme}.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 20_000


def test_values_are_painted_before_the_chart_is_asked_for(page: Page) -> None:
    """The chart's script is 4.5 MB: it must not delay what most visitors want to see."""
    values, painted, chart = page.evaluate(
        """[...["values", "first-contentful-paint"].map((name) => performance.getEntriesByName(name)[0].startTime),
            performance.getEntriesByType("resource").find((each) => each.name.includes("plotly")).startTime]"""
    )
    assert max(values, painted) <= chart
    first = "performance.getEntriesByType('resource').filter((each) => !each.name.includes('plotly'))"
    sizes = page.evaluate(f"{first}.map((each) => each.decodedBodySize)")
    assert sum(sizes) < 100_000, "all that the first values need"


@pytest.mark.long  # an idle machine's figure; the test above shows what it depends on
def test_it_is_there_within_a_second(open_page: OpenPage, pipeline: Pipeline) -> None:
    """First paint and first values; the best of three, as if the machine did nothing else."""
    times = []
    for _ in range(3):
        before = slowdown()
        page = open_page(pipeline.url)
        paint, values = page.evaluate(
            "['first-contentful-paint', 'values'].map((name) => performance.getEntriesByName(name)[0].startTime)"
        )
        page.close()
        times.append((values, paint, max(before, slowdown())))
    sys.stdout.write(f"first values, first paint (ms), slowdown: {times}\n")
    assert min(values / slower for values, _, slower in times) < READY_MS, times
    assert min(paint / slower for _, paint, slower in times) < READY_MS, times


RATES = """([low, high]) => {
  const rates = [...document.querySelectorAll(".rate")].map((rate) => parseFloat(rate.textContent));
  // Two zones, a window of 2 s, so 60 means a minute (the first minute has fewer).
  return rates.length === 4 && rates.slice(0, 3).every((rate) => low < rate && rate < high) && 30 < rates[3] && rates[3] <= 62;
}"""


def test_the_way_of_the_data_has_rates_from_end_to_end(page: Page) -> None:
    expect(page.locator("#verdict")).to_have_text("Data moves from end to end.")
    hops = page.locator(".hop")
    assert hops.locator("h2").all_text_contents() == ["Turbines", "Platform", "Kafka topic", "Spark job", "Assets"]
    expect(hops.nth(0).locator(".figure")).to_have_text("3 of 3")
    expect(hops.nth(3).locator(".figure")).to_have_text("running")
    expect(hops.nth(4).locator(".figure")).to_have_text("2 of 2")
    page.wait_for_function(RATES, arg=[25, 35])
    assert page.locator(".track i").first.evaluate("e => getComputedStyle(e).animationName") == "drift"
    expect(page.locator("[data-job=rejects]")).to_have_text("0")
    expect(page.locator(".group .about").first).to_contain_text("readings")


def test_who_wants_no_motion_gets_none(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    assert page.locator(".track i").first.evaluate("e => getComputedStyle(e).animationName") == "none"
    page.emulate_media(reduced_motion="no-preference")


def test_the_table_says_what_the_chart_shows(page: Page, pipeline: Pipeline) -> None:
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("table", name="Means by zone")
    assert table.get_by_role("row").count() == 3
    timestamps = table.get_by_role("columnheader").all_text_contents()[1:]
    assert timestamps == sorted(timestamps, reverse=True)
    asset = pipeline.platform.assets.find("Zone A")
    assert asset is not None

    def posted() -> set[str]:
        now_ms = time.time_ns() // 1_000_000
        return {two_digits(point.value) for point in pipeline.platform.telemetry.range(asset, "windSpeed", 0, now_ms)}

    def cells() -> set[str]:
        shown = table.get_by_role("row").nth(1).get_by_role("cell").all_text_contents()
        assert len(shown) >= 3
        return set(shown) - {"–"}

    def drawn() -> set[str]:
        return set(map(two_digits, page.evaluate("document.querySelector('.chart > div').data[0].y.slice(-3)")))

    # The page shows a correction a little later than REST does.
    wait_until(lambda: cells() <= posted(), "the cells")
    wait_until(lambda: drawn() <= posted(), "the points")
    page.get_by_role("button", name="Chart").click()


def test_a_keyboard_is_enough(open_page: OpenPage, pipeline: Pipeline) -> None:
    page = open_page(pipeline.url)  # on which nothing has the focus yet
    walk = []
    for _ in range(5):
        page.keyboard.press("Tab")
        walk.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
        )
        outline = page.evaluate(
            "[getComputedStyle(document.activeElement).outlineStyle, getComputedStyle(document.activeElement).outlineWidth]"
        )
        assert outline == ["solid", "3px"], walk[-1]
    assert walk[:4] == ["Skip to the results", "Dark colours", "Chart", "Table"]
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Table")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Results over time, as a table")).to_be_focused()


def test_the_scheme_can_be_chosen_and_is_remembered(open_page: OpenPage, pipeline: Pipeline) -> None:
    page = open_page(pipeline.url, scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark colours").press("Enter")
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("button", name="Dark colours")).to_have_attribute("aria-pressed", "true")
    wait_until_drawn(page)


def test_a_screen_reader_finds_names_landmarks_and_news(page: Page, pipeline: Pipeline) -> None:
    tree = page.locator("body").aria_snapshot()
    for name in (
        "- banner",
        "- main",
        "- contentinfo",
        '- link "Skip to the results"',
        '- button "Dark colours"',
        '- heading "Data moves from end to end." [level=1]',
        '- list "The data flow from device to result"',
        '- region "Zone means"',
        '- button "Chart" [pressed]',
        '- img "Line chart of wind speed by zone over time',
        '- list "Newest mean of each zone"',
        '- region "Devices"',
        '- rowheader "Wind Turbine 1"',
        '- columnheader "Rate"',
        '- region "Job"',
    ):
        assert name in tree, f"{name}\n{tree}"
    news = page.locator("[aria-live=polite]#summary")
    expect(news).to_contain_text("Data moves from end to end. Zone A ")


def test_nothing_secret_reaches_the_page(page: Page, pipeline: Pipeline) -> None:
    everything = page.content() + json.dumps(page.evaluate("[{...localStorage}, document.cookie]"))
    token = pipeline.platform.devices.token_by_name("Wind Turbine 1").reveal()
    for secret in (token, "tenant@", "eyJ"):
        assert secret not in everything


@pytest.fixture
def watch_web(pipeline: Pipeline, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`watch --web` on its own port: its page, and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pacifictool", "watch", "--web", "--no-open", "-q", "-o", "json"],
        stdout=subprocess.PIPE,
        text=True,
        env=pipeline.environ,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    try:
        yield json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_watch_web_shows_the_same(
    pipeline: Pipeline, watch_web: tuple[str, subprocess.Popen[str]], open_page: OpenPage
) -> None:
    # The page is requested after its server, so that it is closed first: a broken stream is a complaint.
    page = open_page(watch_web[0])
    expect(page.locator("#verdict")).to_have_text("Data moves from end to end.")
    for _ in range(3):
        compare(page, pipeline, page.evaluate(SHOWN))
        page.wait_for_timeout(700)


def test_a_page_whose_server_ends_says_so_and_comes_back_by_itself(
    blank_page: BlankPage, pipeline: Pipeline, watch_web: tuple[str, subprocess.Popen[str]]
) -> None:
    url, process = watch_web
    # Not by `open_page`: here the console has every reason to complain.
    page = blank_page()
    try:
        page.goto(url)
        expect(page.locator("#connection")).to_have_text("Live")
        process.send_signal(signal.SIGINT)
        expect(page.locator("#connection")).to_have_text("No response, trying again")
        port = url.rsplit(":", 1)[1].strip("/")
        again = subprocess.Popen(
            [sys.executable, "-m", "pacifictool", "watch", "--web", "--no-open", "-q", "--port", port],
            stdout=subprocess.DEVNULL,
            env=pipeline.environ,
        )
        try:
            expect(page.locator("#connection")).to_have_text("Live")
        finally:
            again.terminate()
            again.wait(60)
    finally:
        page.close()


def test_it_shows_at_once_where_the_data_stops(open_page: OpenPage, pipeline: Pipeline) -> None:
    page = open_page(pipeline.url)
    verdict = page.locator("#verdict")
    pipeline.job.send_signal(signal.SIGINT)
    expect(verdict).to_contain_text("the job has stopped")
    expect(page.locator("[data-hop=job]")).to_have_attribute("data-state", "still")
    pipeline.turbines.send_signal(signal.SIGINT)
    expect(verdict).to_contain_text("No turbine publishes")
    expect(page.locator("[data-hop=devices] .pipe")).to_have_attribute("data-state", "still")
    page.screenshot(path=ARTIFACTS / "watch-stopped.png", full_page=True)
