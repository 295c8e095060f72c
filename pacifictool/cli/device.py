"""`device …`: devices one by one."""

from __future__ import annotations

from typing import Annotated

import typer

from pacifictool.cli.framework import Command, group_app, session_of

app = group_app("Create, list and delete devices, and show their access tokens.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the device; case-sensitive.")]


@app.command(cls=Command)
def create(
    ctx: typer.Context,
    name: NameArgument,
    entity_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Its type; the scenario's by default.")
    ] = None,
) -> None:
    """Create a device; one that exists already is left as it is."""
    from pacifictool.cli.entities import create_entity

    create_entity(session_of(ctx), lambda platform: platform.devices, "device", name, entity_type)


@app.command("list", cls=Command)
def list_devices(
    ctx: typer.Context,
    entity_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only this type.")] = None,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Only names that begin like this.")] = None,
) -> None:
    """List devices, however many there are."""
    from pacifictool.cli.entities import list_entities

    list_entities(session_of(ctx), lambda platform: platform.devices, "device", entity_type, search)


@app.command(cls=Command)
def token(ctx: typer.Context, name: NameArgument) -> None:
    """Print a device's access token. It is a password: mind where the output goes."""
    from pacifictool.cli.lookup import require_device

    session = session_of(ctx)
    with session.connect() as platform:
        secret = platform.devices.token(require_device(platform, name).id)
    session.output.emit(
        {"ok": True, "device": name, "token": secret.reveal()},
        lambda console: console.print(secret.reveal()),
    )


@app.command(cls=Command)
def delete(
    ctx: typer.Context,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a device with its telemetry and attributes."""
    from pacifictool.cli.entities import delete_entity
    from pacifictool.cli.lookup import require_device

    delete_entity(session_of(ctx), lambda platform: platform.devices, "device", name, require_device, yes=yes)
