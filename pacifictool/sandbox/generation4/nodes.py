"""The rule nodes that the sandbox can run, by their Java class.

A node's configuration is read strictly, as on the server: a field that its class does not have keeps it from starting.
Configurations of older versions are brought up to date when a chain is saved (`upgraded`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pacifictool.sandbox.devices import CLIENT, SERVER, SHARED, SandboxDevices
from pacifictool.sandbox.generation4.javascript import JavaScript
from pacifictool.sandbox.generation4.kafka_node import KafkaNode
from pacifictool.sandbox.generation4.messages import (
    FAILURE,
    POST_ATTRIBUTES,
    POST_TELEMETRY,
    RELATION_OF_TYPE,
    SUCCESS,
    ChainMessage,
    Tell,
)
from pacifictool.sandbox.generation4.readings import metadata_text, parse_values
from pacifictool.sandbox.generation4.tbel import Tbel
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.kafka import LoginProperties
from pacifictool.sandbox.scripting import ScriptFailed
from pacifictool.sandbox.telemetry import TelemetryStore
from pacifictool.sandbox.values import PayloadRefused, Values

_PREFIX = "org.thingsboard.rule.engine."
KAFKA = f"{_PREFIX}kafka.TbKafkaNode"
INPUT, OUTPUT = f"{_PREFIX}flow.TbRuleChainInputNode", f"{_PREFIX}flow.TbRuleChainOutputNode"
TYPE_SWITCH = f"{_PREFIX}filter.TbMsgTypeSwitchNode"
TYPE_FILTER = f"{_PREFIX}filter.TbMsgTypeFilterNode"
SCRIPT_FILTER = f"{_PREFIX}filter.TbJsFilterNode"
ATTRIBUTES = f"{_PREFIX}metadata.TbGetAttributesNode"
TRANSFORM = f"{_PREFIX}transform.TbTransformMsgNode"
SAVE_TELEMETRY = f"{_PREFIX}telemetry.TbMsgTimeseriesNode"
SAVE_ATTRIBUTES = f"{_PREFIX}telemetry.TbMsgAttributesNode"
LOG = f"{_PREFIX}action.TbLogNode"
PROFILE = f"{_PREFIX}profile.TbDeviceProfileNode"
SEND_RPC = f"{_PREFIX}rpc.TbSendRPCRequestNode"

_ATTRIBUTE_FIELDS = frozenset({
    "fetchTo", "clientAttributeNames", "sharedAttributeNames", "serverAttributeNames", "latestTsKeyNames",
    "tellFailureIfAbsent", "getLatestValueWithTs",
})  # fmt: skip
_KAFKA_FIELDS = frozenset({
    "topicPattern", "keyPattern", "bootstrapServers", "retries", "batchSize", "linger", "bufferMemory", "acks",
    "otherProperties", "addMetadataKeyValuesAsKafkaHeaders", "kafkaHeadersCharset",
})  # fmt: skip
_SCRIPT_FIELDS = frozenset({"scriptLang", "jsScript", "tbelScript"})


class NodeRefused(Exception):
    """A node cannot start; the text is the error of its lifecycle event."""


class Node(Protocol):
    """A running node. `process` emits messages through `tell`, at once or later, any number of times."""

    def process(self, message: ChainMessage, tell: Tell) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """The resources that nodes use."""

    devices: SandboxDevices
    telemetry: TelemetryStore
    login: LoginProperties


class _Closing:
    """A node without resources to release."""

    def close(self) -> None:
        return


class TypeSwitch(_Closing):
    def process(self, message: ChainMessage, tell: Tell) -> None:
        tell(RELATION_OF_TYPE.get(message.type, "Other"), message, None)


class TypeFilter(_Closing):
    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._types = frozenset(configuration.get("messageTypes") or ())

    def process(self, message: ChainMessage, tell: Tell) -> None:
        tell("True" if message.type in self._types else "False", message, None)


Script = JavaScript | Tbel


def compile_script(configuration: Mapping[str, Any]) -> Script:
    """The script of a node in its configured language, by default JavaScript. Raises ScriptRefused."""
    if configuration.get("scriptLang") == "TBEL":
        return Tbel(str(configuration.get("tbelScript") or ""))
    return JavaScript(str(configuration.get("jsScript") or ""))


def run_filter(script: Script, message: ChainMessage) -> bool:
    """Raises ScriptFailed, also for a result that is not a Boolean."""
    result = script.run(message.data, message.metadata, message.type)
    if type(result) is not bool:
        raise ScriptFailed(f"Wrong result type: {_java_type(result)}")
    return result


def run_transform(script: Script, message: ChainMessage) -> list[ChainMessage]:
    """Raises ScriptFailed. A script may return several messages."""
    result = script.run(message.data, message.metadata, message.type)
    found = []
    for item in result if type(result) is list else [result]:
        if type(item) is not dict:
            raise ScriptFailed(f"Wrong result type: {_java_type(item)}")
        metadata = item.get("metadata")
        texts = {str(key): metadata_text(value) for key, value in metadata.items()} if type(metadata) is dict else None
        found.append(message.changed(type_=item.get("msgType"), data=item.get("msg"), metadata=texts))
    return found


def _java_type(value: Any) -> str:
    names = {dict: "OBJECT", list: "ARRAY", str: "STRING", bool: "BOOLEAN", int: "NUMBER", float: "NUMBER"}
    return names.get(type(value), "NULL")


class ScriptFilter(_Closing):
    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._script = compile_script(configuration)

    def process(self, message: ChainMessage, tell: Tell) -> None:
        try:
            passes = run_filter(self._script, message)
        except ScriptFailed as error:
            tell(FAILURE, message, str(error))
        else:
            tell("True" if passes else "False", message, None)


class Transform(_Closing):
    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._script = compile_script(configuration)

    def process(self, message: ChainMessage, tell: Tell) -> None:
        try:
            results = run_transform(self._script, message)
        except ScriptFailed as error:
            tell(FAILURE, message, str(error))
        else:
            for result in results:
                tell(SUCCESS, result, None)


class GetAttributes(_Closing):
    """Adds the device's attributes as `cs_`, `shared_` and `ss_` and its latest telemetry by key, all as texts."""

    def __init__(self, configuration: Mapping[str, Any], tools: Tools) -> None:
        self._scopes = [
            (scope, prefix, [str(name) for name in configuration.get(field) or ()])
            for scope, prefix, field in (
                (CLIENT, "cs_", "clientAttributeNames"),
                (SHARED, "shared_", "sharedAttributeNames"),
                (SERVER, "ss_", "serverAttributeNames"),
            )
        ]
        self._latest = [str(name) for name in configuration.get("latestTsKeyNames") or ()]
        self._into_data = configuration.get("fetchTo") == "DATA"
        self._insists = configuration.get("tellFailureIfAbsent") is True
        self._telemetry = tools.telemetry

    def process(self, message: ChainMessage, tell: Tell) -> None:
        found: dict[str, Any] = {}
        absent = []
        for scope, prefix, names in self._scopes:
            known = message.device.attributes[scope]
            for name in names:
                if name in known:
                    value = known[name]
                    found[prefix + name] = value if self._into_data else metadata_text(value)
                else:
                    absent.append(name)
        for name in self._latest:
            latest = self._telemetry.latest(message.device.entity.born, name)
            if latest is None:
                absent.append(name)
            else:
                found[name] = latest[1]
        if self._into_data:
            message = message.changed(data={**message.data, **found})
        else:
            message = message.changed(metadata={**message.metadata, **found})
        if absent and self._insists:
            tell(FAILURE, message, f"The following attribute/telemetry keys is not present in the DB: {absent}")
        else:
            tell(SUCCESS, message, None)


