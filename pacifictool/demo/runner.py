"""Runs the tutorial in three phases: turbine 1 alone, turbines 1 and 2, then turbine 3 in a zone without an asset.

The readings take the whole path: MQTT, the platform's rule, Kafka, Spark, and back to the assets. A phase lasts a few
windows; only windows that lie completely in a phase count for it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.job_progress import JobProgress, JobSummary
from pacifictool.analytics.sinks.registry import rest_sink
from pacifictool.demo.checks import DemoCheck, DemoResult, LiveView, ZoneResult
from pacifictool.demo.verifier import ExpectedMeans, differences, recompute
from pacifictool.errors import ChecksFailed, Interrupted
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.progress import SILENT, Reporter
from pacifictool.provisioning.apply import apply_plan
from pacifictool.provisioning.entities import look_up_tokens
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.provisioning.setup import Provisioner
from pacifictool.rest import EntityId, Platform
from pacifictool.scenario import Scenario, tutorial_scenario
from pacifictool.settings import Secret, Settings
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import choose_devices, plan_devices
from pacifictool.simulation.summary import FleetSummary

FAST_WINDOW_SECONDS = 2.0
FAST_RATE = 100.0
"""Readings per second with --fast, ten times the tutorial's: windows are short, and the mean of few readings could be
outside of the expected range. With this many, that takes more than five standard deviations."""

DELIVERY_SECONDS = 60.0
"""Timeout for a window's mean; a healthy run takes about one second."""

HEADROOM_MS = 500
"""Earliest start of a phase's first window after its turbine was started, which has to connect first."""

POLL_SECONDS = 0.25

FORWARDING_SECONDS = 15.0
"""How long an acknowledged reading may take to reach the topic."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Which turbine starts publishing, and the expected range of the zone's mean from then on."""

    turbine: str
    zone: str
    check: str
    expected: tuple[float, float]
    title: str


PHASES = (
    Phase("Wind Turbine 1", "Zone A", "zone-a-turbine-1", (32.0, 33.0), "Zone A with turbine 1 alone"),
    Phase("Wind Turbine 2", "Zone A", "zone-a-turbines-1-and-2", (39.0, 41.0), "Zone A with turbines 1 and 2"),
    Phase("Wind Turbine 3", "Zone B", "zone-b-turbine-3", (40.0, 50.0), "Zone B appears, with turbine 3"),
)


SETTING_UP, STARTING_SPARK, COMPARING = "setup", "spark", "topic"


def steps() -> tuple[str, ...]:
    """The names passed to `LiveView.on_step`, in order. A phase has the name of its check."""
    return (SETTING_UP, STARTING_SPARK, *(phase.check for phase in PHASES), COMPARING)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the tutorial is run."""

    fast: bool = False
    windows_per_phase: int = 2
    fast_windows_per_phase: int = 3
    seed: int | None = None

    @property
    def windows(self) -> int:
        return self.fast_windows_per_phase if self.fast else self.windows_per_phase

    def scenario(self) -> Scenario:
        """The tutorial's scenario; with `fast`, with shorter windows and higher rates."""
        scenario = tutorial_scenario()
        if not self.fast:
            return scenario
        devices = tuple(device.model_copy(update={"rate": FAST_RATE}) for device in scenario.devices)
        return scenario.with_analytics(window=FAST_WINDOW_SECONDS).model_copy(update={"devices": devices})


