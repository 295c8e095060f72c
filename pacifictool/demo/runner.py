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
from functools import partial
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
from pacifictool.demo.phases import PHASES, Phase, ZoneWindows, turbines_of
from pacifictool.demo.verifier import TopicView, compare
from pacifictool.errors import ChecksFailed, Interrupted
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.models.config import UniformModel
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

DELIVERY_SECONDS = 90.0
"""Timeout for a window's mean; a healthy run takes about one second."""

POLL_SECONDS = 0.5

FORWARDING_SECONDS = 60.0
"""How long a turbine's first reading, and one that is acknowledged, may take to reach the topic. On 2.5.6 attributes
were stored 30 s after they were acknowledged (docs/servers/2.x-3.x.md#telemetry-and-mqtt, row 4)."""


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
        self._ranges = {
            device.name: (float(model.min), float(model.max))
            for device in self._scenario.devices
            if isinstance(model := device.telemetry[self._value_key], UniformModel)
        }
        self._readings_per_window = self._scenario.devices[0].rate * self._window_ms / 1000
        self._started_ms = round(time() * 1000)
        self._topic: TopicView
        self._job_runs = threading.Event()

    def run(self) -> DemoResult:
        """Runs and checks the three phases. Raises PacificToolError when a part fails, Interrupted after `stop`."""
        started = monotonic()
        with Platform.connect(self._settings, stop=self._stop, reporter=self._reporter) as platform:
            self._topic = self._set_up(platform)
            acknowledged, summary = self._run_phases(platform)
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

    def _set_up(self, platform: Platform) -> TopicView:
        """Runs `setup` and returns a view of the topic from its present end on, before the first reading."""
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
        kafka, topic = self._settings.kafka, self._scenario.forwarding.topic
        return TopicView(
            partial(read_records, kafka, topic),
            KafkaAdmin(kafka).offsets(topic),
            window_ms=self._window_ms,
            zone_key=self._analytics.group_by[0],
            value_key=self._value_key,
        )

    def _run_phases(self, platform: Platform) -> tuple[int, JobSummary]:
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
                sums = [fleet.result() for fleet in fleets]
                acknowledged = sum(each.acknowledged for each in sums)
                # Each reading that was sent, also one without acknowledgement, and each repetition may be in the topic.
                most = sum(each.sent + each.resent for each in sums)
                self._compare_with_topic(platform, acknowledged, job)
            finally:
                fleets_stop.set()
                job_stop.set()
            summary = job.result()
        each = max(acknowledged, 1)
        self._add(DemoCheck("records-in-topic-per-acknowledged-reading", (1, most / each), self._topic.records / each))
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
        topic, number = self._topic, self._options.windows
        ranges = [self._ranges[turbine] for turbine in turbines_of(phase)]
        description = f"{phase.turbine} publishes; waiting for {phase.zone}"
        with self._reporter.task(description, total=number, unit="windows") as task:
            deadline, has_begun = monotonic() + FORWARDING_SECONDS, False
            while True:
                # The topic after the platform: it has all readings of what is posted.
                posted = dict(self._read_zone(platform, phase.zone))
                topic.update()
                windows = ZoneWindows(topic.values.get(phase.zone, {}), ranges)
                if not has_begun and windows.has_begun:
                    has_begun = True
                    deadline = monotonic() + (number + 1) * self._window_ms / 1000 + DELIVERY_SECONDS
                ends = windows.of_phase(number)
                means = [posted[end] for end in ends if end in posted]
                task.update(completed=len(means), note=f"mean {means[-1]:.2f}" if means else "")
                if len(means) == number or monotonic() > deadline:
                    break
                self._pause(running)
        if self._zones[phase.zone].created_by == "aggregate":
            found = self._zones[phase.zone].asset_id is not None
            self._add(DemoCheck(f"{_slug(phase.zone)}-created-by-the-job", expected=True, actual=found))
        actual = math.fsum(means) / number if len(means) == number else None
        check = DemoCheck(phase.check, phase.expected, actual)
        if actual is None:
            self._reporter.warning(
                f"{phase.zone} has {len(means)} of {number} means of the phase of {phase.turbine} within the time"
                " that they are waited for."
                if has_begun
                else f"No reading of {phase.turbine} reached the topic within {FORWARDING_SECONDS:g} s."
            )
        elif not check.ok and not windows.are_even(ends, per_window=self._readings_per_window):
            check = DemoCheck(phase.check, windows.possible_mean(ends), actual)
            self._reporter.warning(
                f"The readings of {phase.zone} came unevenly, so that the tutorial's range does not hold; their"
                f" numbers allow a mean of {check.expected_text}."
            )
        self._add(check)

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

    def _compare_with_topic(self, platform: Platform, acknowledged: int, job: Future[JobSummary]) -> None:
        """The verifier: every mean on the platform must equal the one recomputed from the topic."""
        with self._reporter.task("Comparing all means with the topic"):
            windows, found = compare(
                self._topic,
                lambda: {zone: dict(self._read_zone(platform, zone)) for zone in self._zones},
                at_least=acknowledged,
                timeout_seconds=FORWARDING_SECONDS + self._window_ms / 1000 + DELIVERY_SECONDS,
                pause=lambda: self._pause([job]),
            )
        for difference in found:
            self._reporter.warning(difference)
        self._add(DemoCheck("windows-equal-to-topic", (windows, windows), windows - len(found) if windows else None))

    def _add(self, check: DemoCheck) -> None:
        self._checks.append(check)
        self._view.on_check(check)


def _slug(zone: str) -> str:
    return zone.lower().replace(" ", "-")
