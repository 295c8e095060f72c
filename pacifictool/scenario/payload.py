"""Templates of messages: `payload = '{"ts": {ts}, "values": {"temp": {temperature}}}'`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_PLACEHOLDER: Final = re.compile(r"\{([^{}\"]*[^{}\"\s][^{}\"]*)\}")
"""A JSON object that is not empty holds a quote, so braces without one are a placeholder."""

TS, DEVICE, NUMBER = "ts", "device", "number"

_STAND_IN: Final = 7_316_402_559_180_000
_GONE: Final = object()


class PayloadTemplate:
    """A JSON text with placeholders for what differs between messages: keys of telemetry, `{ts}`, `{device}` and
    `{number}`."""

    def __init__(self, text: str, keys: Iterable[str]) -> None:
        """Raises ValueError with a sentence for the user when messages would not be JSON objects or arrays of them."""
        self._text = text
        self._keys = tuple(keys)
        known = dict.fromkeys([*self._keys, TS, DEVICE, NUMBER])
        used = dict.fromkeys(_PLACEHOLDER.findall(text))
        for name in used:
            if name not in known:
                listed = ", ".join(f"{{{each}}}" for each in known)
                raise ValueError(f"payload: there is no {{{name}}}; the placeholders are {listed}")
        for key in self._keys:
            if key not in used:
                raise ValueError(f"payload: {{{key}}} is not in it, although telemetry has that key")
        self.has_time = TS in used
        """Whether messages hold a timestamp."""
        self._parts = _split(text)
        self._shorter: dict[tuple[str, ...], list[str]] = {}
        for sample in (-1.5, 7):
            self._check(self.render(1_795_477_550_000, dict.fromkeys(self._keys, sample), 7, "Device 1"))
        self._reduced(())  # finds placeholders that are part of a longer number

    def render(self, ts_ms: int, values: Mapping[str, float], number: int, device: str) -> str:
        """One message, for at least one value. Members and items whose value is missing are left out.

        `device` is the device's name as it stands between the quotes of a JSON text.
        """
        parts = self._parts
        if missing := tuple(key for key in self._keys if key not in values):
            parts = self._shorter.get(missing) or self._shorter.setdefault(missing, self._reduced(missing))
        context: dict[str, Any] = {TS: ts_ms, DEVICE: device, NUMBER: number, **values}
        # Texts and placeholders alternate.
        return "".join([str(context[part]) if index % 2 else part for index, part in enumerate(parts)])

    def _check(self, message: str) -> None:
        def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) < len(pairs):
                raise ValueError("payload: an object has two members of one name")
            return found

        def constant(name: str) -> Any:
            raise ValueError(f"payload: {name} is not JSON")

        try:
            document = json.loads(message, object_pairs_hook=members, parse_constant=constant)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"payload: with sample values it reads {message!r}, which is not JSON ({error}); texts such as "
                "{device} need quotes"
            ) from None
        if not isinstance(document, dict | list):
            raise ValueError("payload: a message is an object or an array")  # noqa: TRY004 - pydantic reads ValueError

    def _reduced(self, missing: tuple[str, ...]) -> list[str]:
        """The parts of the template without the members that hold a missing key."""
        names = _split(self._text)[1::2]
        stand_ins = {name: str(_STAND_IN + index) for index, name in enumerate(dict.fromkeys(names))}
        gone = [stand_ins[key] for key in missing]

        def pruned(value: Any) -> Any:
            if isinstance(value, dict):
                kept: Any = {
                    name: part for name, old in value.items() if (part := pruned(old)) is not _GONE and not lacks(name)
                }
                return kept if kept or not value else _GONE
            if isinstance(value, list):
                kept = [part for old in value if (part := pruned(old)) is not _GONE]
                return kept if kept or not value else _GONE
            return _GONE if lacks(str(value)) else value

        def lacks(text: str) -> bool:
            return any(stand_in in text for stand_in in gone)

        document = pruned(json.loads(_PLACEHOLDER.sub(lambda found: stand_ins[found[1]], self._text)))
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        for name, stand_in in stand_ins.items():
            if not missing and stand_in not in text:
                raise ValueError(f"payload: {{{name}}} is part of a longer number; put it alone")
            text = text.replace(stand_in, f"{{{name}}}")
        return _split(text)


def _split(text: str) -> list[str]:
    """Texts and names of placeholders in turn, beginning and ending with a text."""
    return _PLACEHOLDER.split(text)
