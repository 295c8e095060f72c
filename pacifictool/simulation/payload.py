"""Messages: how the values of a reading are encoded."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final, Protocol

from pacifictool.scenario.payload import PayloadTemplate

SEQUENCE_KEY: Final = "sequence"


class PayloadWriter(Protocol):
    """Encodes the readings of one device."""

    has_time: bool
    """Whether messages hold a timestamp."""

    def write(self, ts_ms: int, values: Mapping[str, float], number: int = 0) -> bytes:
        """The payload of one reading with at least one value, UTF-8."""


class TextValues:
    """The tutorial's form, with values as texts: `{"ts":1795477550000,"values":{"windSpeed":"31"}}`, or, when `bare`,
    exactly its message: `{"windSpeed":"31"}`. Further keys are further members of the same object.

    With `sequence`, the number of the reading is part of the message: `{"windSpeed":"31","sequence":17}`.
    """

    __slots__ = ("_count", "_pattern", "_sequence", "has_time")

    def __init__(self, keys: Collection[str], *, bare: bool = False, sequence: bool = False) -> None:
        self.has_time = not bare
        self._sequence = sequence
        self._count = len(keys)
        self._pattern = self._pattern_of(keys)

    def write(self, ts_ms: int, values: Mapping[str, float], number: int = 0) -> bytes:
        """The payload of one reading; `values` are in the order of the keys, and some may be missing."""
        pattern = self._pattern if len(values) == self._count else self._pattern_of(values)
        if self.has_time and not self._sequence:  # nearly always, and the throughput of a fleet depends on it
            return (pattern % (ts_ms, *values.values())).encode()
        times, numbers = (ts_ms,) * self.has_time, (number,) * self._sequence
        return (pattern % (*times, *values.values(), *numbers)).encode()

    def _pattern_of(self, keys: Collection[str]) -> str:
        members = [f'{json.dumps(key, ensure_ascii=False).replace("%", "%%")}:"%s"' for key in keys]
        if self._sequence:
            members.append(f'"{SEQUENCE_KEY}":%d')
        values = f"{{{','.join(members)}}}"
        return f'{{"ts":%d,"values":{values}}}' if self.has_time else values


class TemplatePayload:
    """Messages by a template of the scenario."""

    __slots__ = ("_device", "_template", "has_time")

    def __init__(self, text: str, keys: Collection[str], device: str) -> None:
        """Raises ValueError when the template is not valid."""
        self._template = _template(text, tuple(keys))
        self._device = json.dumps(device, ensure_ascii=False)[1:-1]
        self.has_time = self._template.has_time

    def write(self, ts_ms: int, values: Mapping[str, float], number: int = 0) -> bytes:
        """The payload of one reading, UTF-8."""
        return self._template.render(ts_ms, values, number, self._device).encode()


@lru_cache(maxsize=256)
def _template(text: str, keys: tuple[str, ...]) -> PayloadTemplate:
    """Checked once for all devices of a fleet, which takes longer than all else about a device."""
    return PayloadTemplate(text, keys)


def payload_writer(
    device: str, keys: Collection[str], template: str | None, *, bare: bool, sequence: bool
) -> PayloadWriter:
    """What encodes the readings of a device: its template, or the tutorial's form."""
    return (
        TextValues(keys, bare=bare, sequence=sequence) if template is None else TemplatePayload(template, keys, device)
    )
