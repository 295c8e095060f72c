"""The rule engine of 1.x: every message of a device passes the active rules one after the other.

A message is first stored (the system's telemetry rule), then each active rule in order of weight and creation tests
its filters and, if they hold, renders its template and hands the text to its plugin. With `sync` the next rule waits
for Kafka. `done` is called only when all rules have succeeded and the message is committed: that is what a PUBACK
means on this platform. A filter that throws, or a message that Kafka does not accept, ends the flow without a PUBACK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pacifictool.sandbox.devices import CLIENT, SERVER, SHARED, SandboxDevice, SandboxDevices
from pacifictool.sandbox.events import EventLog
from pacifictool.sandbox.generation1 import descriptors
from pacifictool.sandbox.generation1.components import StoredPlugin, StoredRule
from pacifictool.sandbox.generation1.kafka_plugin import KafkaForwarder
from pacifictool.sandbox.generation1.nashorn import compile_filter, names_json, scopes_json
from pacifictool.sandbox.generation1.templates import (
    AttributeMap,
    Template,
    TemplateFailed,
    TemplateReading,
    TemplateRefused,
    attribute_maps,
)
from pacifictool.sandbox.kafka import LoginProperties, ProducerRecord, ProducerRefused
from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import TelemetryStore
from pacifictool.sandbox.values import Values

POST_TELEMETRY, POST_ATTRIBUTES, GET_ATTRIBUTES, RPC = (
    "POST_TELEMETRY", "POST_ATTRIBUTES", "GET_ATTRIBUTES", "RPC_REQUEST",
)  # fmt: skip

Done = Callable[[str | None], None]
"""Called once: with None when every rule succeeded, else with a reason (then the device gets no PUBACK)."""


@dataclass(slots=True)
class RuleMessage:
    """What a device sent. `readings` are (ts in ms, values) of telemetry; `values` are attributes."""

    type: str
    readings: list[tuple[int, Values]]
    values: Values
    method: str = ""


Filter = Callable[[SandboxDevice, RuleMessage], bool]


def _merge(readings: list[tuple[int, Values]]) -> list[tuple[int, Values]]:
    """Elements of one timestamp become one reading, in the iteration order of a Java HashMap of timestamps.

    That order decides which of several timestamps' values a template sees, so an array gives an arbitrary one.
    """
    if len(readings) == 1:
        return readings
    merged: dict[int, Values] = {}
    for timestamp, values in readings:
        merged[timestamp] = merged.get(timestamp, {}) | values
    capacity = 16
    while len(merged) > capacity * 0.75:
        capacity *= 2

    def bucket(timestamp: int) -> int:
        folded = (timestamp ^ (timestamp >> 32)) & 0xFFFFFFFF
        return (folded ^ (folded >> 16)) & (capacity - 1)

    return sorted(merged.items(), key=lambda item: bucket(item[0]))


@dataclass(frozen=True, slots=True)
class _View:
    """A device's attributes as scripts and templates see them; rebuilt after a change."""

    names: str
    """All attributes by bare name, as JSON for scripts."""
    scopes: str
    """The maps cs, ss and shared, as JSON for scripts."""
    maps: dict[str, AttributeMap]
    """The same maps for templates."""


def _view(device: SandboxDevice) -> _View:
    view = device.derived
    if not isinstance(view, _View):
        scopes = {"cs": device.attributes[CLIENT], "ss": device.attributes[SERVER], "shared": device.attributes[SHARED]}
        names: Values = {}
        for values in scopes.values():
            names |= {key: value for key, value in values.items() if key.lower() not in scopes}
        view = device.derived = _View(names_json(names), scopes_json(scopes), attribute_maps(scopes))
    return view


def _attributes_filter(configuration: Any) -> Filter:
    script = compile_filter(configuration["filter"])

    def test(device: SandboxDevice, _message: RuleMessage) -> bool:
        view = _view(device)
        return script.test(view.names, view.scopes)

    return test


def _telemetry_filter(configuration: Any) -> Filter:
    script = compile_filter(configuration["filter"])

    def test(_device: SandboxDevice, message: RuleMessage) -> bool:
        return message.type == POST_TELEMETRY and any(
            script.test(names_json(values)) for _, values in _merge(message.readings)
        )

    return test


def _make_filter(document: Any) -> Filter:
    """Compiles one filter. Raises ScriptRefused."""
    configuration, clazz = document["configuration"], document["clazz"]
    if clazz == descriptors.ATTRIBUTES_FILTER:
        return _attributes_filter(configuration)
    if clazz == descriptors.TELEMETRY_FILTER:
        return _telemetry_filter(configuration)
    if clazz == descriptors.MESSAGE_TYPE_FILTER:
        types = frozenset(str(name) for name in configuration["messageTypes"])
        return lambda _device, message: message.type in types
    if clazz == descriptors.DEVICE_TYPE_FILTER:
        names = frozenset(str(item.get("name")) for item in configuration["deviceTypes"] if isinstance(item, dict))
        return lambda device, _message: device.entity.type in names
    methods = frozenset(str(item.get("name")) for item in configuration["methodNames"] if isinstance(item, dict))
    return lambda _device, message: message.type == RPC and message.method in methods