class _Saving(_Closing):
    """Stores the values of messages of one type."""

    accepted_type: str

    def process(self, message: ChainMessage, tell: Tell) -> None:
        if message.type != self.accepted_type:
            tell(FAILURE, message, f"Unsupported msg type: {message.type}")
            return
        try:
            values = parse_values(message.data, accepts_null=True)
        except PayloadRefused as error:
            tell(FAILURE, message, str(error))
            return
        self._save(message, values)
        tell(SUCCESS, message, None)

    def _save(self, message: ChainMessage, values: Values) -> None:
        raise NotImplementedError


class SaveTelemetry(_Saving):
    accepted_type = POST_TELEMETRY

    def __init__(self, tools: Tools) -> None:
        self._telemetry = tools.telemetry

    def _save(self, message: ChainMessage, values: Values) -> None:
        timestamp = message.metadata.get("ts", "")
        if not message.device.is_deleted:
            self._telemetry.add(
                message.device.entity.born, int(timestamp) if timestamp.lstrip("-").isdigit() else now_ms(), values
            )


class SaveAttributes(_Saving):
    accepted_type = POST_ATTRIBUTES

    def __init__(self, configuration: Mapping[str, Any], tools: Tools) -> None:
        scope = configuration.get("scope") or CLIENT
        if scope not in (CLIENT, SERVER, SHARED):
            raise NodeRefused(f"No enum constant org.thingsboard.server.common.data.AttributeScope.{scope}")
        self._scope: str = scope
        self._devices = tools.devices

    def _save(self, message: ChainMessage, values: Values) -> None:
        self._devices.put_attributes(message.device, self._scope, values, now_ms())


