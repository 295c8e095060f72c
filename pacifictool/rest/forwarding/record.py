"""What a record of the Kafka topic holds, and how keys and texts are written in the scripts that make it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

DEVICE_TYPE: Final = "deviceType"
DEVICE_NAME: Final = "deviceName"
READING_TIME: Final = "ts"

_PLAIN_TEXT = re.compile(r"[A-Za-z0-9 _.:-]*")
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_RESERVED_WORD = re.compile(
    "break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|export|extends|false|finally|for"
    "|function|if|implements|import|in|instanceof|interface|let|new|null|package|private|protected|public|return"
    "|static|super|switch|this|throw|true|try|typeof|var|void|while|with|yield"
)


@dataclass(frozen=True, slots=True)
class RecordAttribute:
    """An attribute of the device that goes into the record."""

    key: str
    scope: str = "client"
    """client, server or shared."""
    required: bool = True
    """Whether messages of a device without it are not forwarded; otherwise their records do not have it."""


@dataclass(frozen=True, slots=True)
class RecordSpec:
    """Which messages are forwarded, and the members of their records: attributes, telemetry, `deviceName` and `ts`.

    A message is forwarded when its device has the client attribute `deviceType` with the value `device_type` and all
    required attributes, and when it carries at least one of the keys of telemetry. Keys that it does not carry are
    left out of the record.
    """

    device_type: str
    attributes: tuple[RecordAttribute, ...]
    telemetry: tuple[str, ...]
    device: bool = False
    """Whether the record has the device's name and the reading's own time in ms, `deviceName` and `ts`."""

    @property
    def is_simple(self) -> bool:
        """Whether nothing can be absent from the record, as in the tutorial's."""
        required = all(attribute.required and attribute.scope == "client" for attribute in self.attributes)
        return required and len(self.telemetry) == 1 and not self.device


TUTORIAL_RECORD: Final = RecordSpec("WeatherStation", (RecordAttribute("geoZone"),), ("windSpeed",))
"""The record of the tutorial, whose rule and rule chain are resources of the package: what is made equals them."""


def is_identifier(key: str) -> bool:
    """Whether JavaScript (ECMAScript 5) takes the key as a name."""
    return _IDENTIFIER.fullmatch(key) is not None and _RESERVED_WORD.fullmatch(key) is None


def js_text(text: str) -> str:
    """The text as a literal of JavaScript, with whatever is unusual in it escaped."""
    return f"'{text}'" if _PLAIN_TEXT.fullmatch(text) else json.dumps(text)


def js_member(owner: str, key: str) -> str:
    """`owner.key`, or `owner['the key']`."""
    return f"{owner}.{key}" if is_identifier(key) else f"{owner}[{js_text(key)}]"
