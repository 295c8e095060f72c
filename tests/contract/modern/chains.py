"""Rule chains of the suite."""

from __future__ import annotations

import copy
from typing import Any, Final

from tests.contract.versions import Version

_ENGINE: Final = "org.thingsboard.rule.engine"
TYPE_FILTER: Final = f"{_ENGINE}.filter.TbMsgTypeFilterNode"
SCRIPT_FILTER: Final = f"{_ENGINE}.filter.TbJsFilterNode"
ATTRIBUTES: Final = f"{_ENGINE}.metadata.TbGetAttributesNode"
TRANSFORM: Final = f"{_ENGINE}.transform.TbTransformMsgNode"
KAFKA: Final = f"{_ENGINE}.kafka.TbKafkaNode"
_SERIALIZER: Final = "org.apache.kafka.common.serialization.StringSerializer"
TBEL_NUMBER: Final = (
    "(msg.windSpeed instanceof Integer || msg.windSpeed instanceof Long || msg.windSpeed instanceof Double)"
)
SHAPE: Final = (
    "return {msg: {geoZone: metadata.cs_geoZone, windSpeed: msg.windSpeed}, metadata: metadata, msgType: msgType};"
)


def node(type_: str, name: str, configuration: dict[str, Any], version: int = 0) -> dict[str, Any]:
    return {"type": type_, "name": name, "configurationVersion": version, "configuration": configuration}


def serializers(version: Version, name: str = _SERIALIZER) -> dict[str, str]:
    """What a Kafka node needs before 4.0, and may not have from then on (docs/servers/2.x-3.x.md#nodes, row 2)."""
    return {} if version >= (4,) else {"keySerializer": name, "valueSerializer": name}


def kafka_node(name: str, configuration: dict[str, Any], version: Version) -> dict[str, Any]:
    """A Kafka node as a server of this version writes it; the configuration is complete but for the serializers."""
    return node(KAFKA, name, configuration | serializers(version), 1 if version >= (4,) else 0)


def kafka_configuration(bootstrap: str, topic: str, **more: Any) -> dict[str, Any]:
    return {
        "topicPattern": topic,
        "keyPattern": None,
        "bootstrapServers": bootstrap,
        "retries": 0,
        "batchSize": 16384,
        "linger": 0,
        "bufferMemory": 33554432,
        "acks": "-1",
        "otherProperties": {},
        "addMetadataKeyValuesAsKafkaHeaders": False,
        "kafkaHeadersCharset": "UTF-8",
    } | more


def weather_stations(
    version: Version,
    device_type: str,
    bootstrap: str,
    topic: str,
    *,
    language: str = "TBEL",
    guard: str = TBEL_NUMBER,
    **kafka: Any,
) -> dict[str, Any]:
    """Telemetry of devices with this `deviceType` attribute → zone and wind speed → Kafka, for a server of `version`."""
    tbel = (
        f"return metadata.cs_deviceType == '{device_type}' && metadata.cs_geoZone != null"
        f" && metadata.cs_geoZone != '' && {guard};"
    )
    javascript = (
        f"return metadata.cs_deviceType === '{device_type}' && !!metadata.cs_geoZone"
        " && typeof msg.windSpeed === 'number';"
    )
    attributes = {
        "fetchTo": "METADATA",
        "clientAttributeNames": ["deviceType", "geoZone"],
        "sharedAttributeNames": [],
        "serverAttributeNames": [],
        "latestTsKeyNames": [],
        "tellFailureIfAbsent": False,
        "getLatestValueWithTs": False,
    }
    nodes = [
        node(TYPE_FILTER, "Post telemetry only", {"messageTypes": ["POST_TELEMETRY_REQUEST"]}),
        node(ATTRIBUTES, "Client attributes", attributes, 1),
        node(SCRIPT_FILTER, "Is ours", {"scriptLang": language, "jsScript": javascript, "tbelScript": tbel}),
        node(TRANSFORM, "Shape", {"scriptLang": language, "jsScript": SHAPE, "tbelScript": SHAPE}),
        kafka_node("Kafka", kafka_configuration(bootstrap, topic, **kafka), version),
    ]
    relations = ("True", "Success", "True", "Success")
    connections = [
        {"fromIndex": index, "toIndex": index + 1, "type": relation} for index, relation in enumerate(relations)
    ]
    return {"firstNodeIndex": 0, "nodes": nodes, "connections": connections, "ruleChainConnections": None}


def old_fashioned(device_type: str, bootstrap: str, topic: str) -> dict[str, Any]:
    """The same chain as servers of 2.x and 3.0 write it: fewer fields, serializers, JavaScript only, no versions."""
    metadata = weather_stations((2,), device_type, bootstrap, topic)
    for found in metadata["nodes"]:
        del found["configurationVersion"]
        configuration = found["configuration"]
        if found["type"] == ATTRIBUTES:
            for field in ("fetchTo", "tellFailureIfAbsent", "getLatestValueWithTs"):
                del configuration[field]
        elif found["type"] == KAFKA:
            for field in ("keyPattern", "addMetadataKeyValuesAsKafkaHeaders", "kafkaHeadersCharset"):
                del configuration[field]
        elif found["type"] in (SCRIPT_FILTER, TRANSFORM):
            found["configuration"] = {"jsScript": configuration["jsScript"]}
    return metadata


def with_kafka(metadata: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy whose Kafka node has other settings."""
    changed = copy.deepcopy(metadata)
    changed["nodes"][-1]["configuration"] |= changes
    return changed
