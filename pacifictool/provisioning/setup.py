"""Makes a platform what the scenario says: compare first, then create what is missing and update what differs.

A run that fails half-way is finished by the next one, since every step is found done or not done again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.provisioning.dashboard import dashboard_step
from pacifictool.provisioning.entities import DeviceSteps, asset_steps, check_reachable
from pacifictool.provisioning.forwarding import forwarding_steps
from pacifictool.provisioning.gateway import gateway_notes, gateway_step
from pacifictool.provisioning.plan import Kind, Plan, Step
from pacifictool.provisioning.topic import topic_steps
from pacifictool.reporting import SILENT, Reporter
from pacifictool.rest import ForwardingSpec, Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import Settings


class Provisioner:
    """One platform and one scenario: finds out what is to be done; `apply_plan` does it."""

    def __init__(
        self,
        platform: Platform,
        settings: Settings,
        scenario: Scenario,
        spec: ForwardingSpec,
        *,
        add_partitions: bool = False,
        gateway: str | None = None,
        dashboard: bool = False,
        reporter: Reporter = SILENT,
        stop: threading.Event | None = None,
    ) -> None:
        """`gateway`: name of the gateway device to make, too; None: none. `dashboard`: whether to make one."""
        self._platform = platform
        self._settings = settings
        self._scenario = scenario
        self._spec = spec
        self._add_partitions = add_partitions
        self._gateway = gateway
        self._dashboard = dashboard
        self._reporter = reporter
        self._stop = stop

    def plan(self) -> Plan:
        """Compares the scenario with Kafka and the platform; changes nothing. Notes are also told as warnings.

        Raises KafkaUnreachable, TopicMismatch, PlatformError, MqttError.
        """
        notes: list[str] = []
        plan = Plan.of(list(self._steps(notes)), notes)
        for note in plan.notes:
            self._reporter.warning(note)
        if any(step.kind is Kind.ATTRIBUTES for step in plan.pending):
            # Told before anything is made, rather than after thousands of devices without their attributes.
            check_reachable(self._settings.mqtt)
        return plan

    def _steps(self, notes: list[str]) -> Iterator[Step]:
        with self._reporter.task("Comparing the scenario with the server"):
            yield from topic_steps(
                KafkaAdmin(self._settings.kafka), self._scenario.kafka, add_partitions=self._add_partitions
            )
            yield from forwarding_steps(self._platform, self._spec, notes)
        yield from DeviceSteps(self._platform, self._settings.mqtt, self._scenario, self._reporter, self._stop).plan()
        yield from asset_steps(self._platform, self._scenario)
        if self._gateway is not None:
            notes += gateway_notes(self._scenario, self._gateway)
            yield gateway_step(self._platform, self._gateway)
        if self._dashboard:
            yield dashboard_step(self._platform, self._scenario)
