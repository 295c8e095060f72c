"""Makes a platform what the scenario says: compare first, then create what is missing and update what differs.

A run that fails half-way is finished by the next one, since every step is found done or not done again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import groupby

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.provisioning.entities import DeviceSteps, asset_steps
from pacifictool.provisioning.forwarding import forwarding_steps
from pacifictool.provisioning.plan import Kind, Plan, Step
from pacifictool.provisioning.topic import topic_steps
from pacifictool.provisioning.workers import DEFAULT_WORKERS, run_bounded
from pacifictool.reporting import SILENT, Reporter
from pacifictool.rest import Platform
from pacifictool.rest.forwarding import ForwardingSpec
from pacifictool.scenario import Scenario
from pacifictool.settings import Settings

_ONE_BY_ONE = frozenset({Kind.TOPIC, Kind.PLUGIN, Kind.RULE})
_PLURALS = {Kind.DEVICE: "devices", Kind.ATTRIBUTES: "client attributes", Kind.ASSET: "assets"}


class Provisioner:
    """One platform and one scenario. `plan` reads only; `apply` carries a plan out."""

    def __init__(
        self,
        platform: Platform,
        settings: Settings,
        scenario: Scenario,
        spec: ForwardingSpec,
        *,
        add_partitions: bool = False,
        workers: int = DEFAULT_WORKERS,
        reporter: Reporter = SILENT,
        stop: threading.Event | None = None,
    ) -> None:
        self._platform = platform
        self._settings = settings
        self._scenario = scenario
        self._spec = spec
        self._add_partitions = add_partitions
        self._workers = workers
        self._reporter = reporter
        self._stop = stop

    def plan(self) -> Plan:
        """Compares the scenario with Kafka and the platform; changes nothing.

        Raises KafkaUnreachable, TopicMismatch, PlatformError.
        """
        notes: list[str] = []
        return Plan.of(list(self._steps(notes)), notes)

    def _steps(self, notes: list[str]) -> Iterator[Step]:
        with self._reporter.task("Comparing the scenario with the server"):
            yield from topic_steps(
                KafkaAdmin(self._settings.kafka), self._scenario.kafka, add_partitions=self._add_partitions
            )
            yield from forwarding_steps(self._platform, self._spec, notes, self._reporter)
        yield from DeviceSteps(self._platform, self._settings.mqtt, self._scenario, self._reporter, self._stop).plan()
        yield from asset_steps(self._platform, self._scenario)

    def apply(self, plan: Plan) -> None:
        """Carries out what is pending, in order; devices and assets of one kind at the same time.

        Raises the first failure; what was done stays, and the next run continues from there.
        """
        for note in plan.notes:
            self._reporter.warning(note)
        for kind, group in groupby(plan.pending, key=lambda step: step.kind):
            steps = list(group)
            if kind in _ONE_BY_ONE:
                for step in steps:
                    with self._reporter.task(f"{step.kind.capitalize()} {step.name}"):
                        _carry_out(step)
                continue
            with self._reporter.task(f"Setting up {_PLURALS[kind]}", total=len(steps), unit=_PLURALS[kind]) as task:
                for _ in run_bounded(_carry_out, steps, workers=self._workers, stop=self._stop):
                    task.advance()


def _carry_out(step: Step) -> None:
    if step.carry_out is not None:
        step.carry_out()