class _RunningRule:
    """A rule ready to run. Raises ScriptRefused, TemplateRefused."""

    def __init__(self, rule: StoredRule) -> None:
        self.rule = rule
        self.order = (rule.weight, rule.id[14:18], rule.id[9:13], rule.id[:8])
        self.filters = [_make_filter(document) for document in rule.filters]
        self.template: Template | None = None
        if rule.action["clazz"] == descriptors.KAFKA_ACTION:
            configuration = rule.action["configuration"]
            self.topic: str = configuration["topic"]
            self.sync = configuration.get("sync") is True
            self.template = Template(configuration["template"])

    def matches(self, device: SandboxDevice, message: RuleMessage) -> bool:
        return all(test(device, message) for test in self.filters)


@dataclass(slots=True)
class _Flow:
    """One message on its way through the rules."""

    device: SandboxDevice
    message: RuleMessage
    chain: list[_RunningRule]
    done: Done
    next_rule: int = 0


class RuleEngine:
    """Runs messages through the active rules. All in the event loop's thread."""

    def __init__(
        self, store: Store, telemetry: TelemetryStore, devices: SandboxDevices, events: EventLog, login: LoginProperties
    ) -> None:
        self._store = store
        self._login = login
        self._telemetry = telemetry
        self._devices = devices
        self._events = events
        self._forwarders: dict[str, KafkaForwarder | None] = {}
        self._rules: dict[str, _RunningRule] = {}
        self._chains: dict[str, list[_RunningRule]] = {}

    async def start_plugin(self, plugin: StoredPlugin) -> str | None:
        """Starts or restarts a plugin; returns the reason if it failed, for its lifecycle event."""
        self.stop_plugin(plugin.api_token)
        self._forwarders[plugin.api_token] = None
        if plugin.clazz != descriptors.KAFKA_PLUGIN:
            return None
        try:
            forwarder = await KafkaForwarder.start(plugin.configuration, self._login)
        except ProducerRefused as error:
            return str(error)
        previous = self._forwarders.get(plugin.api_token)
        if previous is not None:
            previous.close()
        self._forwarders[plugin.api_token] = forwarder
        return None

    def has_plugin(self, token: str) -> bool:
        """Whether a start of the plugin was attempted."""
        return token in self._forwarders

    def stop_plugin(self, token: str) -> None:
        forwarder = self._forwarders.pop(token, None)
        if forwarder is not None:
            forwarder.close()

    def start_rule(self, rule: StoredRule) -> str | None:
        """Adds or replaces a rule in its tenant's chain; returns the reason if it failed: it is then skipped."""
        self.stop_rule(rule)
        try:
            self._rules[rule.id] = _RunningRule(rule)
        except (ScriptRefused, TemplateRefused) as error:
            return f"java.lang.IllegalArgumentException: {error}"
        self._chains.clear()
        return None

    def stop_rule(self, rule: StoredRule) -> None:
        self._rules.pop(rule.id, None)
        self._chains.clear()

    def close(self) -> None:
        for token in list(self._forwarders):
            self.stop_plugin(token)

    def process(self, device: SandboxDevice, message: RuleMessage, now_ms: int, done: Done) -> None:
        """Stores a message, runs the rules and calls `done`, never before this call returns."""
        if message.type == POST_TELEMETRY:
            if not device.is_deleted:
                for timestamp, values in message.readings:
                    self._telemetry.add(device.entity.born, timestamp, values)
        elif message.type == POST_ATTRIBUTES:
            self._devices.put_attributes(device, CLIENT, message.values, now_ms)
        self._advance(_Flow(device, message, self._chain(device.entity.tenant), done))

    def _chain(self, tenant: str) -> list[_RunningRule]:
        chain = self._chains.get(tenant)
        if chain is None:
            chain = [running for running in self._rules.values() if running.rule.tenant == tenant]
            chain = self._chains[tenant] = sorted(chain, key=lambda running: running.order)
        return chain

    def _advance(self, flow: _Flow) -> None:
        """Continues with the next rule, until one has to wait for Kafka."""
        while flow.next_rule < len(flow.chain):
            running = flow.chain[flow.next_rule]
            flow.next_rule += 1
            try:
                if running.template is None or not running.matches(flow.device, flow.message):
                    continue
                text = running.template.render(_template_context(flow.device, flow.message))
            except (ScriptFailed, TemplateFailed) as error:
                self._fail(flow, running.rule, str(error))
                return
            forwarder = self._forwarders.get(running.rule.plugin_token or "")
            if forwarder is None:
                self._fail(flow, running.rule, "The plugin is not running.")
                return
            record = ProducerRecord(text.encode("utf-8", "replace"))
            if running.sync:
                self._store.commit_later()
                forwarder.send(running.topic, record, partial(self._sent, flow, running.rule))
                return
            forwarder.send(running.topic, record, _ignore)
        self._store.after_commit(partial(flow.done, None))

    def _sent(self, flow: _Flow, rule: StoredRule, error: str | None) -> None:
        if error is None:
            self._advance(flow)
        else:
            self._fail(flow, rule, error)

    def _fail(self, flow: _Flow, rule: StoredRule, reason: str) -> None:
        self._events.error(rule.tenant, rule.kind, rule.id, "onRuleProcessingMsg", reason)
        self._store.after_commit(partial(flow.done, reason))


def _template_context(device: SandboxDevice, message: RuleMessage) -> dict[str, Any]:
    context: dict[str, Any] = dict(_view(device).maps)
    if message.type == POST_TELEMETRY:
        for timestamp, values in _merge(message.readings):
            for key, value in values.items():
                context[key] = TemplateReading(key, timestamp, value)
    entity = device.entity
    context["deviceId"], context["deviceName"], context["deviceType"] = entity.id, entity.name, entity.type
    return context


def _ignore(_error: str | None) -> None:
    """For messages whose result is ignored (sync: false)."""
