"""The schemas of JSON output: each command has one, each says what every field is, and nothing else is accepted."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from pacifictool import errors
from pacifictool.cli.app import COMMANDS, app
from pacifictool.output_schemas import OutputSchema, output_schemas
from tests.support.recorded_documents import problems_of

SCHEMAS = output_schemas()
each_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)


NOT_ALWAYS: dict[str, str] = {
    "details": "of errors, only kinds with further facts",
    "reason": "of lost readings: one that was still on its way at the end has none",
    "report": "only with `demo --report`",
    "client": "only the scopes that were asked for",
    "server": "only the scopes that were asked for",
    "shared": "only the scopes that were asked for",
}
"""Fields that a document may lack, with the reason. All others are required, so that one that is gone is noticed."""


def commands() -> Iterator[str]:
    """Every command that does something: a group by itself does not, unless it is one that is called without another."""
    root: Any = typer.main.get_command(app)
    for name in COMMANDS:
        command: Any = root.get_command(None, name)
        below = getattr(command, "commands", None)
        if below is None or command.invoke_without_command:
            yield name
        yield from (f"{name} {inner}" for inner in below or ())


def fields(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that a part of a schema describes, and what it says of it."""
    if isinstance(part, dict):
        for name, described in part.get("properties", {}).items():
            yield f"{path}.{name}", described
        for name, inner in part.items():
            yield from fields(inner, f"{path}.{name}")
    elif isinstance(part, list):
        for inner in part:
            yield from fields(inner, path)


def objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "properties" in part and "type" in part:
            yield part
        for inner in part.values():
            yield from objects(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from objects(inner)


def test_every_command_has_a_schema_and_every_schema_a_command() -> None:
    assert sorted(commands()) == sorted(SCHEMAS)


@each_schema
def test_a_schema_is_one_and_stands_alone(schema: OutputSchema) -> None:
    for bundled in (schema.bundled(), schema.bundled(closed=True)):
        jsonschema.Draft202012Validator.check_schema(bundled)
        text = json.dumps(bundled)
        references = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
        assert references == set(bundled["$defs"])
        assert text.count('"$ref"') == text.count('"$ref": "#/$defs/')
    name = schema.command.replace(" ", "-")
    assert (schema.id, schema.version) == (f"pacifictool:{name}:{schema.version}", 1)
    assert (resources.files("pacifictool") / "resources" / "schemas" / f"{name}.json").is_file()


@each_schema
def test_every_field_is_described_with_its_unit(schema: OutputSchema) -> None:
    bundled = schema.bundled(closed=True)
    for path, described in fields(bundled):
        where, known = bundled["$defs"].get(described.get("$ref", "").rpartition("/")[2], {}), described
        text = known.get("description") or where.get("description")
        assert text is not None, path
        assert text.endswith("."), path
        name = path.rpartition(".")[2]
        kind = json.dumps(described.get("type", ""))
        if "number" not in kind and "integer" not in kind:
            continue
        unit = {"ts": "epoch", "at": "epoch", "window_end": "epoch", "rate": "per second|a second"}.get(name)
        if unit is None and name.endswith(("_ts", "_ms")):
            unit = "milliseconds"
        if unit is None and name.endswith("seconds"):
            unit = "in seconds"
        assert unit is None or any(each in text.lower() for each in unit.split("|")), (path, text)


@each_schema
def test_only_objects_whose_keys_are_of_the_user_are_open(schema: OutputSchema) -> None:
    for part in objects(schema.bundled(closed=True)):
        assert part["additionalProperties"] is False or isinstance(part["additionalProperties"], dict), part
        assert set(part["required"]) <= set(part["properties"])


def test_every_field_is_required_but_for_these() -> None:
    optional = {
        name
        for schema in SCHEMAS.values()
        for definition, part in schema.bundled(closed=True)["$defs"].items()
        if definition != "details"  # each kind of error has its own
        for each in objects(part)
        for name in each["properties"].keys() - set(each["required"])
    }
    assert optional == NOT_ALWAYS.keys()


def test_a_printed_schema_accepts_what_a_later_version_adds() -> None:
    document = {"ok": True, "stopped": False}
    later = {**document, "seconds": 1.5}
    jsonschema.validate(later, SCHEMAS["sandbox down"].bundled())
    for wrong in ({"ok": True}, {"ok": True, "stopped": "no"}, {**document, "ok": False}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMAS["sandbox down"].bundled())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(later, SCHEMAS["sandbox down"].bundled(closed=True))


def test_an_error_is_a_document_of_every_command() -> None:
    error = {
        "kind": "not-found",
        "message": "There is none.",
        "hint": None,
        "help": "docs/troubleshooting.md#not-found",
    }
    for schema in SCHEMAS.values():
        jsonschema.validate({"ok": False, "error": error}, schema.bundled(closed=True))
    assert problems_of("setup", {"ok": False, "error": {**error, "details": {"colour": "red"}}}) == [
        "error.details: Additional properties are not allowed ('colour' was unexpected)"
    ]


def test_the_details_of_all_errors_are_described() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    sources = [path.read_text(encoding="utf-8") for path in Path(errors.__file__).parent.rglob("*.py")]
    given = {
        str(keyword.arg)
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in kinds
        for keyword in node.keywords
        if keyword.arg not in (None, "message", "hint")
    }
    described = SCHEMAS["setup"].bundled()["$defs"]["details"]["properties"].keys()
    assert given <= described
    assert {name for name in described - given if not any(f'"{name}"' in source for source in sources)} == set()


def test_what_is_not_described_is_named_with_its_place() -> None:
    alarm = {
        "id": "1", "type": "Storm", "severity": "CRITICAL", "status": "ACTIVE_UNACK", "entity": "Zone A",
        "entity_kind": "asset", "start_ts": 1, "end_ts": 2, "details": {"speed": 31},
    }  # fmt: skip
    assert problems_of("alarm list", {"ok": True, "alarms": [alarm]}) == []
    assert problems_of("alarm list", {"ok": True, "alarms": [alarm, {**alarm, "colour": "red"}]}) == [
        "alarms[1]: Additional properties are not allowed ('colour' was unexpected)"
    ]
    assert problems_of("alarm list", {"ok": True, "alarms": [{**alarm, "end_ts": "2"}]}) == [
        "alarms[0].end_ts: '2' is not of type 'integer'"
    ]
    assert problems_of("alarm list", {"ok": True}) == ["the document: 'alarms' is a required property"]
    assert problems_of("nosuch", {"ok": True}) == ["no schema of 'nosuch' in pacifictool/resources/schemas"]


def test_of_alternatives_the_closest_says_why() -> None:
    entry = {"ok": True, "topic": "not-found", "text": 1}
    assert problems_of("help", entry) == ["text: 1 is not of type 'string'"]