class Demo:
    """One run of the tutorial on the platform of `settings`."""

    def __init__(
        self,
        settings: Settings,
        options: DemoOptions,
        *,
        spark: SparkSettings,
        checkpoint: Path,
        starting_offsets: str = "latest",
        reporter: Reporter = SILENT,
        stop: threading.Event | None = None,
        view: LiveView | None = None,
    ) -> None:
        """`checkpoint` must be a new folder. `stop` ends the demo with Interrupted."""
        self._settings = settings
        self._options = options
        self._scenario = options.scenario()
        (self._analytics,) = self._scenario.analytics
        self._job_config = JobConfig(
            kafka=settings.kafka,
            topic=self._scenario.forwarding.topic,
            rules=RecordRules.of_scenario(self._scenario),
            checkpoint=checkpoint,
            spark=spark,
            starting_offsets=starting_offsets,
        )
        self._reporter = reporter
        self._stop = stop or threading.Event()
        self._view = view or LiveView()
        self._checks: list[DemoCheck] = []
        self._zones: dict[str, ZoneResult] = {}
        self._window_ms = self._analytics.window_ms
        (self._value_key,) = self._analytics.telemetry
        self._started_ms = round(time() * 1000)
        self._job_runs = threading.Event()

    def run(self) -> DemoResult:
        """Runs and checks the three phases. Raises PacificToolError when a part fails, Interrupted after `stop`."""
        started = monotonic()
        with Platform.connect(self._settings, stop=self._stop, reporter=self._reporter) as platform:
            offsets = self._set_up(platform)
            acknowledged, summary = self._run_phases(platform, offsets)
        return DemoResult(
            checks=self._checks,
            zones=self._zones,
            seconds=monotonic() - started,
            value_key=self._value_key,
            readings={
                "acknowledged": acknowledged,
                "in_topic": summary.records,
                "rejected": sum(summary.rejects.values()),
            },
        )

    def _set_up(self, platform: Platform) -> dict[int, int]:
        """Runs `setup` and returns the topic's end offsets before the first reading."""
        self._view.on_step(SETTING_UP)
        known = {asset.name for zone in self._scenario.entities() if (asset := platform.assets.find(zone)) is not None}
        to_be_created_by_job = set(self._scenario.entities()) - {asset.name for asset in self._scenario.assets}
        if leftovers := sorted(known & to_be_created_by_job):
            raise ChecksFailed(
                f"The asset {leftovers[0]} already exists, so the demo cannot show that the job creates it.",
                hint="Delete what an earlier run left behind: pacifictool teardown",
            )
        spec = forwarding_spec(self._settings, self._scenario)
        provisioner = Provisioner(
            platform, self._settings, self._scenario, spec, reporter=self._reporter, stop=self._stop
        )
        apply_plan(provisioner.plan(), reporter=self._reporter, stop=self._stop)
        return KafkaAdmin(self._settings.kafka).offsets(self._scenario.forwarding.topic)

    def _run_phases(self, platform: Platform, offsets: dict[int, int]) -> tuple[int, JobSummary]:
        """Runs the job and, phase by phase, the turbines. Returns the acknowledged readings and the job's summary."""
        tokens = look_up_tokens(platform, [phase.turbine for phase in PHASES])
        job_stop, fleets_stop = threading.Event(), threading.Event()
        with ThreadPoolExecutor(len(PHASES) + 1, thread_name_prefix="demo") as pool:
            job = pool.submit(self._aggregate, platform, job_stop)
            fleets: list[Future[FleetSummary]] = []
            self._view.on_step(STARTING_SPARK)
            try:
                with self._reporter.task("Starting Spark"):
                    while not self._job_runs.is_set():
                        self._pause([job])
                for phase in PHASES:
                    self._view.on_step(phase.check)
                    if phase.zone not in self._zones:
                        self._note_zone(platform, phase.zone)
                    fleets.append(pool.submit(self._simulate, phase.turbine, tokens[phase.turbine], fleets_stop))
                    self._run_phase(platform, phase, [job, *fleets])
                self._view.on_step(COMPARING)
                fleets_stop.set()
                acknowledged = sum(fleet.result().acknowledged for fleet in fleets)
                records = self._compare_with_topic(platform, offsets, acknowledged, job)
            finally:
                fleets_stop.set()
                job_stop.set()
            summary = job.result()
        self._add(DemoCheck("records-in-topic-per-acknowledged-reading", (1, 1), records / max(acknowledged, 1)))
        self._add(DemoCheck("records-rejected", (0, 0), sum(summary.rejects.values())))
        return acknowledged, summary

    def _note_zone(self, platform: Platform, zone: str) -> None:
        """Before a zone's first reading: records who creates its asset."""
        asset = platform.assets.find(zone)
        by_job = zone not in {asset.name for asset in self._scenario.assets}
        self._zones[zone] = ZoneResult(None if asset is None else asset.id, "aggregate" if by_job else "setup")
        if by_job:
            self._add(DemoCheck(f"{_slug(zone)}-absent-before-its-turbine", expected=True, actual=asset is None))

    def _run_phase(self, platform: Platform, phase: Phase, running: Sequence[Future[Any]]) -> None:
        """Waits for the phase's windows and checks their mean."""
        first = math.ceil((time() * 1000 + HEADROOM_MS) / self._window_ms) * self._window_ms
        ends = [first + number * self._window_ms for number in range(1, self._options.windows + 1)]
        seconds = (ends[-1] / 1000 - time()) + DELIVERY_SECONDS
        description = f"{phase.turbine} publishes; waiting for {phase.zone}"
        with self._reporter.task(description, total=len(ends), unit="windows") as task:
            deadline = monotonic() + seconds
            while True:
                windows = self._read_zone(platform, phase.zone)
                means = [windows[end] for end in ends if end in windows]
                task.update(completed=len(means), note=f"mean {means[-1]:.2f}" if means else "")
                if len(means) == len(ends) or monotonic() > deadline:
                    break
                self._pause(running)
        if self._zones[phase.zone].created_by == "aggregate":
            found = self._zones[phase.zone].asset_id is not None
            self._add(DemoCheck(f"{_slug(phase.zone)}-created-by-the-job", expected=True, actual=found))
        actual = math.fsum(means) / len(means) if len(means) == len(ends) else None
        self._add(DemoCheck(phase.check, phase.expected, actual))

    def _read_zone(self, platform: Platform, zone: str) -> dict[int, float]:
        """The means on the zone's asset since the demo started, by window end; passes new ones to the view."""
        result = self._zones[zone]
        if result.asset_id is None:
            asset = platform.assets.find(zone)
            if asset is None:
                return {}
            result.asset_id = asset.id
        points = platform.telemetry.range(
            EntityId.asset(result.asset_id), self._value_key, self._started_ms, round(time() * 1000) + self._window_ms
        )
        for point in points:
            if isinstance(point.value, int | float) and result.windows.get(point.ts_ms) != point.value:
                result.windows[point.ts_ms] = float(point.value)
                self._view.on_mean(zone, point.ts_ms, float(point.value))
        return result.windows

    def _pause(self, running: Sequence[Future[Any]]) -> None:
        """Waits between two polls. Raises what ended a part of the demo, or Interrupted."""
        for future in running:
            if future.done():
                future.result()
                raise ChecksFailed("A part of the demo ended too early.")
        if self._stop.wait(POLL_SECONDS):
            raise Interrupted

    def _aggregate(self, platform: Platform, stop: threading.Event) -> JobSummary:
        with closing(rest_sink(platform, self._scenario)) as sink:
            return AggregationJob(self._job_config, sink, reporter=self._reporter, progress=self._on_progress).run(stop)

    def _on_progress(self, progress: JobProgress) -> None:
        # With "latest", readings sent before the job has its first offsets would not count.
        if progress.phase == "running":
            self._job_runs.set()
        self._view.on_numbers(
            counted=progress.records,
            per_second=progress.records_per_second,
            rejected=progress.rejected,
            lag=progress.lag,
        )

    def _simulate(self, turbine: str, token: Secret, stop: threading.Event) -> FleetSummary:
        devices = plan_devices(choose_devices(self._scenario, [turbine]), lambda _name: token)
        return Fleet(self._settings.mqtt, devices, FleetOptions(qos=1, seed=self._options.seed), SILENT).run(stop)

    def _expected_means(self, offsets: dict[int, int]) -> ExpectedMeans:
        return recompute(
            read_records(self._settings.kafka, self._scenario.forwarding.topic, start=offsets),
            window_ms=self._window_ms,
            zone_key=self._analytics.group_by[0],
            value_key=self._value_key,
        )

    def _compare_with_topic(
        self, platform: Platform, offsets: dict[int, int], acknowledged: int, job: Future[JobSummary]
    ) -> int:
        """The verifier: every mean on the platform must equal the one recomputed from the topic.

        Waits for the turbines' last windows. Returns the number of records in the topic.
        """
        with self._reporter.task("Comparing all means with the topic"):
            expected = self._expected_means(offsets)
            deadline = monotonic() + FORWARDING_SECONDS
            while expected.records < acknowledged and monotonic() < deadline:
                # Since 2.0 an acknowledgement means "queued": the last readings may not be in the topic yet.
                self._pause([job])
                expected = self._expected_means(offsets)
            deadline = monotonic() + self._window_ms / 1000 + DELIVERY_SECONDS
            while True:
                found = differences(expected.means, {zone: self._read_zone(platform, zone) for zone in self._zones})
                if not found or monotonic() > deadline:
                    break
                self._pause([job])
        for difference in found:
            self._reporter.warning(difference)
        windows = sum(len(means) for means in expected.means.values())
        self._add(DemoCheck("windows-equal-to-topic", (windows, windows), windows - len(found) if windows else None))
        return expected.records

    def _add(self, check: DemoCheck) -> None:
        self._checks.append(check)
        self._view.on_check(check)


def _slug(zone: str) -> str:
    return zone.lower().replace(" ", "-")
