"""`schema`: what it prints describes what the commands print."""

from __future__ import annotations

import json

import jsonschema
import pytest

from pacifictool.output_schemas import output_schemas
from tests.support.command_line import CommandLine


def test_a_printed_schema_describes_the_commands_document_and_its_errors(command_line: CommandLine) -> None:
    printed = command_line("schema", "help")
    assert (printed.code, printed.stderr) == (0, "")
    schema = printed.document
    for arguments in (["help"], ["help", "usage-error"], ["help", "nosuch"]):
        jsonschema.validate(command_line(*arguments, "-o", "json").document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(command_line("show", "plugin", "-o", "json").document, schema)


@pytest.mark.parametrize("command", ["sandbox up", "import rule-chain", "setup"])
def test_a_command_is_named_as_it_is_typed(command_line: CommandLine, command: str) -> None:
    schema = command_line("schema", *command.split()).document
    assert command_line("schema", command).document == schema
    assert schema["title"] == f"pacifictool {command}"
    document = command_line("schema", *command.split(), "-o", "json").document
    assert document == {"ok": True, "command": command, "version": 1, "schema": schema}


def test_without_a_command_all_are_listed_with_their_versions(command_line: CommandLine) -> None:
    lines = command_line("schema").stdout.splitlines()
    assert len(lines) == len(output_schemas())
    assert lines[0].split(maxsplit=2) == ["aggregate", "1", output_schemas()["aggregate"].description]
    listed = command_line("schema", "-o", "json").document["schemas"]
    assert [each["command"] for each in listed] == list(output_schemas())
    assert {each["id"] for each in listed} == {schema.id for schema in output_schemas().values()}


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("setpu", "Did you mean 'setup'?"),
        ("sandbox upp", "Did you mean 'sandbox up'"),
        ("sandbox", "Name one of: sandbox down, sandbox reset, sandbox status, sandbox up."),
        ("nothing like it", "`pacifictool schema` lists all."),
    ],
)
def test_an_unknown_command_is_a_usage_error(command_line: CommandLine, command: str, hint: str) -> None:
    outcome = command_line("schema", *command.split())
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"There is no schema of '{command}'." in outcome.stderr
    assert hint in outcome.stderr
    error = json.loads(command_line("schema", *command.split(), "-o", "json").stdout)["error"]
    assert error["kind"] == "usage-error"
