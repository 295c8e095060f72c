"""Removes what a scenario describes, and nothing else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from pacifictool.errors import NotFound
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.provisioning.dashboard import dashboard_removals
from pacifictool.provisioning.entities import find_assets, find_devices
from pacifictool.provisioning.forwarding import step_of
from pacifictool.provisioning.gateway import devices_of_gateway, find_gateway
from pacifictool.provisioning.plan import Action, Kind, Plan, Step
from pacifictool.reporting import SILENT, Reporter
from pacifictool.rest import ForwardingSpec, Platform
from pacifictool.scenario import Scenario


class Teardown:
    """Plans the removal; `apply_plan` carries it out."""

    def __init__(
        self,
        platform: Platform,
        scenario: Scenario,
        spec: ForwardingSpec,
        *,
        admin: KafkaAdmin | None = None,
        gateway: str | None = None,
        reporter: Reporter = SILENT,
        stop: threading.Event | None = None,
    ) -> None:
        """With `admin` the topic goes, too, and with it every record; without, Kafka is not touched.

        `gateway`: name of the gateway device that goes, and with it the devices that it made for the scenario's zones;
        None: both stay.
        """
        self._platform = platform
        self._scenario = scenario
        self._spec = spec
        self._admin = admin
        self._gateway = gateway
        self._reporter = reporter
        self._stop = stop

    def plan(self) -> Plan:
        """What would be deleted; changes nothing. Notes are also told as warnings. Raises PlatformError, KafkaError."""
        notes: list[str] = []
        with self._reporter.task("Looking for what the scenario describes"):
            plan = Plan.of(list(self._steps(notes)), notes)
        for note in plan.notes:
            self._reporter.warning(note)
        return plan

    def _steps(self, notes: list[str]) -> Iterator[Step]:
        if self._admin is not None:
            self._admin.check_reachable()  # told before anything else is deleted
        # The rule first: while it runs, deleted devices would leave readings without a zone.
        for change in self._platform.forwarding.plan_removal(self._spec):
            yield step_of(change)
        yield from self._device_steps(notes)
        if self._gateway is not None:
            yield from self._gateway_steps(self._gateway, notes)
        yield from self._asset_steps(notes)
        yield from dashboard_removals(self._platform, self._scenario)
        if self._admin is not None and self._admin.describe(self._scenario.kafka.topic) is not None:
            admin, topic = self._admin, self._scenario.kafka.topic
            yield Step(Kind.TOPIC, topic, Action.DELETE, carry_out=lambda: admin.delete(topic))

    def _device_steps(self, notes: list[str]) -> Iterator[Step]:
        names = [turbine.name for turbine in self._scenario.turbines]
        devices = find_devices(self._platform, names)
        for name in names:
            device = devices.get(name)
            if device is None:
                continue
            if device.type != self._scenario.platform.entity_type:
                notes.append(f"Device {name!r} stays: its type is {device.type!r}, not the scenario's.")
                continue
            yield Step(Kind.DEVICE, name, Action.DELETE, carry_out=_deletion(self._platform.devices.delete, device.id))

    def _gateway_steps(self, name: str, notes: list[str]) -> Iterator[Step]:
        gateway = find_gateway(self._platform, name, notes)
        if gateway is None:
            return
        delete = self._platform.devices.delete
        # The gateway last: a run that fails half-way leaves the relations by which the next one knows the others.
        for device in devices_of_gateway(self._platform, gateway, self._scenario, notes):
            yield Step(Kind.DEVICE, device.name, Action.DELETE, carry_out=_deletion(delete, device.id))
        yield Step(Kind.GATEWAY, name, Action.DELETE, carry_out=_deletion(delete, gateway.id))

    def _asset_steps(self, notes: list[str]) -> Iterator[Step]:
        """Assets that the scenario names, and those that the job made for its zones."""
        names = list(dict.fromkeys([*(asset.name for asset in self._scenario.assets), *self._scenario.zones]))
        assets = find_assets(self._platform, names)
        for name in names:
            asset = assets.get(name)
            if asset is None:
                continue
            if asset.type != self._scenario.platform.entity_type:
                notes.append(f"Asset {name!r} stays: its type is {asset.type!r}, not the scenario's.")
                continue
            yield Step(Kind.ASSET, name, Action.DELETE, carry_out=_deletion(self._platform.assets.delete, asset.id))


def _deletion(delete: Callable[[str], None], entity_id: str) -> Callable[[], None]:
    def carry_out() -> None:
        # Somebody else may have deleted it since it was looked up; that it is gone is all that is wanted.
        with contextlib.suppress(NotFound):
            delete(entity_id)

    return carry_out
