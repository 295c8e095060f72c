"""Numbers, texts and booleans as the platform takes and gives them.

A JSON number with a point is a double, any other a 64-bit integer; `1e3` and integers of 20 digits are refused; null
and nested values are refused or dropped. What comes back is always a text (docs/servers/1.x.md#telemetry-over-rest,
rows 3, 4, 5 and 12).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from pacifictool.errors import InvalidRequest, UnexpectedAnswer

Value: TypeAlias = float | int | str | bool

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,300})")
_DECIMAL = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")

NUMBER = r"-?(0|[1-9][0-9]{0,300}|[0-9]{1,400}\.[0-9]{1,400}([eE][+-]?[0-9]{1,4})?|[0-9]{1,400}[eE][+-]?[0-9]{1,4})"
"""Texts that `decode_text` takes for numbers, as a regular expression for those who read many; beyond a double's range
they stay texts."""


def encode_object(values: Mapping[str, Value]) -> str:
    """A flat JSON object that every server generation reads the same. Raises InvalidRequest."""
    return "{" + ",".join(f"{_encode_text(key)}:{_encode_value(key, value)}" for key, value in values.items()) + "}"


def _encode_value(key: str, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not _LONG_MIN <= value <= _LONG_MAX:
            raise InvalidRequest(
                f"{key}: {value if abs(value) < 10**30 else 'a huge integer'} does not fit into 64 bits.",
                hint="Send it as a float or as text.",
            )
        return str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRequest(f"{key}: {value} is not a number that the platform can store.")
        # float.__repr__: the shortest text that reads back as the same double, also for subclasses such as numpy's.
        text = format(Decimal(float.__repr__(value)), "f")
        return text if "." in text else f"{text}.0"
    if isinstance(value, str):
        return _encode_text(value)
    raise InvalidRequest(
        f"{key}: the platform stores numbers, texts and booleans, not {type(value).__name__}.",
        hint="Leave the key out, or send JSON as text.",
    )


def _encode_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)


def decode_text(text: Any, key: str) -> Value | None:
    """A value as the platform gives it, back as what it was: a number where the text is one, or true or false.

    A text that was written as "31" comes back as the number 31: the platform does not distinguish the two.
    """
    if text is None or isinstance(text, bool | int):
        return text
    if isinstance(text, float):
        return text if math.isfinite(text) else str(text)
    if not isinstance(text, str):
        raise UnexpectedAnswer(f"The server gives a JSON {type(text).__name__} as the value of {key!r}.")
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and ("." in text or "e" in text or "E" in text):
        number = float(text)
        return number if math.isfinite(number) else text
    return {"true": True, "false": False}.get(text, text)
