"""Telemetry and attribute values: how they are read from JSON, and how Java prints them.

A value is a Python `int` (long), `float` (double), `str` or `bool`; the type is the platform's data type. A number is
a double if its literal holds a point and a long otherwise, so `1e3` and integers beyond 64 bits are refused
(docs/servers/1.x.md#telemetry-over-rest, rows 3 and 4). The words `NaN` and `Infinity` are read as texts, which is
what the server's lenient parser makes of them.
"""

from __future__ import annotations

import json
import math
from typing import Any


class JsonText(str):
    """An object or array as its JSON, a data type of servers from 2.5.3 on; 1.x takes none."""

    __slots__ = ()


Value = int | float | str | bool
Values = dict[str, Value]

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1


class PayloadRefused(Exception):
    """A payload that the platform does not accept; the text is the platform's own."""


class InvalidJson(PayloadRefused):
    """The payload is not JSON at all."""


class _NumberWithoutPoint(float):
    """A number such as 1e3: neither a double (no point) nor a long for the platform."""


def _float(literal: str) -> float:
    return float(literal) if "." in literal else _NumberWithoutPoint(literal)


_decoder = json.JSONDecoder(parse_float=_float, parse_constant=str, strict=False)


def parse_json(payload: bytes | str) -> Any:
    """Reads JSON as the platform's telemetry parser does. Raises InvalidJson.

    Invalid UTF-8 is replaced, as on the server.
    """
    text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
    try:
        document = _decoder.decode(text)
        return without_lone_surrogates(document) if "\\ud" in text.lower() else document
    except (ValueError, RecursionError):
        raise InvalidJson("Invalid JSON body!") from None


def without_lone_surrogates(document: Any) -> Any:
    """Replaces lone surrogates, which JSON can spell ("\\ud800") and UTF-8 cannot encode, by "?", as Java does."""
    if isinstance(document, str):
        return document.encode("utf-8", "replace").decode()
    if isinstance(document, list):
        return [without_lone_surrogates(item) for item in document]
    if isinstance(document, dict):
        return {without_lone_surrogates(key): without_lone_surrogates(value) for key, value in document.items()}
    return document


def _refuse(value: object) -> PayloadRefused:
    return PayloadRefused(f"Can't parse value: {compact_json(value)}")


def compact_json(document: object) -> str:
    """JSON without spaces and without escaped characters."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def json_bytes(document: object) -> bytes:
    """The same as UTF-8."""
    return compact_json(document).encode("utf-8", "replace")


def parse_values(document: Any) -> Values:
    """Checks a flat object of values. Raises PayloadRefused for null, nested and too long values."""
    if type(document) is not dict:
        raise _refuse(document)
    for value in document.values():
        kind = type(value)
        if kind is str or kind is float or kind is bool:
            continue
        if (kind is int and not _LONG_MIN <= value <= _LONG_MAX) or kind is _NumberWithoutPoint:
            raise PayloadRefused("Big integer values are not supported!")
        if kind is not int:
            raise _refuse(value)
    return document


def _timestamp(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _refuse(value)
    try:
        timestamp = int(value)
    except (ValueError, OverflowError):
        raise PayloadRefused(f'For input string: "{value}"') from None
    if not _LONG_MIN <= timestamp <= _LONG_MAX:
        raise PayloadRefused(f'For input string: "{value}"')
    return timestamp


def parse_reading(document: Any, now_ms: int) -> tuple[int, Values]:
    """One element of a telemetry payload: `{"ts":…,"values":{…}}`, or bare values that get `now_ms`."""
    if type(document) is not dict:
        raise _refuse(document)
    if "ts" in document and "values" in document:
        return _timestamp(document["ts"]), parse_values(document["values"])
    return now_ms, parse_values(document)


def parse_telemetry(document: Any, now_ms: int) -> list[tuple[int, Values]]:
    """A whole telemetry payload, an object or an array of them, in the order sent. Raises PayloadRefused."""
    if type(document) is list:
        return [parse_reading(element, now_ms) for element in document]
    return [parse_reading(document, now_ms)]


def json_value(value: Value) -> Any:
    """The value as JSON can hold it: infinite doubles become texts, and JSON is unfolded."""
    if type(value) is JsonText:
        return json.loads(value)
    return java_text(value) if type(value) is float and math.isinf(value) else value


def java_text(value: Value) -> str:
    """The value as the platform prints it: "31", "1.23456789E7", "true"."""
    if type(value) is float:  # what nearly all are
        return java_double(value)
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if type(value) is int:
        return str(value)
    return java_double(float(value))


def java_double(number: float) -> str:
    """Java's Double.toString (shortest digits, as since Java 19)."""
    if 1e-3 <= abs(number) < 1e7 or number == 0:
        # Python switches to an exponent below 1e-4 and above 1e16 only, so this is plain decimal with a point.
        return repr(number)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
    sign, digits, exponent = _decompose(number)
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"


def _decompose(number: float) -> tuple[str, str, int]:
    """Sign, significant digits and decimal exponent of the shortest representation."""
    mantissa, _, exponent_text = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    exponent = int(exponent_text or 0) + len(whole) - 1
    digits = whole + fraction
    stripped = digits.lstrip("0")
    exponent -= len(digits) - len(stripped)
    return "-" if number < 0 else "", stripped.rstrip("0") or "0", exponent
