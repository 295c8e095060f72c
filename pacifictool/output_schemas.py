"""The JSON Schemas of what commands print with `-o json`: one file for each in `resources/schemas`.

A file is named after its command (`sandbox-up.json`) and describes the result. `$defs` of `shared.json` are those that
several commands share, `error` among them. A reference is always `#/$defs/NAME`, of the file's own or a shared one.

The version is the number at the end of `$id`, and no keyword of its own, because strict validators refuse keywords that
JSON Schema does not know. It is raised when a field goes or changes its meaning; a new field does not raise it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

SHARED: Final = "shared"
_REFERENCE: Final = "#/$defs/"


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """What one command prints."""

    command: str
    """Such as "sandbox up"."""
    source: Mapping[str, Any]
    """The file, which refers to shared definitions."""

    @property
    def id(self) -> str:
        """For example "pacifictool:sandbox-up:1"."""
        return str(self.source["$id"])

    @property
    def version(self) -> int:
        return int(self.id.rpartition(":")[2])

    @property
    def description(self) -> str:
        """What the document holds, in a sentence."""
        return str(self.source["description"])

    def bundled(self, *, closed: bool = False) -> dict[str, Any]:
        """A schema that refers to nothing outside it: the document is the command's result or an error.

        The files describe every field, and `closed` refuses any other. By default it does not: who keeps a schema must
        not be refused by a later pacifictool that prints one more field. Raises KeyError when a definition is missing.
        """
        head = {name: self.source[name] for name in ("$schema", "$id", "title", "description")}
        result = {name: part for name, part in self.source.items() if name not in head and name != "$defs"}
        known = {**_shared(), **self.source.get("$defs", {})}
        used: dict[str, Any] = {"result": result, "error": known["error"]}
        pending = list(used.values())
        while pending:
            for name in _references(pending.pop()):
                if name not in used:
                    used[name] = known[name]
                    pending.append(known[name])
        either = [{"$ref": f"{_REFERENCE}{name}"} for name in ("result", "error")]
        return {**head, "oneOf": either, "$defs": used if closed else _opened(used)}


@cache
def output_schemas() -> dict[str, OutputSchema]:
    """All schemas by command, in their alphabetical order."""
    found = {}
    for path in _folder().iterdir():
        if path.name != f"{SHARED}.json":
            source = json.loads(path.read_text(encoding="utf-8"))
            command = source["title"].removeprefix("pacifictool ")
            found[command] = OutputSchema(command, source)
    return dict(sorted(found.items()))


def _folder() -> Any:
    return resources.files("pacifictool") / "resources" / "schemas"


@cache
def _shared() -> dict[str, Any]:
    shared: dict[str, Any] = json.loads((_folder() / f"{SHARED}.json").read_text(encoding="utf-8"))["$defs"]
    return shared


def _opened(part: Any) -> Any:
    """A part of a schema without `"additionalProperties": false`."""
    if isinstance(part, list):
        return [_opened(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _opened(each) for name, each in part.items() if not (name == "additionalProperties" and each is False)
    }


def _references(part: Any) -> Iterator[str]:
    """Names of the definitions that a part of a schema refers to."""
    yield from re.findall(rf'"\$ref": "{re.escape(_REFERENCE)}([^"]+)"', json.dumps(part))
