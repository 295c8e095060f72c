"""`device` and `asset`: devices and assets one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import group_app, session_of, subcommand
from pacifictool.cli.options import YesOption
from pacifictool.cli.render import table
from pacifictool.errors import NotFound, UsageError, did_you_mean
from pacifictool.tools.times import utc_text

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.rest import Asset, Assets, Device, Devices, Platform
    from pacifictool.scenario import Scenario

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name; case-sensitive.")]
TypeOption = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="The type. (default: the scenario's)")]
OnlyTypeOption = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only this type.")]
SearchOption = Annotated[
    str | None, typer.Option("--search", metavar="TEXT", help="Only names that start with this text.")
]


@dataclass(frozen=True, slots=True)
class EntityKind:
    """What distinguishes the commands for devices from those for assets."""

    noun: str
    registry: Callable[[Platform], Devices | Assets]
    """The part of the client that manages them."""
    default_type: Callable[[Scenario], str]
    """The type of those that are created without one."""


DEVICE = EntityKind("device", lambda platform: platform.devices, lambda scenario: scenario.platform.device_type)
ASSET = EntityKind("asset", lambda platform: platform.assets, lambda scenario: scenario.asset_type)


def _entity_app(kind: EntityKind, example: str, text: str) -> typer.Typer:
    """`create`, `list` and `delete`; `example` is a name for the help."""
    noun, program = kind.noun, f"pacifictool {kind.noun}"
    app = group_app(text)

    @subcommand(app, f'{program} create "{example}"', text=f"Create {_a(noun)}; an existing one is left as it is.")
    def create(ctx: typer.Context, name: NameArgument, entity_type: TypeOption = None) -> None:
        create_entity(session_of(ctx), kind, name, entity_type)

    @subcommand(app, f"{program} list", f"{program} list --search Wind -o json", name="list", text=f"List all {noun}s.")
    def list_all(ctx: typer.Context, entity_type: OnlyTypeOption = None, search: SearchOption = None) -> None:
        list_entities(session_of(ctx), kind, entity_type, search)

    @subcommand(
        app, f'{program} delete "{example}" --yes', text=f"Delete {_a(noun)} with its telemetry and attributes."
    )
    def delete(ctx: typer.Context, name: NameArgument, yes: YesOption = False) -> None:
        delete_entity(session_of(ctx), kind, name, yes=yes)

    return app


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


device_app = _entity_app(DEVICE, "Wind Turbine 4", "Create, list and delete devices, and show their access tokens.")
asset_app = _entity_app(ASSET, "Zone C", "Create, list and delete assets.")


@subcommand(device_app, 'pacifictool device token "Wind Turbine 1"')
def token(ctx: typer.Context, name: NameArgument) -> None:
    """Print the access token of a device. It is a password: take care where the output goes."""
    session = session_of(ctx)
    with session.connect() as platform:
        secret = platform.devices.token(require(platform, DEVICE, name).id)
    session.output.emit(
        {"ok": True, "device": name, "token": secret.reveal()}, lambda console: console.print(secret.reveal())
    )


def create_entity(session: CliSession, kind: EntityKind, name: str, entity_type: str | None) -> None:
    """Creates an entity unless one of this name exists."""
    _check(kind.noun, name)
    if entity_type is not None:
        _check("type", entity_type)
    with session.connect() as platform:
        entities = kind.registry(platform)
        existing = entities.find(name)
        entity = existing or entities.get_or_create(name, entity_type or kind.default_type(session.scenario))
    text = f"Created {kind.noun} {name}." if existing is None else f"The {kind.noun} {name} already exists."
    session.output.emit(
        {"ok": True, "created": existing is None, kind.noun: _document(entity)}, lambda console: console.print(text)
    )


def list_entities(session: CliSession, kind: EntityKind, entity_type: str | None, search: str | None) -> None:
    """Lists the entities of all pages."""
    plural = f"{kind.noun}s"
    with session.connect() as platform, session.slow_task(f"Reading all {plural}"):
        entities: list[Any] = list(kind.registry(platform).list(type=entity_type, text_search=search))
    rows = [[entity.name, entity.type, utc_text(entity.created_time), entity.id] for entity in entities]
    columns = {"Name": "left", "Type": "left", "Created": "left", "Id": "left"}
    session.output.emit(
        {"ok": True, plural: [_document(entity) for entity in entities]},
        lambda console: console.print(table(f"{len(rows)} {plural}", columns, rows)),
    )


def delete_entity(session: CliSession, kind: EntityKind, name: str, *, yes: bool) -> None:
    """Deletes an entity after confirmation."""
    with session.connect() as platform:
        entity = require(platform, kind, name)
        session.confirm(f"Delete {kind.noun} {name} with its data?", yes=yes)
        kind.registry(platform).delete(entity.id)
    session.output.emit({"ok": True, "deleted": name}, lambda console: console.print(f"Deleted {kind.noun} {name}."))


def require(platform: Platform, kind: EntityKind, name: str) -> Any:
    """The device or asset of that name. Raises NotFound with similar names."""
    registry = kind.registry(platform)
    entity = registry.find(name)
    if entity is None:
        similar = did_you_mean(name, (other.name for other in registry.list()))
        raise NotFound(
            f"There is no {kind.noun} {name!r} at {platform.url}.",
            hint=f"{similar} Names are case-sensitive."
            if similar
            else "`pacifictool device list` and `pacifictool asset list` show all names.",
        )
    return entity


def _check(what: str, name: str) -> None:
    """Rejects names that the platform may store but that cause trouble later. Raises UsageError."""
    from pacifictool.scenario import check_name

    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"{what.capitalize()} {name[:40]!r}: {error}.", hint="Choose another name.") from None


def _document(entity: Device | Asset) -> dict[str, Any]:
    """An entity in JSON output; never with a token."""
    return {"id": entity.id, "name": entity.name, "type": entity.type, "created_time": entity.created_time}
