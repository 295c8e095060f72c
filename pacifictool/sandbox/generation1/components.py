"""Plugins and rules as they are stored and shown, and the demo ones of a new installation."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from pacifictool.sandbox.ids import NULL_UUID, IdFactory, created_ms, uuid_time
from pacifictool.sandbox.store import Store

ACTIVE, SUSPENDED = "ACTIVE", "SUSPENDED"
_CORE = "org.thingsboard.server.extensions.core"


@dataclass(slots=True)
class StoredPlugin:
    """A plugin; `configuration` is JSON as the user gave it."""

    id: str
    tenant: str
    name: str
    api_token: str
    clazz: str
    public_access: bool
    state: str
    configuration: Any
    additional_info: Any

    kind = "PLUGIN"

    def document(self, *, for_tenant: str | None = None) -> dict[str, Any]:
        """The plugin as REST shows it; a tenant does not see the configuration of a system plugin."""
        hidden = for_tenant is not None and self.tenant != for_tenant
        return {
            "id": {"entityType": "PLUGIN", "id": self.id},
            "createdTime": created_ms(uuid.UUID(self.id)),
            "additionalInfo": self.additional_info,
            "apiToken": self.api_token,
            "tenantId": {"entityType": "TENANT", "id": self.tenant},
            "name": self.name,
            "clazz": self.clazz,
            "publicAccess": self.public_access,
            "state": self.state,
            "configuration": None if hidden else self.configuration,
        }


@dataclass(slots=True)
class StoredRule:
    """A rule; filters, processor and action are JSON as the user gave them."""

    id: str
    tenant: str
    name: str
    state: str
    weight: int
    plugin_token: str | None
    filters: Any
    processor: Any
    action: Any
    additional_info: Any

    kind = "RULE"

    def document(self, *, for_tenant: str | None = None) -> dict[str, Any]:
        """The rule as REST shows it."""
        return {
            "id": {"entityType": "RULE", "id": self.id},
            "createdTime": created_ms(uuid.UUID(self.id)),
            "additionalInfo": self.additional_info,
            "tenantId": {"entityType": "TENANT", "id": self.tenant},
            "name": self.name,
            "state": self.state,
            "weight": self.weight,
            "pluginToken": self.plugin_token,
            "filters": self.filters,
            "processor": self.processor,
            "action": self.action,
        }


StoredComponent = StoredPlugin | StoredRule


class Components:
    """All plugins and rules, in memory in order of creation, and stored."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        self._store = store
        self._ids = ids
        self.plugins: dict[str, StoredPlugin] = {}
        self.rules: dict[str, StoredRule] = {}
        for kind, document in store.rows(
            "SELECT kind, document FROM component WHERE kind IN (?, ?) ORDER BY born",
            (StoredPlugin.kind, StoredRule.kind),
        ):
            values = json.loads(document)
            if kind == StoredPlugin.kind:
                self.plugins[values["id"]] = StoredPlugin(**values)
            else:
                self.rules[values["id"]] = StoredRule(**values)

    def new_id(self) -> str:
        return str(self._ids.new())

    def save(self, component: StoredComponent) -> None:
        if isinstance(component, StoredPlugin):
            self.plugins[component.id] = component
        else:
            self.rules[component.id] = component
        self._store.write(
            "INSERT INTO component VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document",
            (
                uuid_time(uuid.UUID(component.id)),
                component.id,
                component.kind,
                component.tenant,
                json.dumps(asdict(component)),
            ),
        )

    def delete(self, component: StoredComponent) -> None:
        self.plugins.pop(component.id, None)
        self.rules.pop(component.id, None)
        self._store.write("DELETE FROM component WHERE id = ?", (component.id,))

    def plugin_by_token(self, token: str) -> StoredPlugin | None:
        return next((plugin for plugin in self.plugins.values() if plugin.api_token == token), None)

    def rules_of_plugin(self, token: str) -> list[StoredRule]:
        return [rule for rule in self.rules.values() if rule.plugin_token == token]

    def install_demo(self, tenant: str) -> None:
        """Creates the plugins and rules of a new demo installation."""
        for owner, name, token, clazz, configuration in (
            (NULL_UUID, "System Telemetry Plugin", "telemetry", f"{_CORE}.plugin.telemetry.TelemetryStoragePlugin", {}),
            (NULL_UUID, "System RPC Plugin", "rpc", f"{_CORE}.plugin.rpc.RpcPlugin", {"defaultTimeout": 20000}),
            (
                tenant,
                "Demo Time RPC Plugin",
                "time",
                f"{_CORE}.plugin.time.TimePlugin",
                {"timeFormat": "yyyy MM dd HH:mm:ss.SSS"},
            ),
            (
                tenant,
                "Demo Device Messaging RPC Plugin",
                "messaging",
                f"{_CORE}.plugin.messaging.DeviceMessagingPlugin",
                {"maxDeviceCountPerCustomer": 1024, "defaultTimeout": 20000, "maxTimeout": 60000},
            ),
            (
                tenant,
                "Demo Email Plugin",
                "mail",
                f"{_CORE}.plugin.mail.MailPlugin",
                {"host": "localhost", "port": 25, "username": "", "password": "", "otherProperties": []},
            ),
        ):
            # The demo's mail plugin has no mail server to talk to and so is suspended.
            state = SUSPENDED if token == "mail" else ACTIVE  # noqa: S105 - a plugin's token is its public name
            self.save(
                StoredPlugin(
                    self.new_id(), owner, name, token, clazz, token in ("telemetry", "rpc"), state, configuration, None
                )
            )
        for owner, name, token, filters, action in (
            (
                NULL_UUID,
                "System Telemetry Rule",
                "telemetry",
                [
                    {
                        "clazz": f"{_CORE}.filter.MsgTypeFilter",
                        "name": "TelemetryFilter",
                        "configuration": {"messageTypes": ["POST_TELEMETRY", "POST_ATTRIBUTES", "GET_ATTRIBUTES"]},
                    }
                ],
                {
                    "clazz": f"{_CORE}.action.telemetry.TelemetryPluginAction",
                    "name": "TelemetryMsgConverterAction",
                    "configuration": {},
                },
            ),
            (
                tenant,
                "Demo Time RPC Rule",
                "time",
                [
                    {
                        "clazz": f"{_CORE}.filter.MethodNameFilter",
                        "name": "RPC Request Filter",
                        "configuration": {"methodNames": [{"name": "getTime"}]},
                    }
                ],
                {"clazz": f"{_CORE}.action.rpc.RpcPluginAction", "name": "Time RPC Plugin Action", "configuration": {}},
            ),
            (
                tenant,
                "Demo Messaging RPC Rule",
                "messaging",
                [
                    {
                        "clazz": f"{_CORE}.filter.MethodNameFilter",
                        "name": "Methods Filter",
                        "configuration": {"methodNames": [{"name": "sendMsg"}, {"name": "getDevices"}]},
                    }
                ],
                {
                    "clazz": f"{_CORE}.action.rpc.RpcPluginAction",
                    "name": "Messaging RPC Plugin Action",
                    "configuration": {},
                },
            ),
        ):
            self.save(StoredRule(self.new_id(), owner, name, ACTIVE, 0, token, filters, None, action, None))
