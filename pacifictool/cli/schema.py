"""`schema`: the JSON Schema of what a command prints with `-o json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pacifictool.cli.context import CliSession
    from pacifictool.output_schemas import OutputSchema

app, command = command_app("pacifictool schema", "pacifictool schema sandbox up > sandbox-up.schema.json")


@command
def schema(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="Such as sandbox up. (default: list all)"),
    ] = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) of the document that a command prints with -o json.

    It describes every field with its unit, and refers to nothing outside it. The version at the end of its $id is
    raised when a field goes or changes its meaning; a new field does not raise it. Without COMMAND, lists all commands.
    """
    from pacifictool.output_schemas import output_schemas

    session, known = session_of(ctx), output_schemas()
    if not words:
        _list(session, known.values())
        return
    name = " ".join(words)
    if name not in known:
        below = [other for other in known if other.startswith(f"{name} ")]
        hint = f"Name one of: {', '.join(below)}." if below else did_you_mean(name, known)
        raise UsageError(f"There is no schema of {name!r}.", hint=f"{hint} `pacifictool schema` lists all.".lstrip())
    found = known[name]
    bundled = found.bundled()
    session.output.emit_text(
        {"ok": True, "command": name, "version": found.version, "schema": bundled},
        json.dumps(bundled, indent=2, ensure_ascii=False),
    )


def _list(session: CliSession, schemas: Iterable[OutputSchema]) -> None:
    listed = list(schemas)
    documents = [
        {"command": each.command, "version": each.version, "id": each.id, "description": each.description}
        for each in listed
    ]
    # Not Rich's table, which takes longer than everything else here.
    width = max(len(each.command) for each in listed)
    lines = [f"{each.command:{width}}  {each.version}  {each.description}" for each in listed]
    session.output.emit_text({"ok": True, "schemas": documents}, "\n".join(lines))
