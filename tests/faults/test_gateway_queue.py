"""A platform whose PUBACK only means "queued" is killed with its queue in memory: what counts as delivered is stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.sinks.registry import SINKS, SinkOptions
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import PacificToolError
from pacifictool.local.launcher import SandboxProcess
from pacifictool.mqtt import ANALYTICS_GATEWAY
from pacifictool.rest import Platform
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import Settings, Sources, resolve
from tests.support.recorders import RecordingCallback
from tests.support.scenarios import mean_in, window_result

QUEUE_SECONDS = 2.0
WINDOW_MS = 10_000
START_MS = 1_795_477_540_000


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    options = ("--generation", "4", "--queue-seconds", str(QUEUE_SECONDS))
    with SandboxProcess(tmp_path / "platform", options=options) as sandbox:
        yield sandbox


@pytest.fixture
def options(sandbox: SandboxProcess, tmp_path: Path) -> SinkOptions:
    settings: Settings = resolve(
        Sources(
            flags={"url": sandbox.url, "mqtt": f"127.0.0.1:{sandbox.mqtt_port}"},
            environ={},
            folder=tmp_path,
            user_file=tmp_path / "none.toml",
            read_stdin=str,
        )
    )
    return SinkOptions(settings, tutorial_scenario(), lambda: Platform.connect(settings), print)


@pytest.fixture
def platform(options: SinkOptions) -> Iterator[Platform]:
    with options.connect() as platform:
        platform.devices.create(ANALYTICS_GATEWAY, "gateway", {"gateway": True})
        yield platform


def window(number: int, mean: float = 2.5) -> list[WindowResult]:
    end = START_MS + number * WINDOW_MS
    return [window_result(f"Zone {n}", end, mean + n) for n in range(50)]


class Job(threading.Thread):
    """Repeats the delivery until everything is accepted, as the job does."""

    def __init__(self, sink: Sink, results: list[WindowResult]) -> None:
        super().__init__(daemon=True)
        self._sink, self._results = sink, results
        self.book = RecordingCallback(fail_on_refusal=True)
        self.failures: list[PacificToolError] = []

    def run(self) -> None:
        while left := [result for result in self._results if result not in self.book.accepted_results]:
            try:
                self._sink.deliver(left, self.book)
            except PacificToolError as error:
                self.failures.append(error)
                time.sleep(0.2)


def stored(platform: Platform) -> dict[tuple[str, int], object]:
    points: dict[tuple[str, int], object] = {}
    for device in platform.devices.list("WeatherStation"):
        for point in platform.telemetry.range(device, "windSpeed", 0, 2 * START_MS):
            points[device.name, point.ts_ms] = point.value
    return points


def expected(results: Iterable[WindowResult]) -> dict[tuple[str, int], object]:
    return {(result.entity, result.window_end_ms): mean_in(result) for result in results}


@pytest.mark.parametrize("is_correction", [False, True])
def test_what_counts_as_delivered_survives_a_kill(
    sandbox: SandboxProcess, platform: Platform, options: SinkOptions, is_correction: bool
) -> None:
    """A correction changes an older window: the latest value does not show whether it is stored."""
    before = [*window(1), *window(2)] if is_correction else []
    results = [*window(1, mean=7.5), *window(2)] if is_correction else window(1)
    with SINKS["gateway"].open(options) as sink:
        if before:
            sink.deliver(before, RecordingCallback(fail_on_refusal=True))
        job = Job(sink, results)
        job.start()
        time.sleep(QUEUE_SECONDS / 2)  # everything is acknowledged, and nothing of it is stored
        sandbox.kill()
        delivered = list(job.book.accepted_results)
        sandbox.start()
        if not is_correction:
            assert delivered == []
        time.sleep(0.5)
        job.join(30)
        assert not job.is_alive()
        assert stored(platform) == expected(results)


def test_a_slow_server_gets_nothing_twice(sandbox: SandboxProcess, platform: Platform, options: SinkOptions) -> None:
    with SINKS["gateway"].open(options) as sink:
        job = Job(sink, window(1))
        began = time.monotonic()
        job.start()
        job.join(30)
    assert time.monotonic() - began >= QUEUE_SECONDS
    assert job.failures == []
    assert stored(platform) == expected(window(1))
