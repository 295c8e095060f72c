"""`asset …`: assets one by one."""

from __future__ import annotations

from typing import Annotated

import typer

from pacifictool.cli.framework import Command, group_app, session_of

app = group_app("Create, list and delete assets.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the asset; case-sensitive.")]


@app.command(cls=Command)
def create(
    ctx: typer.Context,
    name: NameArgument,
    entity_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Its type; the scenario's by default.")
    ] = None,
) -> None:
    """Create an asset; one that exists already is left as it is."""
    from pacifictool.cli.entities import create_entity

    create_entity(session_of(ctx), lambda platform: platform.assets, "asset", name, entity_type)


@app.command("list", cls=Command)
def list_assets(
    ctx: typer.Context,
    entity_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only this type.")] = None,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Only names that begin like this.")] = None,
) -> None:
    """List assets, however many there are."""
    from pacifictool.cli.entities import list_entities

    list_entities(session_of(ctx), lambda platform: platform.assets, "asset", entity_type, search)


@app.command(cls=Command)
def delete(
    ctx: typer.Context,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete an asset with its telemetry and attributes."""
    from pacifictool.cli.entities import delete_entity
    from pacifictool.cli.lookup import require_asset

    delete_entity(session_of(ctx), lambda platform: platform.assets, "asset", name, require_asset, yes=yes)
