"""Brings a platform to the state that a scenario describes: compares, then creates what is missing and updates what
differs. After a run that fails half-way, the next one compares again and does the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pacifictool.errors import TopicMismatch
from pacifictool.kafka.topics import LOG_APPEND_TIME, KafkaAdmin
from pacifictool.plan import Change, ChangeAction, Kind, Plan
from pacifictool.progress import SILENT, Reporter
from pacifictool.provisioning.dashboard import dashboard_change
from pacifictool.provisioning.entities import DevicePlanner, asset_changes, check_reachable
from pacifictool.provisioning.forwarding import check_expressible
from pacifictool.provisioning.gateway import gateway_change, gateway_notes
from pacifictool.rest import ForwardingSpec, Platform
from pacifictool.rest.forwarding import NoteCode
from pacifictool.scenario import ForwardingConfig, Scenario
from pacifictool.settings import Settings


class Provisioner:
    """Plans the setup of one scenario on one platform; `apply_plan` applies it."""

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
        """`gateway`: name of the gateway device to create as well. `dashboard`: whether to create one."""
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
        """Compares the scenario with Kafka and the platform; changes nothing. Notes are also reported as warnings.

        Raises ScenarioError for what the server could not forward, OtherTopic, KafkaUnreachable, TopicMismatch,
        PlatformError, MqttError.
        """
        notes: list[str] = []
        plan = Plan.from_changes(list(self._changes(notes)), notes)
        for note in plan.notes:
            self._reporter.warning(note)
        if any(change.kind is Kind.ATTRIBUTES for change in plan.pending):
            # Fails before anything is created, rather than after thousands of devices without attributes.
            check_reachable(self._settings.mqtt)
        return plan

    def _changes(self, notes: list[str]) -> Iterator[Change]:
        check_expressible(self._scenario, self._spec, self._platform.generation())
        with self._reporter.task("Comparing the scenario with the server"):
            yield from _topic_changes(
                KafkaAdmin(self._settings.kafka), self._scenario.forwarding, add_partitions=self._add_partitions
            )
            forwarding = self._platform.forwarding
            state = forwarding.inspect(self._spec)
            notes += state.notes
            yield from forwarding.plan(self._spec, state)
        # Such a profile's chain may not store attributes at all, which the note says.
        is_bypassed = any(note.code is NoteCode.PROFILE_BYPASSES for note in state.notes)
        yield from DevicePlanner(
            self._platform,
            self._settings.mqtt,
            self._scenario,
            self._reporter,
            self._stop,
            confirms_attributes=not is_bypassed,
        ).plan()
        yield from asset_changes(self._platform, self._scenario)
        if self._gateway is not None:
            notes += gateway_notes(self._scenario, self._gateway)
            yield gateway_change(self._platform, self._gateway)
        if self._dashboard:
            yield dashboard_change(self._platform, self._scenario)


def _topic_changes(admin: KafkaAdmin, wanted: ForwardingConfig, *, add_partitions: bool = False) -> Iterator[Change]:
    """Compares the topic with the scenario.

    Its records must have the broker's timestamps: a 1.x server's records have none of their own (CreateTime -1:
    docs/servers/1.x.md#forwarding-to-kafka, row 2), and event-time windows need one.

    Raises TopicMismatch when it has fewer partitions than wanted, unless `add_partitions`; KafkaUnreachable when
    Kafka or its advertised addresses cannot be reached.
    """
    admin.check_reachable()
    actual = admin.describe(wanted.topic)
    if actual is None:
        yield Change(
            Kind.TOPIC,
            wanted.topic,
            ChangeAction.CREATE,
            apply=lambda: admin.create(wanted.topic, partitions=wanted.partitions, replication=wanted.replication),
        )
        return
    differences = []
    if actual.partitions < wanted.partitions:
        if not add_partitions:
            raise TopicMismatch(
                f"Topic {wanted.topic} has {actual.partitions} partitions, the scenario asks for {wanted.partitions}.",
                hint="Run setup with --add-partitions to add them, or lower `partitions` in the scenario.",
            )
        differences.append(f"{wanted.partitions} partitions instead of {actual.partitions}")
    if actual.timestamp_type != LOG_APPEND_TIME:
        differences.append(f"message.timestamp.type {LOG_APPEND_TIME} instead of {actual.timestamp_type}")

    def change() -> None:
        if actual.partitions < wanted.partitions:
            admin.add_partitions(wanted.topic, wanted.partitions)
        if actual.timestamp_type != LOG_APPEND_TIME:
            admin.set_timestamp_type(wanted.topic, LOG_APPEND_TIME)

    if differences:
        yield Change(Kind.TOPIC, wanted.topic, ChangeAction.CHANGE, tuple(differences), change)
    else:
        yield Change(Kind.TOPIC, wanted.topic, ChangeAction.KEEP)
