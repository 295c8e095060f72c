"""Telemetry and attribute values as 4.x parses them, and JSON as it writes it.

A number's literal decides its type: whole numbers written without a point are longs (`1e2` is 100), those with a
point doubles, and what neither can hold exactly becomes a text. Texts that are numbers become numbers, too
(JSON_TYPE_CAST_ENABLED, true by default). Objects and arrays are values of their own.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from pacifictool.sandbox.values import (
    InvalidJson,
    JsonText,
    PayloadRefused,
    Value,
    Values,
    java_double,
    json_value,
    without_lone_surrogates,
)

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_MAX_SCALE = 16
_MAX_DIGITS = 1000
_NUMBER_TEXT = re.compile(r"-?(?:[0-9]*\.)?[0-9]+")
_SIMPLE_LONG = re.compile(r"-?[0-9]{1,18}")


def number(literal: str) -> int | float | str:
    """The value of a number's literal: a long, a double, or a text if neither can represent it."""
    if _SIMPLE_LONG.fullmatch(literal):
        return int(literal)
    try:
        decimal = Decimal(literal)
    except InvalidOperation:
        return literal
    sign_digits_exponent = decimal.as_tuple()
    exponent = int(sign_digits_exponent.exponent)
    if abs(exponent) > _MAX_DIGITS:
        return literal
    is_whole = decimal == decimal.to_integral_value() if exponent < 0 else True
    if is_whole and ("." not in literal or "e" in literal.lower()):
        whole = int(decimal)
        return whole if _LONG_MIN <= whole <= _LONG_MAX else str(whole)
    return float(decimal) if -exponent <= _MAX_SCALE else format(decimal, "f")


_decoder = json.JSONDecoder(parse_float=number, parse_int=number, parse_constant=str, strict=False)


def parse_json(payload: bytes | str) -> Any:
    """Parses JSON. Raises InvalidJson, also for bytes outside of texts that are not UTF-8."""
    text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
    try:
        document = _decoder.decode(text)
    except (ValueError, RecursionError):
        raise InvalidJson("Invalid JSON body!") from None
    return without_lone_surrogates(document) if "\\ud" in text.lower() else document


def parse_values(document: Any, *, accepts_null: bool) -> Values:
    """A flat object of values. `accepts_null` skips nulls, otherwise they are refused. Raises PayloadRefused."""
    if type(document) is not dict:
        raise PayloadRefused(f"Can't parse value: {dump(document)}")
    values: Values = {}
    for key, value in document.items():
        kind = type(value)
        if kind is int or kind is float or kind is bool:
            values[key] = value
        elif kind is str:
            values[key] = number(value) if _NUMBER_TEXT.fullmatch(value) else value
        elif value is not None:
            values[key] = JsonText(dump(value))
        elif not accepts_null:
            raise PayloadRefused("Can't parse value: null")
    return values


def _timestamp(value: Any) -> int:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            timestamp = int(value)
        except (ValueError, OverflowError):
            raise PayloadRefused(f'For input string: "{value}"') from None
        if _LONG_MIN <= timestamp <= _LONG_MAX:
            return timestamp
    raise PayloadRefused(f'For input string: "{value}"')


def parse_telemetry(document: Any, now_ms: int, *, accepts_null: bool) -> list[tuple[int, Values]]:
    """A telemetry payload, an object or an array of them, in the order sent. Raises PayloadRefused."""
    readings = []
    for element in document if type(document) is list else [document]:
        if type(element) is dict and "ts" in element and "values" in element:
            timestamp = _timestamp(element["ts"])
            readings.append((timestamp, parse_values(element["values"], accepts_null=accepts_null)))
        else:
            readings.append((now_ms, parse_values(element, accepts_null=accepts_null)))
    return readings


def message_data(values: Values) -> dict[str, Any]:
    """Values as the rule engine sees them: JSON unfolded."""
    return {key: json_value(value) if type(value) is JsonText else value for key, value in values.items()}


def metadata_text(value: Value) -> str:
    """An attribute as message metadata, which are all texts."""
    if value is True or value is False:
        return str(value).lower()
    return java_double(value) if type(value) is float else str(value)


def dump(document: Any) -> str:
    """JSON without spaces, doubles as Java prints them: `31.0`, `1.0E-7`."""
    if type(document) is dict:
        if _is_plain(document):
            return _encode(document)
        return "{" + ",".join(f"{_encode(str(key))}:{dump(value)}" for key, value in document.items()) + "}"
    if type(document) is list:
        # A page of telemetry has a thousand of them: at once, they take a third of the time.
        if all(type(each) is dict and _is_plain(each) for each in document):
            return _encode(document)
        return "[" + ",".join(map(dump, document)) + "]"
    if type(document) is float:
        text = java_double(document)
        return text if math.isfinite(document) else f'"{text}"'
    return _encode(document)


def _is_plain(document: dict[str, Any]) -> bool:
    """Whether Python prints it as Java does: without doubles and objects."""
    return not any(type(value) in _NOT_PLAIN for value in document.values())


_NOT_PLAIN = (float, dict, list)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
