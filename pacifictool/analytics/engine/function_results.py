"""What a function returned, as it will be posted."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pacifictool.functions import Alarm, EntityKind, Result, Window, finite_values

_MAX_NAME_LENGTH: Final = 255
"""As of pacifictool.scenario, which workers cannot import."""


@dataclass(frozen=True, slots=True)
class Returned:
    """Results and alarms of one call."""

    results: tuple[Result, ...] = ()
    """Values are finite floats; each result has at least one."""
    alarms: tuple[Alarm, ...] = ()
    """With entity and kind filled in, and details that JSON can hold."""


def posted(
    returned: Any, window: Window, *, kind: EntityKind, forwarded: Collection[str], devices: Iterable[str] | None
) -> Returned:
    """What is posted of what a function returned: nothing of None; a mapping as the result of the group's entity.

    `devices` are those of the readings, None when their names are not forwarded. Raises TypeError or ValueError with
    the end of a sentence for the author.
    """
    if returned is None:
        return Returned()
    if isinstance(returned, Mapping):
        returned = [Result(window.entity, returned, kind)]
    elif isinstance(returned, Result | Alarm):
        returned = [returned]
    elif not isinstance(returned, list):
        raise TypeError(f"{described(returned)} instead of a mapping of results, or Results and Alarms")
    results, alarms = [], []
    for each in returned:
        if isinstance(each, Result):
            results.append(_result(each, forwarded, devices))
        elif isinstance(each, Alarm):
            alarms.append(_alarm(each, window, kind))
        else:
            raise TypeError(f"{described(each)} among its results, which is neither a Result nor an Alarm")
    return Returned(tuple(each for each in results if each.values), tuple(alarms))


def described(value: Any) -> str:
    """What kind of thing a value is: "a pandas DataFrame", "the number 3.5"."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if package in ("pandas", "numpy", "polars"):
        hint = " (its to_dict() is a mapping)" if kind.__name__ == "Series" else ""
        return f"a {package} {kind.__name__}{hint}"
    if isinstance(value, int | float | str | bool):
        return f"the {kind.__name__} {reprlib.repr(value)}"
    return f"an object of type {kind.__qualname__}"


def _result(result: Result, forwarded: Collection[str], devices: Iterable[str] | None) -> Result:
    if not isinstance(result.values, Mapping):
        raise TypeError(f"a Result of {result.entity!r} with {described(result.values)} instead of a mapping of values")
    _check_name(result.entity, "name of an entity")
    values = finite_values(result.values)
    for key in values:
        _check_name(key, "key")
        if result.kind == "device" and key in forwarded and (devices is None or result.entity in set(devices)):
            raise ValueError(
                f"{key!r} for the device {result.entity!r}, whose own readings are forwarded: it would be counted "
                "as one more of them; give the result another key, or the entity another name"
            )
    return replace(result, values=values)


def _alarm(alarm: Alarm, window: Window, kind: EntityKind) -> Alarm:
    _check_name(alarm.type, "type of an alarm")
    entity = window.entity if alarm.entity is None else alarm.entity
    _check_name(entity, "name of an entity")
    if alarm.kind not in (None, "asset", "device"):
        raise ValueError(f"the kind of an Alarm is 'asset' or 'device', not {alarm.kind!r}")
    if not isinstance(alarm.details, Mapping):
        raise TypeError(f"an Alarm with {described(alarm.details)} instead of a mapping of details")
    details = _plain(alarm.details)
    try:
        json.dumps(details)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"an Alarm with details that JSON cannot hold: {error}") from None
    return replace(alarm, entity=entity, kind=alarm.kind or kind, details=details)


def _plain(value: Any) -> Any:
    """The same without numpy's numbers and pandas' times; what is not a finite number is None, as JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_name(name: Any, what: str) -> None:
    """Raises ValueError for what no entity, key or alarm can be called."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a {what} that is empty or not a text: {name!r}")
    if len(name) > _MAX_NAME_LENGTH:
        raise ValueError(f"a {what} of {len(name)} characters, where {_MAX_NAME_LENGTH} are possible")
    if any(ord(char) < 0x20 or ord(char) == 0x7F or 0xD800 <= ord(char) <= 0xDFFF for char in name):
        raise ValueError(f"a {what} with control characters: {name!r}")
