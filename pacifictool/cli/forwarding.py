"""`plugin`, `rule` and `rule-chain`: what forwards telemetry on the server, to list, activate and suspend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pacifictool.cli.framework import group_app, session_of, subcommand
from pacifictool.cli.render import table
from pacifictool.errors import UsageError
from pacifictool.plan import Kind

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.console import Console
    from pacifictool.rest import Platform

PartArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name, or the id if several have that name.")]


def _app(kind: Kind, example: str, active: str) -> typer.Typer:
    """`list`, `activate` and `suspend`; `active` says what that means for the kind."""
    noun, program = kind.noun, f"pacifictool {kind}"
    app = group_app(f"List, activate and suspend {noun}s.")

    @subcommand(app, f"{program} list", f"{program} list -o json", name="list", text=f"List all {noun}s. {active}")
    def list_all(ctx: typer.Context) -> None:
        list_parts(session_of(ctx), kind)

    @subcommand(
        app, f'{program} activate "{example}"', text=f"Activate a {noun}; an active one that runs is left as it is."
    )
    def activate(ctx: typer.Context, name: PartArgument) -> None:
        switch_part(session_of(ctx), kind, name, active=True)

    @subcommand(app, f'{program} suspend "{example}"', text=f"Suspend a {noun}: no message passes through it.")
    def suspend(ctx: typer.Context, name: PartArgument) -> None:
        switch_part(session_of(ctx), kind, name, active=False)

    return app


plugin_app = _app(Kind.PLUGIN, "Kafka Plugin", "Servers of 1.x have plugins.")
rule_app = _app(Kind.RULE, "WindSpeed Rule", "Servers of 1.x have rules.")
rule_chain_app = _app(
    Kind.RULE_CHAIN, "Weather", "Servers since 2.0 have them. One is active when the root rule chain leads to it."
)


def list_parts(session: CliSession, kind: Kind) -> None:
    """Lists the parts of one kind."""
    with session.connect() as platform:
        _check_generation(platform, kind)
        parts = [part for part in platform.forwarding.parts() if part.kind is kind]
    columns = dict.fromkeys(("Name", "State", "Leads to" if kind is not Kind.RULE_CHAIN else "From", "Id"), "left")
    rows = [
        [part.name, f"{part.state}{' (system)' if part.is_system else ''}", part.detail, part.id]
        for part in sorted(parts, key=lambda part: (part.is_system, part.name, part.id))
    ]

    def render(console: Console) -> None:
        console.print(table(f"{len(rows)} {kind.noun}s", columns, rows))

    session.output.emit({"ok": True, f"{kind.replace('-', '_')}s": [part.as_document() for part in parts]}, render)


def switch_part(session: CliSession, kind: Kind, name: str, *, active: bool) -> None:
    """Activates or suspends the part of that name."""
    from pacifictool.rest.forwarding import the_part

    with session.connect() as platform:
        _check_generation(platform, kind)
        part = the_part(platform.forwarding.parts(), kind, name)
        if active:
            platform.forwarding.activate(part)
        else:
            platform.forwarding.suspend(part)
        now = the_part(platform.forwarding.parts(), kind, part.id)
    text = f"The {kind.noun} {now.name} is {now.state}."
    session.output.emit(
        {"ok": True, kind.replace("-", "_"): now.as_document(), "changed": part.state != now.state},
        lambda console: console.print(text, markup=False),
    )


def _check_generation(platform: Platform, kind: Kind) -> None:
    from pacifictool.rest.forwarding import FIRST_GENERATION

    is_first = platform.generation() == FIRST_GENERATION
    if is_first and kind is Kind.RULE_CHAIN:
        raise UsageError(
            f"The server at {platform.url} is of the generation 1.x: it has plugins and rules, not rule chains.",
            hint="See: pacifictool plugin list",
        )
    if not is_first and kind is not Kind.RULE_CHAIN:
        raise UsageError(
            f"The server at {platform.url} is of the generation {platform.generation()}: it has rule chains, not"
            f" {kind}s.",
            hint="See: pacifictool rule-chain list",
        )
