"""The command line's skeleton on Typer: global options before or after the command, and commands that load lazily."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from pacifictool.cli.context import Session, parse_key_values
from pacifictool.cli.options import declare_global_options


def _declared_options() -> list[Any]:
    declarations = typer.Typer(add_completion=False)
    declarations.command()(declare_global_options)
    return [parameter for parameter in typer.main.get_command(declarations).params if parameter.name != "help"]


_GLOBALS = _declared_options()
GLOBAL_NAMES = frozenset(str(parameter.name) for parameter in _GLOBALS)
"""Names of the options that every command accepts."""


def _take_globals(context: Any) -> None:
    """Moves global options out of the command's parameters into the session; what is given later wins."""
    session = context.find_root().obj
    if not isinstance(session, Session):  # shell completion parses without one
        return
    for name in GLOBAL_NAMES & set(context.params):
        value = context.params.pop(name)
        if value is None or value in ([], ()):
            continue
        if name == "kafka_property":
            earlier = session.flags.get("kafka_properties", {})
            session.flags["kafka_properties"] = {**earlier, **parse_key_values(list(value))}
        else:
            session.flags[name] = value


def _write_parameters(command: Any, context: Any, formatter: Any) -> None:
    """Help on arguments and options in sections, the command's own before the global ones.

    Plain text on purpose: Typer's Rich help takes 0.13 s to import, half of what `--help` may take.
    """
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(record)
    for title, records in sections.items():
        with formatter.section(title):
            formatter.write_dl(records)


class Command(TyperCommand):
    """A command that accepts the global options too."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), *_GLOBALS]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        _take_globals(ctx)
        return rest

    def invoke(self, ctx: Any) -> Any:
        # A mistyped --output must be told before anything is done, not when the result is to be printed.
        session_of(ctx).output_mode()
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands (`device ...`) that accepts the global options before the command's name."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), *_GLOBALS]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        _take_globals(ctx)
        return rest


def lazy_group(commands: Mapping[str, str]) -> type[Group]:
    """A group class whose commands come from other modules and are imported when asked for.

    `commands` maps a command's name to the module that holds its Typer application in `app`.
    """

    class LazyGroup(Group):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(commands)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            module = commands.get(cmd_name)
            if module is None:
                return None
            command = typer.main.get_command(import_module(module).app)
            command.name = cmd_name
            return command

    return LazyGroup


def command_app(name: str | None = None) -> tuple[typer.Typer, Callable[..., Any]]:
    """A Typer application for one command, and the decorator that declares it."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)
    return app, app.command(name, cls=Command)


def group_app(help_text: str) -> typer.Typer:
    """A Typer application for a group of commands; declare them with `@app.command(cls=Command)`."""
    return typer.Typer(
        cls=Group,
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=CONTEXT,
    )


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


def session_of(context: typer.Context) -> Session:
    """The run a command belongs to."""
    session: Session = context.find_root().obj
    return session
