"""`alarm list | clear`: alarms of devices and assets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pacifictool.cli.entities import ASSET, require
from pacifictool.cli.framework import group_app, session_of, subcommand
from pacifictool.cli.options import YesOption
from pacifictool.cli.render import table
from pacifictool.errors import NotFound, UsageError, did_you_mean
from pacifictool.tools.times import utc_text

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.console import Console
    from pacifictool.rest import AlarmInfo, Asset, Device, EntityAlarm, Platform

app = group_app("List and clear alarms.")

_DETAILS_LETTERS = 80
"""Of an alarm's details in the table, at most."""


@subcommand(
    app,
    "pacifictool alarm list",
    'pacifictool alarm list --entity "Zone A" --all -o json',
    name="list",
)
def list_alarms(
    ctx: typer.Context,
    entity: Annotated[
        list[str] | None,
        typer.Option("--entity", metavar="NAME", help="Only alarms of this asset or device; repeatable."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Cleared alarms, too.")] = False,
) -> None:
    """List active alarms, the most urgent first: of all devices and assets of the scenario's types."""
    from pacifictool.rest.alarms import EntityAlarm, most_urgent_first

    session = session_of(ctx)
    with session.connect() as platform, session.slow_task("Reading alarms"):
        entities = _named(platform, entity) if entity else _of_scenario(session, platform)
        names = {each.entity_id: each.name for each in entities}
        found = most_urgent_first(platform.alarms.of_many(list(names), active=None if everything else True))
    alarms = [EntityAlarm(alarm, names[alarm.originator]) for alarm in found]
    session.output.emit(
        {"ok": True, "alarms": [alarm.as_document() for alarm in alarms]},
        lambda console: _render(console, alarms, everything),
    )


@subcommand(
    app,
    'pacifictool alarm clear --entity "Zone A" --type "Too warm"',
    "pacifictool alarm clear --id 784f394c-42b6-435a-983c-b7beff2784f9 --yes",
)
def clear(
    ctx: typer.Context,
    entity: Annotated[
        str | None, typer.Option("--entity", metavar="NAME", help="The asset or device that has the alarm.")
    ] = None,
    alarm_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="With --entity: its type.")] = None,
    alarm_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The alarm's id, instead of --entity and --type.")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Clear an alarm; one that is cleared already is left as it is."""
    session = session_of(ctx)
    given = tuple(option is not None for option in (entity, alarm_type, alarm_id))
    if given not in ((True, True, False), (False, False, True)):
        raise UsageError("alarm clear needs --entity and --type, or --id.", hint="`pacifictool alarm list` shows both.")
    with session.connect() as platform:
        if alarm_id is not None:
            alarms = [alarm] if (alarm := _by_id(platform, alarm_id)).is_active else []
            where = f"with the id {alarm.id}"
        else:
            alarms = _of_type(platform, str(entity), str(alarm_type))
            where = f"of {entity}"
        for alarm in alarms:
            session.confirm(
                f"Clear the alarm {alarm.type!r} ({alarm.severity}) {where}?", yes=yes, does="clears an alarm"
            )
        for alarm in alarms:
            platform.alarms.clear(alarm.id)
    text = f"Cleared the alarm {where}." if alarms else f"The alarm {where} is cleared already."
    session.output.emit({"ok": True, "cleared": [alarm.id for alarm in alarms]}, lambda console: console.print(text))


def _of_scenario(session: CliSession, platform: Platform) -> list[Asset | Device]:
    scenario = session.scenario
    return [
        *platform.assets.list(type=scenario.entity_type("asset")),
        *platform.devices.list(type=scenario.entity_type("device")),
    ]


def _named(platform: Platform, names: Sequence[str]) -> list[Asset | Device]:
    """The assets and devices of these names. Raises NotFound for one that is neither."""
    found: list[Asset | Device] = []
    for name in dict.fromkeys(names):
        both = [each for each in (platform.assets.find(name), platform.devices.find(name)) if each is not None]
        # Suggests similar names.
        found += both or [require(platform, ASSET, name)]
    return found


def _by_id(platform: Platform, alarm_id: str) -> AlarmInfo:
    import uuid

    try:
        return platform.alarms.get(str(uuid.UUID(alarm_id)))
    except ValueError:
        raise UsageError(f"--id: {alarm_id[:60]!r} is not an id.", hint="`pacifictool alarm list` shows ids.") from None


def _of_type(platform: Platform, entity: str, alarm_type: str) -> list[AlarmInfo]:
    """The active alarms of that type. Raises NotFound when there is none, not even a cleared one."""
    alarms = platform.alarms.of_many(_named(platform, [entity]))
    if not any(alarm.type == alarm_type for alarm in alarms):
        similar = did_you_mean(alarm_type, sorted({alarm.type for alarm in alarms}))
        raise NotFound(
            f"{entity} has no alarm of the type {alarm_type!r}.",
            hint=similar or f'`pacifictool alarm list --entity "{entity}" --all` shows its alarms.',
        )
    return [alarm for alarm in alarms if alarm.type == alarm_type and alarm.is_active]


def _render(console: Console, alarms: list[EntityAlarm], everything: bool) -> None:  # noqa: FBT001 - for the title
    columns = dict.fromkeys(("Severity", "Type", "Entity", "Since", "Status", "Details", "Id"), "left")
    rows = [
        [
            alarm.info.severity,
            alarm.info.type,
            alarm.entity,
            utc_text(alarm.info.start_ms),
            alarm.info.status,
            alarm.details_text(_DETAILS_LETTERS),
            alarm.info.id,
        ]
        for alarm in alarms
    ]
    which = "alarms" if everything else "active alarms"
    console.print(table(f"{len(rows)} {which}", columns, rows))
