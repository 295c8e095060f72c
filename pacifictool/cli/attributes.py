"""`attributes set | show`: attributes of devices and assets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.entities import ASSET, DEVICE, require
from pacifictool.cli.framework import group_app, session_of, subcommand
from pacifictool.cli.render import table
from pacifictool.errors import UsageError, unknown_choice

if TYPE_CHECKING:
    from pacifictool.console import Console

app = group_app("Set and show attributes of devices and assets.")

SCOPES = ("client", "server", "shared")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the device, or of the asset with --asset.")]
AssetOption = Annotated[bool, typer.Option("--asset", help="NAME is an asset.")]


@subcommand(
    app,
    'pacifictool attributes set "Wind Turbine 1" geoZone="Zone A"',
    'pacifictool attributes set "Zone A" capacity=12.5 --asset --scope server',
    name="set",
)
def set_attributes(
    ctx: typer.Context,
    name: NameArgument,
    pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Values are JSON, or plain text.")],
    scope: Annotated[
        str, typer.Option(metavar="client|server|shared", help="client: sent over MQTT, as the device would.")
    ] = "client",
    asset: AssetOption = False,
) -> None:
    """Set attributes of a device or asset."""
    session = session_of(ctx)
    attributes = dict(_parse_pair(pair) for pair in pairs)
    payload = _encoded(attributes)
    _check_scope(scope)
    if scope == "client" and asset:
        raise UsageError("Assets have no client attributes.", hint="Use --scope server.")
    with session.connect() as platform, session.slow_task(f"Setting {scope} attributes of {name}"):
        entity = require(platform, ASSET if asset else DEVICE, name)
        if scope == "client":
            from pacifictool.mqtt import ATTRIBUTES_TOPIC
            from pacifictool.mqtt.session import publish_and_confirm

            publish_and_confirm(
                session.settings.mqtt,
                platform.devices.token(entity.id),
                ATTRIBUTES_TOPIC,
                payload,
                timeout_seconds=15,
                device=name,
            )
        elif scope == "server":
            platform.attributes.set_server(entity, attributes)
        else:
            platform.attributes.set_shared(entity, attributes)
    session.output.emit(
        {"ok": True, "name": name, "scope": scope, "attributes": attributes},
        lambda console: console.print(f"Set {len(attributes)} {scope} attributes of {name}."),
    )


@subcommand(app, 'pacifictool attributes show "Wind Turbine 1"')
def show(
    ctx: typer.Context,
    name: NameArgument,
    scope: Annotated[str | None, typer.Option(metavar="client|server|shared", help="Only this scope.")] = None,
    asset: AssetOption = False,
) -> None:
    """Show the attributes of a device or asset by scope."""
    session = session_of(ctx)
    if scope is not None:
        _check_scope(scope)
    with session.connect() as platform, session.slow_task(f"Reading attributes of {name}"):
        entity = require(platform, ASSET if asset else DEVICE, name)
        found = {
            one: platform.attributes.get(entity, scope=f"{one.upper()}_SCOPE") for one in SCOPES if scope in (None, one)
        }

    def render(console: Console) -> None:
        rows = [
            [one, key, json.dumps(value, ensure_ascii=False)]
            for one, attributes in found.items()
            for key, value in sorted(attributes.items())
        ]
        console.print(table(f"Attributes of {name}", {"Scope": "left", "Key": "left", "Value": "left"}, rows))

    session.output.emit({"ok": True, "name": name, "attributes": found}, render)


def _check_scope(scope: str) -> None:
    if scope not in SCOPES:
        raise unknown_choice("--scope", scope, SCOPES)


def _parse_pair(pair: str) -> tuple[str, Any]:
    key, separator, text = pair.partition("=")
    if not separator or not key:
        raise UsageError(f"{pair!r} is not of the form KEY=VALUE.", hint='For example: geoZone="Zone A"')
    try:
        value = json.loads(text, parse_constant=str)  # NaN and Infinity are not JSON
    except (ValueError, RecursionError):
        return key, text
    # The platform stores texts, numbers and booleans; anything else is taken as text.
    return key, value if isinstance(value, str | int | float | bool) else text


def _encoded(attributes: dict[str, Any]) -> bytes:
    """The attributes as JSON. Raises UsageError for values that the platform cannot store."""
    from pacifictool.errors import InvalidRequest
    from pacifictool.rest.values import encode_object

    try:
        return encode_object(attributes).encode("ascii")
    except InvalidRequest as error:
        raise UsageError(error.message, hint="Quote it to keep it as text: KEY='\"VALUE\"'") from None
