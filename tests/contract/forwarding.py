"""Plugins and rules of the suite: the tutorial's, under other names."""

from __future__ import annotations

from typing import Any, Final

from tests.contract.factories import EntityFactory
from tests.contract.waiting import eventually

KAFKA_PLUGIN: Final = "org.thingsboard.server.extensions.kafka.plugin.KafkaPlugin"
KAFKA_ACTION: Final = "org.thingsboard.server.extensions.kafka.action.KafkaPluginAction"
ATTRIBUTES_FILTER: Final = "org.thingsboard.server.extensions.core.filter.DeviceAttributesFilter"
TELEMETRY_FILTER: Final = "org.thingsboard.server.extensions.core.filter.DeviceTelemetryFilter"
TEMPLATE: Final = '{"geoZone":"$cs.get(\'geoZone\')", "windSpeed":$windSpeed.valueAsString}'
HAS_WIND_SPEED: Final = "typeof windSpeed !== 'undefined' && windSpeed != null"


def plugin_document(factory: EntityFactory, kafka: str, **configuration: Any) -> dict[str, Any]:
    """A new Kafka plugin with its own token."""
    serializer = "org.apache.kafka.common.serialization.StringSerializer"
    return {
        "apiToken": factory.name("token"),
        "name": factory.name("Kafka plugin"),
        "clazz": KAFKA_PLUGIN,
        "publicAccess": False,
        "configuration": {
            "bootstrapServers": kafka,
            "batchSize": 16384,
            "bufferMemory": 33554432,
            "acks": -1,
            "retries": 0,
            "linger": 0,
            "keySerializer": serializer,
            "valueSerializer": serializer,
            "otherProperties": [],
        }
        | configuration,
    }


def attributes_filter(script: str) -> dict[str, Any]:
    return {"clazz": ATTRIBUTES_FILTER, "name": "Attributes", "configuration": {"filter": script}}


def telemetry_filter(script: str) -> dict[str, Any]:
    return {"clazz": TELEMETRY_FILTER, "name": "Telemetry", "configuration": {"filter": script}}


def weather_stations(device_type: str) -> dict[str, Any]:
    """Passes devices that have this `deviceType` attribute and a zone."""
    return attributes_filter(f"typeof cs !== 'undefined' && cs.deviceType === '{device_type}' && cs.geoZone != null")


def action(topic: str, *, sync: bool = True, template: str = TEMPLATE) -> dict[str, Any]:
    configuration = {"sync": sync, "topic": topic, "template": template}
    return {"clazz": KAFKA_ACTION, "name": "Forward to Kafka", "configuration": configuration}


def rule_document(
    factory: EntityFactory, plugin_token: str, filters: list[dict[str, Any]], rule_action: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": factory.name("rule"),
        "weight": 0,
        "pluginToken": plugin_token,
        "filters": filters,
        "processor": None,
        "action": rule_action,
    }


class Component:
    """A plugin or rule on the server. Changes go by its id; nothing is deleted here."""

    def __init__(self, factory: EntityFactory, kind: str, document: dict[str, Any]) -> None:
        self._factory = factory
        self.kind = kind
        self.saved = factory.create(kind, document)
        self.id: str = self.saved["id"]["id"]
        self.path = f"/api/{kind}/{self.id}"

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = self._factory.api.get(self.path)
        return found

    @property
    def state(self) -> str:
        return str(self.read()["state"])

    def activate(self) -> None:
        """Activates it unless it is active: activating an active plugin leaks a producer in the server."""
        if self.state != "ACTIVE":
            self._change("activate", "ACTIVATED")

    def suspend(self) -> None:
        if self.state != "SUSPENDED":
            self._change("suspend", "SUSPENDED")

    def update(self, **changes: Any) -> dict[str, Any]:
        """Saves other content under the same id, and waits until it takes effect."""
        seen = self.events("UPDATED")
        self.saved = self._factory.create(self.kind, self.read() | changes)
        eventually(lambda: self.events("UPDATED"), lambda found: len(found) > len(seen), seconds=5)
        return self.saved

    def _change(self, verb: str, event: str) -> None:
        seen = self.events(event)
        response = self._factory.api.call("POST", f"{self.path}/{verb}")
        assert response.status_code == 200, f"{verb} {self.kind}: {response.status_code} {response.text}"
        # The response comes before the rule engine has changed anything; its event comes after.
        eventually(lambda: self.events(event), lambda found: len(found) > len(seen), seconds=5)

    def all_events(self) -> list[dict[str, Any]]:
        tenant = self._factory.api.tenant_id
        page = self._factory.api.get(f"/api/events/{self.kind.upper()}/{self.id}", tenantId=tenant, limit=100)
        events: list[dict[str, Any]] = page["data"]
        return events

    def events(self, name: str) -> list[dict[str, Any]]:
        """The bodies of the lifecycle events of that name."""
        return [
            event["body"]
            for event in self.all_events()
            if event["type"] == "LC_EVENT" and event["body"]["event"] == name
        ]

    def activation(self) -> dict[str, Any]:
        """The event of the activation, which may take a while."""
        found = eventually(lambda: self.events("ACTIVATED"), bool, seconds=60)
        assert found, f"There is no event of the activation of {self.kind} {self.id}."
        return found[0]
