"""The command line's skeleton on Typer: global options before or after the command, lazily loaded commands, help."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from pacifictool.cli.context import CliSession
from pacifictool.cli.options import SHOW_ALL, declare_global_options, parse_key_values
from pacifictool.errors import UsageError, did_you_mean

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


def _declared_options() -> list[Any]:
    declarations = typer.Typer(add_completion=False)
    declarations.command()(declare_global_options)
    return [parameter for parameter in typer.main.get_command(declarations).params if parameter.name != "help"]


_GLOBALS = _declared_options()
GLOBAL_NAMES = frozenset(str(parameter.name) for parameter in _GLOBALS)
"""Names of the options that every command accepts."""


def _take_globals(context: Any) -> None:
    """Moves global options from the command's parameters into the session; the one given later wins."""
    session = context.find_root().obj
    if not isinstance(session, CliSession):  # shell completion parses without one
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


class _WithGlobals:
    """What commands and groups have in common: the global options, and help in plain text.

    Rich's help takes 0.13 s to import, about as long as everything else that `--help` does.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), *_GLOBALS]  # type: ignore[misc]  # of Typer's class, which stands next

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        _take_globals(ctx)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options in sections; connection and output options only with --help-all."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            panel = getattr(parameter, "rich_help_panel", None)
            record = parameter.get_help_record(ctx)
            if record is not None and (panel is None or ctx.meta.get(SHOW_ALL)):
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(panel or default, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, _ctx: Any, formatter: Any) -> None:
        """The examples, one a line and never wrapped, so that they can be copied."""
        examples = (getattr(self, "epilog", None) or "").splitlines()
        if examples:
            with formatter.section("Example" if len(examples) == 1 else "Examples"):
                formatter.write("".join(f"{' ' * formatter.current_indent}{example}\n" for example in examples))


class Command(_WithGlobals, TyperCommand):
    """A command that accepts the global options too."""

    def invoke(self, ctx: Any) -> Any:
        _check_choices(session_of(ctx))
        return super().invoke(ctx)


class Group(_WithGlobals, TyperGroup):
    """A group of commands (`device ...`) that accepts the global options before the command's name."""

    def summaries(self, ctx: Any) -> dict[str, str]:
        """What each command does, in a sentence."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        return {name: " ".join((command.help or "").split("\n\n")[0].split()) for name, command in commands.items()}  # type: ignore[union-attr]  # listed commands exist

    def format_options(self, ctx: Any, formatter: Any) -> None:
        # Click's own list ends each sentence at the terminal's width.
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx).items()))
        super().format_options(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            hint = f"{did_you_mean(args[0], known)} See: {ctx.command_path} --help".lstrip()
            raise UsageError(f"No such command: {args[0]!r}.", hint=hint)
        return super().resolve_command(ctx, args)


class CommandGroup(Group):
    """A command that does something itself and has further ones below it (`simulate`, `simulate compare`)."""

    def invoke(self, ctx: Any) -> Any:
        _check_choices(session_of(ctx))
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _WithGlobals.format_options(self, ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx).items()))


def _check_choices(session: CliSession) -> None:
    """A mistyped --output or --log-format is reported before anything is done, not when the result is printed."""
    session.output_mode()
    session.log_format()


class Entry(NamedTuple):
    """A command of the root: where it is declared, and what the list of commands says about it."""

    place: str
    """MODULE:NAME of its Typer application."""
    summary: str


def lazy_group(commands: Mapping[str, Entry]) -> type[Group]:
    """A group class whose commands are imported when they are called; their summaries do not need the import."""

    class LazyGroup(Group):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(commands)

        def summaries(self, ctx: Any) -> dict[str, str]:
            return {name: entry.summary for name, entry in commands.items()}

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            entry = commands.get(cmd_name)
            if entry is None:
                return None
            module, _, name = entry.place.partition(":")
            command = typer.main.get_command(getattr(import_module(module), name))
            command.name = cmd_name
            return command

    return LazyGroup


def command_app(*examples: str) -> tuple[typer.Typer, Callable[..., Any]]:
    """A Typer application for one command, and the decorator that declares it; its help shows the examples."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)
    return app, subcommand(app, *examples)


def group_app(help_text: str) -> typer.Typer:
    """A Typer application for a group of commands."""
    app = typer.Typer(
        cls=Group,
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=CONTEXT,
    )
    app.callback()(lambda: None)  # without one, Typer makes a group of one command that command
    return app


def command_group_app(*examples: str, shared: Collection[str] = ()) -> tuple[typer.Typer, Callable[..., Any]]:
    """A Typer application for a `CommandGroup`, and the decorator that declares what it does itself.

    Options that are `shared` may also stand in front of the commands below, which find them in their context's parent.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(ctx: typer.Context, **options: Any) -> None:
            if ctx.invoked_subcommand is None:
                function(ctx, **options)
                return
            for parameter in ctx.command.params:
                source = ctx.get_parameter_source(str(parameter.name))
                may_be_here = parameter.name in GLOBAL_NAMES or parameter.name in shared
                if source is not None and source.name == "COMMANDLINE" and not may_be_here:
                    raise UsageError(
                        f"{parameter.opts[0]} is an option of `{ctx.command_path}` without {ctx.invoked_subcommand}.",
                        hint=f"See: {ctx.command_path} {ctx.invoked_subcommand} --help",
                    )

        app.callback(cls=CommandGroup, invoke_without_command=True, epilog="\n".join(examples))(run)
        return function

    return app, declare


def subcommand(
    app: typer.Typer, *examples: str, name: str | None = None, text: str | None = None
) -> Callable[..., Any]:
    """The decorator that declares a command of `app`; `text` is its help instead of the docstring."""
    return app.command(name, cls=Command, help=text, epilog="\n".join(examples))


def session_of(context: typer.Context) -> CliSession:
    """The run that a command belongs to."""
    session: CliSession = context.find_root().obj
    return session
