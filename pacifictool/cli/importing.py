"""`import plugin | rule | rule-chain FILE`: one JSON descriptor, imported and activated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacifictool.cli.framework import Command, group_app, session_of

if TYPE_CHECKING:
    from pacifictool.cli.context import Session
    from pacifictool.rest import ForwardingSpec

app = group_app("Import a plugin, rule or rule chain from a JSON file, as the web UI exports them.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The JSON file.")]
NoActivateOption = Annotated[bool, typer.Option("--no-activate", help="Import it without starting it.")]


@app.command(cls=Command)
def plugin(ctx: typer.Context, file: FileArgument, no_activate: NoActivateOption = False) -> None:
    """Import a plugin and activate it. One with the same apiToken is updated."""
    from pacifictool.rest import ForwardingSpec, read_plugin

    _import(session_of(ctx), ForwardingSpec(plugin=read_plugin(file), activate=not no_activate))


@app.command(cls=Command)
def rule(ctx: typer.Context, file: FileArgument, no_activate: NoActivateOption = False) -> None:
    """Import a rule and activate it. One with the same name and pluginToken is updated."""
    from pacifictool.rest import ForwardingSpec, read_rule

    _import(session_of(ctx), ForwardingSpec(rule=read_rule(file), activate=not no_activate))


@app.command(name="rule-chain", cls=Command)
def rule_chain(ctx: typer.Context, file: FileArgument, no_activate: NoActivateOption = False) -> None:
    """Import a rule chain (platform 2.0 and later) and let the root chain hand it telemetry.

    One with the same name is updated.
    """
    from pacifictool.rest import ForwardingSpec, read_rule_chain

    _import(session_of(ctx), ForwardingSpec(rule_chain=read_rule_chain(file), activate=not no_activate))


def _import(session: Session, spec: ForwardingSpec) -> None:
    from pacifictool.cli.setup import render_plan
    from pacifictool.plan import Plan

    with session.connect() as platform, session.reporter.task("Importing"):
        plan = Plan.of(platform.forwarding.apply(spec))
    session.output.emit(
        {"ok": True, **plan.as_document()},
        lambda console: render_plan(console, plan, f"Import into {session.settings.url}"),
    )