class PassOn(_Closing):
    """Nodes that the sandbox passes through without effect: logging, alarm rules of profiles, calls to devices."""

    def process(self, message: ChainMessage, tell: Tell) -> None:
        tell(SUCCESS, message, None)


class ChainInput(_Closing):
    """The entry to another chain; the engine follows it."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        chain = configuration.get("ruleChainId")
        if not isinstance(chain, str):
            raise NodeRefused("java.lang.IllegalArgumentException: Invalid UUID string: null")
        self.chain = chain
        self.goes_to_default = configuration.get("forwardMsgToDefaultRuleChain") is True

    def process(self, message: ChainMessage, tell: Tell) -> None:
        raise NotImplementedError("the engine follows chains itself")


class ChainOutput(_Closing):
    """The return to the input node, with the node's name as relation; the engine follows it."""

    def process(self, message: ChainMessage, tell: Tell) -> None:
        raise NotImplementedError("the engine follows chains itself")


@dataclass(frozen=True, slots=True)
class _Class:
    version: int
    """The version of its configuration that 4.3 writes (docs/servers/4.x.md#rule-chains, rows 9 and 17)."""
    make: Callable[[Mapping[str, Any], Tools], Node] | None
    fields: frozenset[str] | None = None
    """The allowed fields of a configuration; None if they are not checked here."""


_CLASSES: dict[str, _Class] = {
    TYPE_SWITCH: _Class(0, lambda _configuration, _tools: TypeSwitch()),
    TYPE_FILTER: _Class(0, lambda configuration, _tools: TypeFilter(configuration), frozenset({"messageTypes"})),
    SCRIPT_FILTER: _Class(0, lambda configuration, _tools: ScriptFilter(configuration), _SCRIPT_FIELDS),
    TRANSFORM: _Class(0, lambda configuration, _tools: Transform(configuration), _SCRIPT_FIELDS),
    ATTRIBUTES: _Class(1, GetAttributes, _ATTRIBUTE_FIELDS),
    SAVE_TELEMETRY: _Class(1, lambda _configuration, tools: SaveTelemetry(tools)),
    SAVE_ATTRIBUTES: _Class(3, SaveAttributes),
    LOG: _Class(0, lambda _configuration, _tools: PassOn()),
    PROFILE: _Class(1, lambda _configuration, _tools: PassOn()),
    SEND_RPC: _Class(0, lambda _configuration, _tools: PassOn()),
    INPUT: _Class(1, lambda configuration, _tools: ChainInput(configuration)),
    OUTPUT: _Class(0, lambda _configuration, _tools: ChainOutput()),
    KAFKA: _Class(1, None, _KAFKA_FIELDS),
}


async def start_node(type_: str, configuration: Any, tools: Tools) -> Node:
    """Starts a node. Raises NodeRefused, ScriptRefused, ProducerRefused."""
    clazz = _CLASSES.get(type_)
    if clazz is None:
        known = " (a class of the server that the sandbox cannot run)" if type_.startswith(_PREFIX) else ""
        raise NodeRefused(f"java.lang.ClassNotFoundException: {type_}{known}")
    if not isinstance(configuration, dict):
        raise NodeRefused('java.lang.IllegalArgumentException: argument "content" is null')
    for field in configuration:
        if clazz.fields is not None and field not in clazz.fields:
            raise NodeRefused(
                "com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException: "
                f'Unrecognized field "{field}" (class {type_.replace("Node", "NodeConfiguration")})'
            )
    if clazz.make is None:
        return await KafkaNode.start(configuration, tools.login)
    return clazz.make(configuration, tools)


def upgraded(type_: str, version: int, configuration: Any) -> tuple[int, Any]:
    """Version and configuration of a node as 4.3 saves an older one's (docs/servers/4.x.md#rule-chains, row 13)."""
    clazz = _CLASSES.get(type_)
    if clazz is None or version >= clazz.version or not isinstance(configuration, dict):
        return version, configuration
    changed = dict(configuration)
    if type_ == ATTRIBUTES:
        into_data = changed.pop("fetchToData", None)
        changed.setdefault("fetchTo", "DATA" if into_data is True else "METADATA")
    elif type_ == KAFKA:
        changed.pop("keySerializer", None)
        changed.pop("valueSerializer", None)
    elif type_ == INPUT:
        changed.setdefault("forwardMsgToDefaultRuleChain", False)
    return clazz.version, changed
