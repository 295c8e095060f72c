"""Removes what a scenario describes, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from pacifictool.errors import NotFound
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.plan import Change, ChangeAction, Kind, Plan
from pacifictool.progress import SILENT, Reporter
from pacifictool.provisioning.dashboard import scenario_dashboards
from pacifictool.provisioning.entities import find_by_name
from pacifictool.provisioning.gateway import devices_of_gateway, find_gateway
from pacifictool.rest import ForwardingSpec, Platform
from pacifictool.rest.resources import Entity, NamedResources
from pacifictool.scenario import Scenario


class Teardown:
    """Plans the removal; `apply_plan` applies it."""

    def __init__(
        self,
        platform: Platform,
        scenario: Scenario,
        spec: ForwardingSpec,
        *,
        admin: KafkaAdmin | None = None,
        gateway: str | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        """With `admin` the topic is deleted as well, with all its records; without it, Kafka is not touched.

        `gateway`: name of the gateway device to delete, with the devices that it created for the scenario's groups;
        None keeps both.
        """
        self._platform = platform
        self._scenario = scenario
        self._spec = spec
        self._admin = admin
        self._gateway = gateway
        self._reporter = reporter

    def plan(self) -> Plan:
        """What would be deleted; changes nothing. Notes are also reported as warnings.

        Raises OtherTopic, PlatformError, KafkaError.
        """
        notes: list[str] = []
        with self._reporter.task("Looking for what the scenario describes"):
            plan = Plan.from_changes(list(self._changes(notes)), notes)
        for note in plan.notes:
            self._reporter.warning(note)
        return plan

    def _changes(self, notes: list[str]) -> Iterator[Change]:
        platform, scenario, topic = self._platform, self._scenario, self._scenario.forwarding.topic
        if self._admin is not None:
            self._admin.check_reachable()  # fails before anything else is deleted
        # The rule first: while it runs, deleted devices would leave readings without their attributes.
        yield from platform.forwarding.plan_removal(self._spec)
        # Devices that the scenario names, and those that the job created for results.
        names = list(dict.fromkeys([*(device.name for device in scenario.devices), *scenario.entities("device")]))
        yield from self._removals(Kind.DEVICE, names, platform.devices, notes)
        if self._gateway is not None:
            yield from self._gateway_removals(self._gateway, notes)
        # Assets that the scenario names, and those that the job created for its groups.
        names = list(dict.fromkeys([*(asset.name for asset in scenario.assets), *scenario.entities("asset")]))
        yield from self._removals(Kind.ASSET, names, platform.assets, notes)
        for dashboard in scenario_dashboards(platform, scenario):
            yield _removal(Kind.DASHBOARD, dashboard.title, platform.dashboards.delete, dashboard.id)
        if self._admin is not None and self._admin.describe(topic) is not None:
            yield Change(Kind.TOPIC, topic, ChangeAction.DELETE, apply=partial(self._admin.delete, topic))

    def _removals(
        self, kind: Kind, names: Sequence[str], resources: NamedResources[Entity], notes: list[str]
    ) -> Iterator[Change]:
        """The removal of each entity that exists and has the scenario's type."""
        found = find_by_name(resources, names)
        wanted = self._scenario.asset_type if kind is Kind.ASSET else self._scenario.platform.device_type
        for name in names:
            entity = found.get(name)
            if entity is None:
                continue
            if entity.type == wanted:
                yield _removal(kind, name, resources.delete, entity.id)
            else:
                notes.append(f"{kind.capitalize()} {name!r} stays: its type is {entity.type!r}, not the scenario's.")

    def _gateway_removals(self, name: str, notes: list[str]) -> Iterator[Change]:
        gateway = find_gateway(self._platform, name, notes)
        if gateway is None:
            return
        delete = self._platform.devices.delete
        # The gateway last: after a failure half-way, its relations still name the devices that are left.
        for device in devices_of_gateway(self._platform, gateway, self._scenario, notes):
            yield _removal(Kind.DEVICE, device.name, delete, device.id)
        yield _removal(Kind.GATEWAY, name, delete, gateway.id)


def _removal(kind: Kind, name: str, delete: Callable[[str], None], entity_id: str) -> Change:
    def apply() -> None:
        # Somebody else may have deleted it since it was found.
        with contextlib.suppress(NotFound):
            delete(entity_id)

    return Change(kind, name, ChangeAction.DELETE, apply=apply)
