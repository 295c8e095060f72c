"""Creates, changes, activates, suspends and deletes plugins and rules.

docs/servers/1.x.md#rules-and-plugins.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pacifictool.sandbox.events import EventLog
from pacifictool.sandbox.generation1.components import (
    ACTIVE,
    SUSPENDED,
    Components,
    StoredComponent,
    StoredPlugin,
    StoredRule,
)
from pacifictool.sandbox.generation1.descriptors import DESCRIPTORS, check_component, is_valid
from pacifictool.sandbox.generation1.engine import RuleEngine
from pacifictool.sandbox.ids import NULL_UUID
from pacifictool.sandbox.refusals import bad_request
from pacifictool.sandbox.store import Store


class LifecycleService:
    """The operations behind the REST controllers of plugins and rules. Every method raises the platform's refusals."""

    def __init__(self, store: Store, components: Components, engine: RuleEngine, events: EventLog) -> None:
        self._store = store
        self._components = components
        self._engine = engine
        self._events = events

    async def start(self) -> None:
        """Starts everything that was ACTIVE."""
        active = [plugin for plugin in self._components.plugins.values() if plugin.state == ACTIVE]
        await asyncio.gather(*(self._run_plugin(plugin, "STARTED") for plugin in active))
        for rule in list(self._components.rules.values()):
            if rule.state == ACTIVE:
                self._run_rule(rule, "STARTED")
        self._store.commit()

    async def save_plugin(self, document: dict[str, Any], tenant: str, old: StoredPlugin | None) -> StoredPlugin:
        """Creates a plugin, or updates `old` with immediate effect."""
        name, token = document.get("name"), document.get("apiToken")
        if not name:
            raise bad_request("Plugin name should be specified!.")
        if not token:
            raise bad_request("Plugin api token is not set!")
        state = _state(document, old, "plugin")
        clazz = document.get("clazz")
        if not clazz:
            raise bad_request("Plugin clazz should be specified!.")
        descriptor = DESCRIPTORS.get(clazz)
        if descriptor is None:
            raise bad_request("Plugin descriptor not found!")
        if descriptor.kind != "PLUGIN":
            raise bad_request(f"Plugin class is actually {descriptor.kind}!")
        reserved = self._components.plugin_by_token(str(token))
        if reserved is not None and (old is None or reserved.id != old.id):
            raise bad_request("API token is already reserved!")
        if not is_valid(descriptor, document.get("configuration")):
            raise bad_request("Filters configuration is not valid!")
        plugin = StoredPlugin(
            id=old.id if old else self._components.new_id(),
            tenant=old.tenant if old else tenant,
            name=str(name),
            api_token=str(token),
            clazz=clazz,
            public_access=bool(document.get("publicAccess", False)),
            state=state,
            configuration=document["configuration"],
            additional_info=document.get("additionalInfo"),
        )
        self._components.save(plugin)
        if old is not None:
            self._engine.stop_plugin(old.api_token)
        if state == ACTIVE:
            await self._run_plugin(plugin, "UPDATED")
        else:
            self._note(plugin, "UPDATED" if old else "CREATED")
        self._store.commit()
        return plugin

    def save_rule(self, document: dict[str, Any], tenant: str, old: StoredRule | None) -> StoredRule:
        """Creates a rule, or updates `old` with immediate effect."""
        name = document.get("name")
        if not name:
            raise bad_request("Rule name should be specified!.")
        state = _state(document, old, "rule")
        filters = document.get("filters")
        if filters is None:
            raise bad_request("Rule filters are required!")
        if not isinstance(filters, list):
            raise bad_request("Filters json is not an array!")
        for item in filters:
            check_component(item, "FILTER")
        action_clazz = check_component(document.get("action"), "ACTION")
        weight = document.get("weight") or 0
        rule = StoredRule(
            id=old.id if old else self._components.new_id(),
            tenant=old.tenant if old else tenant,
            name=str(name),
            state=state,
            weight=weight if isinstance(weight, int) else 0,
            plugin_token=document.get("pluginToken"),
            filters=filters,
            processor=document.get("processor"),
            action=document["action"],
            additional_info=document.get("additionalInfo"),
        )
        self._check_plugin_of(rule, action_clazz)
        self._components.save(rule)
        if state == ACTIVE:
            self._run_rule(rule, "UPDATED")
        else:
            self._note(rule, "UPDATED" if old else "CREATED")
        self._store.commit()
        return rule

    def _check_plugin_of(self, rule: StoredRule, action_clazz: str) -> None:
        if rule.plugin_token is None:
            return
        plugin = self._components.plugin_by_token(rule.plugin_token)
        if plugin is None:
            raise bad_request("Rule points to non-existent plugin!")
        if plugin.tenant not in (NULL_UUID, rule.tenant):
            raise bad_request("Rule access plugin that belongs to different tenant!")
        if rule.state == ACTIVE and plugin.state != ACTIVE:
            raise bad_request("Can't save active rule that points to inactive plugin!")
        if action_clazz not in DESCRIPTORS[plugin.clazz].actions:
            raise bad_request(f"Rule's action is not supported by plugin with token {rule.plugin_token}!")

    async def activate_plugin(self, plugin: StoredPlugin) -> None:
        """Starts a plugin; one that runs is left alone (no leak: docs/servers/1.x.md#rules-and-plugins, row 16)."""
        if plugin.state == ACTIVE and self._engine.has_plugin(plugin.api_token):
            return
        plugin.state = ACTIVE
        self._components.save(plugin)
        await self._run_plugin(plugin, "ACTIVATED")
        self._store.commit()

    def suspend_plugin(self, plugin: StoredPlugin) -> None:
        if any(rule.state == ACTIVE for rule in self._components.rules_of_plugin(plugin.api_token)):
            raise bad_request("Can't suspend plugin that has active rules!")
        if plugin.state == SUSPENDED:
            return
        plugin.state = SUSPENDED
        self._components.save(plugin)
        self._engine.stop_plugin(plugin.api_token)
        self._note(plugin, "SUSPENDED")
        self._store.commit()

    def delete_plugin(self, plugin: StoredPlugin) -> None:
        if self._components.rules_of_plugin(plugin.api_token):
            raise bad_request("Plugin deletion will affect existing rules!")
        self._engine.stop_plugin(plugin.api_token)
        self._components.delete(plugin)
        self._events.forget(plugin.id)
        self._store.commit()

    def activate_rule(self, rule: StoredRule) -> None:
        if rule.state == ACTIVE:
            return
        plugin = None if rule.plugin_token is None else self._components.plugin_by_token(rule.plugin_token)
        if rule.plugin_token is not None and (plugin is None or plugin.state != ACTIVE):
            raise bad_request("Can't save active rule that points to inactive plugin!")
        rule.state = ACTIVE
        self._components.save(rule)
        self._run_rule(rule, "ACTIVATED")
        self._store.commit()

    def suspend_rule(self, rule: StoredRule) -> None:
        if rule.state == SUSPENDED:
            return
        rule.state = SUSPENDED
        self._components.save(rule)
        self._engine.stop_rule(rule)
        self._note(rule, "SUSPENDED")
        self._store.commit()

    def delete_rule(self, rule: StoredRule) -> None:
        self._engine.stop_rule(rule)
        self._components.delete(rule)
        self._events.forget(rule.id)
        self._store.commit()

    async def _run_plugin(self, plugin: StoredPlugin, event: str) -> None:
        self._note(plugin, event, await self._engine.start_plugin(plugin))

    def _run_rule(self, rule: StoredRule, event: str) -> None:
        self._note(rule, event, self._engine.start_rule(rule))

    def _note(self, component: StoredComponent, event: str, error: str | None = None) -> None:
        self._events.lifecycle(component.tenant, component.kind, component.id, event, error)


def _state(document: dict[str, Any], old: StoredComponent | None, what: str) -> str:
    state = document.get("state")
    expected = old.state if old else SUSPENDED
    if state is None:
        return expected
    if state != expected:
        raise bad_request(f"Use Activate/Suspend method to control state of the {what}!")
    return expected
