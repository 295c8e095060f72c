"""Names and keys that a scenario may hold: of devices and assets, of attributes, telemetry and results."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from pacifictool.tools.times import format_duration, parse_duration

MAX_NAME_LENGTH: Final = 255
"""Names of devices and assets: the platform's column is varchar(255)."""

DEVICE_NAME: Final = "deviceName"
"""Key of a record that holds the name of the device, where the scenario asks for it."""
READING_TIME: Final = "ts"
"""Key of a record that holds the reading's own time, in milliseconds since the epoch."""
DEVICE_TYPE: Final = "deviceType"
"""Client attribute that says which devices the platform forwards; its value is the type of the devices."""
RESERVED: Final = frozenset({DEVICE_NAME, READING_TIME})

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_ANALYTICS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FORBIDDEN = re.compile(r"""[,"'\\$#{}()\x00-\x1f\x7f]""")


def check_name(name: str, what: str = "name") -> str:
    """`name`, when a device, asset, group or type can have it; `what` is what errors call it. Raises ValueError with a
    sentence for the user."""
    if not name.strip():
        raise ValueError(f"a {what} must not be empty")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"a {what} has at most {MAX_NAME_LENGTH} characters, this one has {len(name)}")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in name):
        raise ValueError(f"a {what} must not hold control characters")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        raise ValueError(f"a {what} must be valid Unicode; this one holds bytes that are not")
    return name


def check_key(key: str) -> str:
    """`key`, when attributes, telemetry and results can have it.

    Templates and scripts of the platform hold keys in quotes, so that anything but quotes, backslashes, control
    characters and the signs that begin a reference can be part of one. Raises ValueError.
    """
    check_name(key, "key")
    if key != key.strip():
        raise ValueError(f"the key {key!r} begins or ends with a space")
    if (found := _FORBIDDEN.search(key)) is not None:
        raise ValueError(f"the key {key!r} holds {found[0]!r}, which scripts of the platform cannot have in a key")
    return key


def check_topic(topic: str) -> str:
    """`topic`, when Kafka can have a topic of that name. Raises ValueError."""
    if _TOPIC.fullmatch(topic) is None or topic in (".", ".."):
        raise ValueError(
            f"{topic!r} cannot be a topic: names of topics have 1 to 249 letters, digits, dots, hyphens and underscores"
        )
    return topic


def check_analytics_name(name: str) -> str:
    """`name`, when an analytics can have it. Raises ValueError."""
    if _ANALYTICS_NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is not possible: names of analytics have up to 64 letters, digits, hyphens and underscores, and "
            "begin with a letter or digit"
        )
    return name


def suggestion(name: str, known: Iterable[str]) -> str:
    """What an error adds to an unknown name: " (did you mean 'site'?)", or what there is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(map(repr, names))})" if names else ""


def plural(word: str) -> str:
    """The English plural of a label: "zones" of "zone", "batteries" of "battery", "buses" of "bus"."""
    if re.search(r"[^aeiou\W\d]y$", word, re.IGNORECASE):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search(r"(?:s|x|z|ch|sh)$", word, re.IGNORECASE) else f"{word}s"


def common_word(words: Iterable[str], otherwise: str) -> str:
    """The word if all are the same one, else `otherwise`: what to call things of several analytics."""
    different = set(words)
    return different.pop() if len(different) == 1 else otherwise


def capitalised(text: str) -> str:
    """With a capital at the beginning, and everything else as it is: "Zone A" stays "Zone A"."""
    return text[:1].upper() + text[1:]


Name = Annotated[str, AfterValidator(check_name)]
Key = Annotated[str, AfterValidator(check_key)]
Seconds = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a device: "site" is a client attribute, "server:tier" and "shared:tier" are of other scopes."""

    key: str
    """Its key on the platform and in the record."""
    scope: str = "client"

    @classmethod
    def parse(cls, text: Any) -> Self:
        """Raises ValueError with a sentence for the user."""
        if isinstance(text, cls):
            return text
        if not isinstance(text, str):
            raise ValueError(f'an attribute is a text, such as "site" or "server:tier", not {text!r}')  # noqa: TRY004
        scope, separator, key = text.partition(":")
        if not separator:
            return cls(check_key(text))
        if scope not in ("client", "server", "shared"):
            raise ValueError(f"{text!r}: the scopes of attributes are client, server and shared")
        return cls(check_key(key), scope)

    def __str__(self) -> str:
        return self.key if self.scope == "client" else f"{self.scope}:{self.key}"
