"""The plugin, filter and action classes of a 1.4 server, and the configuration that each requires.

docs/servers/1.x.md#rules-and-plugins, rows 10 and 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pacifictool.sandbox.refusals import bad_request

_CORE = "org.thingsboard.server.extensions.core"
KAFKA_PLUGIN = "org.thingsboard.server.extensions.kafka.plugin.KafkaPlugin"
KAFKA_ACTION = "org.thingsboard.server.extensions.kafka.action.KafkaPluginAction"

MESSAGE_TYPE_FILTER = f"{_CORE}.filter.MsgTypeFilter"
ATTRIBUTES_FILTER = f"{_CORE}.filter.DeviceAttributesFilter"
TELEMETRY_FILTER = f"{_CORE}.filter.DeviceTelemetryFilter"
METHOD_FILTER = f"{_CORE}.filter.MethodNameFilter"
DEVICE_TYPE_FILTER = f"{_CORE}.filter.DeviceTypeFilter"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One class. `required` maps configuration keys to the JSON type that their value must have."""

    kind: str
    required: dict[str, type]
    actions: tuple[str, ...] = ()
    """Of a plugin: the action classes it understands."""


def _filters(**required: type) -> Descriptor:
    return Descriptor("FILTER", required)


_TELEMETRY_ACTION = f"{_CORE}.action.telemetry.TelemetryPluginAction"
_RPC_ACTION = f"{_CORE}.action.rpc.RpcPluginAction"
_MAIL_ACTION = f"{_CORE}.action.mail.SendMailAction"
_REST_ACTION = "org.thingsboard.server.extensions.rest.action.RestApiCallPluginAction"
_RABBIT_ACTION = "org.thingsboard.server.extensions.rabbitmq.action.RabbitMqPluginAction"

DESCRIPTORS: dict[str, Descriptor] = {
    KAFKA_PLUGIN: Descriptor("PLUGIN", {"bootstrapServers": str}, (KAFKA_ACTION,)),
    f"{_CORE}.plugin.telemetry.TelemetryStoragePlugin": Descriptor("PLUGIN", {}, (_TELEMETRY_ACTION,)),
    f"{_CORE}.plugin.rpc.RpcPlugin": Descriptor("PLUGIN", {"defaultTimeout": int}),
    f"{_CORE}.plugin.time.TimePlugin": Descriptor("PLUGIN", {"timeFormat": str}, (_RPC_ACTION,)),
    f"{_CORE}.plugin.messaging.DeviceMessagingPlugin": Descriptor(
        "PLUGIN", {"maxDeviceCountPerCustomer": int, "defaultTimeout": int, "maxTimeout": int}, (_RPC_ACTION,)
    ),
    f"{_CORE}.plugin.mail.MailPlugin": Descriptor("PLUGIN", {"host": str, "port": int}, (_MAIL_ACTION,)),
    "org.thingsboard.server.extensions.rest.plugin.RestApiCallPlugin": Descriptor(
        "PLUGIN", {"host": str, "port": int}, (_REST_ACTION,)
    ),
    "org.thingsboard.server.extensions.rabbitmq.plugin.RabbitMqPlugin": Descriptor(
        "PLUGIN", {"host": str, "port": int}, (_RABBIT_ACTION,)
    ),
    MESSAGE_TYPE_FILTER: _filters(messageTypes=list),
    ATTRIBUTES_FILTER: _filters(filter=str),
    TELEMETRY_FILTER: _filters(filter=str),
    METHOD_FILTER: _filters(methodNames=list),
    DEVICE_TYPE_FILTER: _filters(deviceTypes=list),
    KAFKA_ACTION: Descriptor("ACTION", {"topic": str, "template": str}),
    _TELEMETRY_ACTION: Descriptor("ACTION", {}),
    _RPC_ACTION: Descriptor("ACTION", {}),
    _MAIL_ACTION: Descriptor("ACTION", {"fromTemplate": str, "toTemplate": str}),
    _REST_ACTION: Descriptor("ACTION", {"actionPath": str, "requestMethod": str}),
    _RABBIT_ACTION: Descriptor("ACTION", {"queueName": str, "template": str}),
}


def is_valid(descriptor: Descriptor, configuration: Any) -> bool:
    """Whether a configuration has what the class requires."""
    return isinstance(configuration, dict) and all(
        isinstance(configuration.get(key), type_) for key, type_ in descriptor.required.items()
    )


def check_component(document: Any, type_: str) -> str:
    """Checks a filter (`type_` FILTER) or action (ACTION) of a rule and returns its class.

    Raises 400 refusals in the platform's words.
    """
    if document is None:
        raise bad_request(f"{type_} is required!")
    if not isinstance(document, dict):
        raise bad_request(f"{type_}'s clazz is not set!")
    for key, kind in (("clazz", str), ("name", str), ("configuration", dict)):
        if key not in document:
            raise bad_request(f"{type_}'s {key} is not set!")
        if not isinstance(document[key], kind):
            raise bad_request(f"{type_}'s {key} is not valid!")
    clazz: str = document["clazz"]
    descriptor = DESCRIPTORS.get(clazz)
    if descriptor is None or descriptor.kind != type_:
        raise bad_request(f"{type_} clazz {clazz} is not a valid component!")
    if not is_valid(descriptor, document["configuration"]):
        raise bad_request(f"{type_} configuration is not valid!")
    return clazz
