"""`show`: what `setup` would import for the scenario, and the scenario itself; and `help`: an entry of the docs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pacifictool.cli.framework import command_app, group_app, session_of, subcommand
from pacifictool.errors import UsageError, did_you_mean

show_app = group_app("Print the scenario, or what `setup` would import for it. Asks no server.")
help_app, help_command = command_app("pacifictool help platform-unreachable", "pacifictool help")


@subcommand(show_app, "pacifictool show plugin")
def plugin(ctx: typer.Context) -> None:
    """Print the Kafka plugin of servers of 1.x as JSON."""
    _show(ctx, "plugin")


@subcommand(show_app, "pacifictool show rule")
def rule(ctx: typer.Context) -> None:
    """Print the rule of servers of 1.x as JSON."""
    _show(ctx, "rule")


@subcommand(show_app, "pacifictool show rule-chain --scenario cold_rooms.toml", name="rule-chain")
def rule_chain(ctx: typer.Context) -> None:
    """Print the rule chain of later servers as JSON, as the web UI imports it."""
    _show(ctx, "rule_chain")


@subcommand(show_app, "pacifictool show scenario")
def scenario(ctx: typer.Context) -> None:
    """Print the scenario in force: its file, or the tutorial's, from which one of your own can begin."""
    from pacifictool.scenario import scenario_text

    session = session_of(ctx)
    found, text = session.scenario, scenario_text(session.settings.scenario_path)
    document = {"ok": True, "scenario": found.model_dump(mode="json", exclude_defaults=True)}
    session.output.emit_text(document, text)


@help_command
def show_help(
    ctx: typer.Context,
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="What an error names after “More:”.")] = None,
) -> None:
    """Print the troubleshooting entry that an error names, or list all of them."""
    from pacifictool.troubleshooting import entries

    session, known = session_of(ctx), entries()
    if topic is None:
        listed = {name: text.strip().split("\n\n")[0].replace("\n", " ") for name, text in known.items()}
        document = {"ok": True, "topics": listed}
        session.output.emit_text(document, "\n".join(known))
        return
    name = topic.rpartition("#")[2]
    if name not in known:
        raise UsageError(
            f"There is no entry {topic!r}.", hint=f"{did_you_mean(name, known)} `pacifictool help` lists all.".lstrip()
        )
    session.output.emit_text({"ok": True, "topic": name, "text": known[name]}, known[name])


def _show(ctx: typer.Context, part: str) -> None:
    from pacifictool.provisioning.forwarding import forwarding_spec

    session = session_of(ctx)
    spec = forwarding_spec(session.settings, session.scenario)
    wanted: Mapping[str, Any] | None = getattr(spec, f"wanted_{part}")()
    session.output.emit_text({"ok": True, part: wanted}, json.dumps(wanted, indent=2, ensure_ascii=False))
