"""A real Chromium, and a running pipeline: platform, broker, job and turbines, with the page at the platform's `/`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeout

from pacifictool.local.stack import LocalStack, StackPage
from pacifictool.rest import Platform, Session
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.settings import Secret
from pacifictool.watch.web import PAGE, page_options
from tests.support.command_line import kept_variables, variables_of

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
WINDOW_MS = 2000
LIMIT_MS = 180_000
"""For whatever a page waits for. Compiling the chart's script takes 2 s of processor time: next to other tests, 20 s."""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SCENARIO = """
[platform]
device_type = "WeatherStation"
[forwarding]
topic = "weather-stations-data"
attributes = ["geoZone"]
telemetry = ["windSpeed"]
[[analytics]]
name = "zones"
group_by = ["geoZone"]
window = "2s"
telemetry = { windSpeed = "mean(windSpeed)" }
[labels]
device = "turbine"
geoZone = "zone"
windSpeed = "wind speed"
[[devices]]
name = "Wind Turbine 1"
attributes = { geoZone = "Zone A" }
telemetry = { windSpeed = { min = 30, max = 35 } }
[[devices]]
name = "Wind Turbine 2"
attributes = { geoZone = "Zone A" }
telemetry = { windSpeed = { min = 45, max = 50 } }
[[devices]]
name = "Wind Turbine 3"
attributes = { geoZone = "Zone B" }
telemetry = { windSpeed = { min = 30, max = 60 } }
[[assets]]
name = "Zone A"
"""

STATE = """() => ({
  text: document.body.innerText, root: {...document.documentElement.dataset},
  requests: performance.getEntriesByType("resource").map((each) => [each.name, each.startTime, each.responseEnd]),
})"""

OpenPage = Callable[..., Page]
BlankPage = Callable[..., Page]


@dataclass
class Pipeline:
    """Everything that runs."""

    url: str
    environ: dict[str, str]
    platform: Platform
    job: subprocess.Popen[bytes]
    turbines: subprocess.Popen[bytes]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For the tests of this folder only: Playwright leaves an event loop in the thread while it is there."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.fail("These tests need Chromium on PATH: `make browser` installs it.")
    with sync_playwright() as playwright:
        expect.set_options(timeout=LIMIT_MS)
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("pipeline")
    scenario, job_folder = folder / "scenario.toml", folder / "job"
    scenario.write_text(SCENARIO)
    stack = LocalStack(
        folder / "stack",
        cache_dir=default_cache_dir(os.environ),
        environ=os.environ,
        page=StackPage(PAGE, page_options(scenario=scenario, job=job_folder)),
        shared=True,
    )
    running: list[subprocess.Popen[bytes]] = []
    try:
        stack.start()
        environ = {
            **kept_variables(),
            **variables_of(stack),
            "PACIFICTOOL_SCENARIO": str(scenario),
            "PACIFICTOOL_STATE": str(folder / "state"),
        }

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            log = (folder / f"{arguments[0]}.log").open("wb")
            with log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "pacifictool", *arguments], stdout=log, stderr=log, env=environ, cwd=folder
                )
            running.append(process)
            return process

        assert start("setup").wait(180) == 0, (folder / "setup.log").read_text()
        job = start(
            "aggregate", "--checkpoint", str(job_folder), "--starting-offsets", "earliest", "--master", "local[2]"
        )
        turbines = start("simulate")
        with Platform(Session(stack.platform.url, "tenant@thingsboard.org", Secret("tenant"))) as platform:
            deadline = time.monotonic() + 180
            while (zone := platform.assets.find("Zone B")) is None or not platform.telemetry.keys(zone):
                assert time.monotonic() < deadline, (folder / "aggregate.log").read_text()
                assert job.poll() is None, (folder / "aggregate.log").read_text()
                time.sleep(0.5)
            yield Pipeline(f"{stack.platform.url}/", environ, platform, job, turbines)
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in running:
            process.wait(60)
        stack.stop(graceful=False)


def wait_until_drawn(page: Page) -> None:
    """Waits for the chart; AssertionError with what the page shows instead."""
    try:
        page.wait_for_selector("html[data-chart=drawn]", state="attached")
    except PageTimeout:
        pytest.fail(f"The chart is not drawn. The page: {json.dumps(page.evaluate(STATE), indent=1)}")


def hover_until(page: Page, target: Locator, seen: Locator) -> None:
    """Points at the middle of `target` until `seen` is there: a chart that is being drawn misses the pointer."""
    for _ in range(LIMIT_MS // 1000):
        box = target.bounding_box()
        assert box is not None
        page.mouse.move(0, 0)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        with suppress(PageTimeout):
            seen.wait_for(state="attached", timeout=1000)
            return
    pytest.fail(f"Nothing is shown at {box}.")


@contextmanager
def page_opener(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages in fresh contexts; any complaint of the console or the policy is an AssertionError at the end."""
    complaints: list[str] = []

    def failed(request: Request) -> None:
        # An open stream that ends with its page is not a failure.
        if "/watch/events" not in request.url:
            complaints.append(f"{request.url}: {request.failure}")

    with ExitStack() as contexts:

        def open_one(
            url: str, *, width: int = 1440, height: int = 900, scheme: str = "light", reduced: bool = False
        ) -> Page:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce" if reduced else "no-preference",
            )
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(LIMIT_MS)
            page.on(
                "console",
                lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
            )
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("requestfailed", failed)
            page.goto(url)
            wait_until_drawn(page)
            return page

        yield open_one
    assert complaints == []


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages for one test; see `page_opener`."""
    with page_opener(browser) as open_one:
        yield open_one


@pytest.fixture
def blank_page(browser: Browser) -> Iterator[BlankPage]:
    """Makes empty pages, for what a console may complain of, or what is not the live page."""
    with ExitStack() as contexts:

        def make(**options: Any) -> Page:
            context = browser.new_context(**options)
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(LIMIT_MS)
            return page

        yield make
