"""The plugin and rule of a 1.x server that write the records of a `RecordSpec`.

Scripts and template rely on docs/servers/1.x.md#filters-and-templates. The template escapes nothing: what
`template_problem` names cannot be part of a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pacifictool.rest.descriptors import tutorial_plugin, tutorial_rule
from pacifictool.rest.forwarding.record import (
    DEVICE_NAME,
    DEVICE_TYPE,
    READING_TIME,
    TUTORIAL_RECORD,
    RecordAttribute,
    RecordSpec,
    is_identifier,
    js_text,
)

_MAPS: Final = {"client": "cs", "server": "ss", "shared": "shared"}
_VARIABLES: Final = frozenset({*_MAPS.values(), "date", "deviceId", DEVICE_NAME, DEVICE_TYPE})
"""What the template's context holds next to the telemetry."""
_MAP_MEMBER = re.compile(
    "clear|clone|compute|computeIfAbsent|computeIfPresent|containsKey|containsValue|empty|entrySet|equals|forEach|get"
    "|getOrDefault|getClass|hashCode|isEmpty|keySet|merge|notify|notifyAll|put|putAll|putIfAbsent|remove|replace"
    "|replaceAll|size|toString|values|wait"
)
"""Members of Java's maps, which hide attributes of their names from a script that asks by name."""
_REFERENCE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_BREAKS_TEXT = re.compile(r'["\\\x00-\x1f]')


def plugin_descriptor(name: str, token: str) -> dict[str, Any]:
    """The plugin, with the tutorial's producer."""
    return {**tutorial_plugin(), "name": name, "apiToken": token}


def rule_descriptor(name: str, token: str, topic: str, record: RecordSpec) -> dict[str, Any]:
    """The rule that hands records to the plugin with that token."""
    rule = tutorial_rule()
    devices, messages = rule["filters"]
    if record != TUTORIAL_RECORD:
        devices["name"], messages["name"] = "Devices to forward", "Messages to forward"
    devices["configuration"]["filter"] = _device_filter(record)
    messages["configuration"]["filter"] = " || ".join(map(_is_present, record.telemetry))
    rule["action"]["configuration"] |= {"topic": topic, "template": record_template(record)}
    return {**rule, "name": name, "pluginToken": token}


def template_problem(key: str) -> str | None:
    """Why the rule cannot forward telemetry of this key, as the end of a sentence; None when it can."""
    if key in _VARIABLES:
        return "templates of these servers have another variable of that name"
    if _REFERENCE.fullmatch(key) is None:
        return "templates of these servers take only keys of letters, digits, hyphens and underscores"
    return None


def breaks_template(text: str) -> bool:
    """Whether a record with this text would not be JSON."""
    return _BREAKS_TEXT.search(text) is not None


def record_template(record: RecordSpec) -> str:
    """The Velocity template of the record's JSON.

    Members that are always there are written as they are, the others in an #if with their comma. Only where no member
    is certain does a variable hold the comma. With several keys a text is written as a text of JSON: one that does not
    hold a number costs the record none of its other keys. A single key is written bare, as in the tutorial.
    """
    members = list(_members(record))
    certain = next((number for number, (condition, _) in enumerate(members) if condition is None), None)
    if certain is None:
        return _separated_by_variable(members, record.telemetry)
    parts = []
    for number, (condition, member) in enumerate(members):
        text = f"{member}, " if number < certain else member if number == certain else f", {member}"
        parts.append(text if condition is None else f"#if({condition}){text}#end")
    return f"{{{''.join(parts)}}}"


def _separated_by_variable(members: list[tuple[str | None, str]], taken: tuple[str, ...]) -> str:
    comma = "comma"
    while comma in taken:
        comma += "_"
    parts = [f'#if({condition})${{{comma}}}{member}#set(${comma} = ", ")#end' for condition, member in members]
    return f'{{#set(${comma} = ""){"".join(parts)}}}'


def _members(record: RecordSpec) -> Iterator[tuple[str | None, str]]:
    """Condition (None: always there) and text of each member."""
    for attribute in record.attributes:
        condition = None if attribute.required else f"${_MAPS[attribute.scope]}.containsKey('{attribute.key}')"
        yield condition, f"{_json(attribute.key)}:\"${_MAPS[attribute.scope]}.get('{attribute.key}')\""
    is_only = len(record.telemetry) == 1
    for key in record.telemetry:
        value = f"${key}.valueAsString"
        if not is_only:
            value = f"#if(${key}.dataType == 'STRING')\"{value}\"#else{value}#end"
        yield None if is_only else f"${key}", f"{_json(key)}:{value}"
    if record.device:
        yield None, f'{_json(DEVICE_NAME)}:"${DEVICE_NAME}"'
        yield None, f"{_json(READING_TIME)}:{_reading_time(record.telemetry)}"


def _reading_time(keys: tuple[str, ...]) -> str:
    """The time of whichever key the message carries: all keys of a reading have the same."""
    if len(keys) == 1:
        return f"${keys[0]}.ts"
    first, *others = keys
    return f"#if(${first})${first}.ts{''.join(f'#elseif(${key})${key}.ts' for key in others)}#end"


def _device_filter(record: RecordSpec) -> str:
    conditions = [f"typeof cs !== 'undefined' && cs.{DEVICE_TYPE} === {js_text(record.device_type)}"]
    conditions += [_has(attribute) for attribute in record.attributes if attribute.required]
    return " && ".join(conditions)


def _has(attribute: RecordAttribute) -> str:
    scope, key = _MAPS[attribute.scope], attribute.key
    return (
        f"{scope}.{key} != null"
        if is_identifier(key) and _MAP_MEMBER.fullmatch(key) is None
        else f"{scope}.containsKey('{key}')"
    )


def _is_present(key: str) -> str:
    # A bare name that is not there would throw; as a member of the global object it is undefined.
    return f"typeof {key} !== 'undefined' && {key} != null" if is_identifier(key) else f"this[{js_text(key)}] != null"


def _json(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)
