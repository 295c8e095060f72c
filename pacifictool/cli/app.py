"""The root of the command line: which commands there are and where they live."""

from __future__ import annotations

from typing import Annotated

import typer

from pacifictool.cli.framework import CONTEXT, lazy_group

COMMANDS = {
    "demo": "pacifictool.cli.demo",
    "setup": "pacifictool.cli.setup",
    "simulate": "pacifictool.cli.simulate",
    "aggregate": "pacifictool.cli.aggregate",
    "rejects": "pacifictool.cli.rejects",
    "report": "pacifictool.cli.report",
    "watch": "pacifictool.cli.watch",
    "doctor": "pacifictool.cli.doctor",
    "trace": "pacifictool.cli.trace",
    "teardown": "pacifictool.cli.teardown",
    "sandbox": "pacifictool.cli.sandbox",
    "import": "pacifictool.cli.importing",
    "device": "pacifictool.cli.device",
    "asset": "pacifictool.cli.asset",
    "attributes": "pacifictool.cli.attributes",
}

app = typer.Typer(
    name="pacifictool",
    cls=lazy_group(COMMANDS),
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=CONTEXT,
    epilog="Start with: pacifictool demo. Every option and exit code: docs/cli.md.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback signature
    if wanted:
        from pacifictool import __version__

        typer.echo(f"pacifictool {__version__}")
        raise typer.Exit


@app.callback()
def pacifictool(
    version: Annotated[
        bool | None, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = None,
) -> None:
    """Device data from a Pacificsoft IoT platform through Kafka and Spark and back."""
