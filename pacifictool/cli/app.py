"""The root of the command line: which commands there are and where they are declared."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from pacifictool.cli.framework import CONTEXT, Entry, lazy_group

_HERE: Final = "pacifictool.cli"

COMMANDS: Final = {
    "demo": Entry(f"{_HERE}.demo:app", "Run the whole tutorial in a sandbox and check its results."),
    "setup": Entry(f"{_HERE}.provisioning:setup_app", "Create what the scenario describes and the server lacks."),
    "simulate": Entry(f"{_HERE}.simulate:app", "Publish random wind speeds over MQTT, as the turbines would."),
    "aggregate": Entry(
        f"{_HERE}.aggregate:app", "Run the Spark job: the mean per zone and window, back to the server."
    ),
    "analytics": Entry(
        f"{_HERE}.analytics:app", "Write analytics of your own as Python functions, and try them without any server."
    ),
    "rejects": Entry(f"{_HERE}.rejects:app", "Show, export, replay and expire the invalid records that the job kept."),
    "report": Entry(f"{_HERE}.report:app", "Draw a run as a page or a picture."),
    "watch": Entry(f"{_HERE}.watch:app", "Watch the data move from device to asset, live."),
    "doctor": Entry(f"{_HERE}.doctor:app", "Check everything that a run needs."),
    "status": Entry(f"{_HERE}.status:app", "Show the jobs and sandboxes that run on this machine."),
    "trace": Entry(f"{_HERE}.trace:app", "Follow one reading from device to asset."),
    "teardown": Entry(f"{_HERE}.provisioning:teardown_app", "Delete what the scenario describes."),
    "sandbox": Entry(f"{_HERE}.sandbox:app", "Run a local platform and Kafka broker."),
    "import": Entry(f"{_HERE}.provisioning:import_app", "Import a plugin, rule or rule chain from a JSON file."),
    "plugin": Entry(f"{_HERE}.forwarding:plugin_app", "List, activate and suspend plugins (servers of 1.x)."),
    "rule": Entry(f"{_HERE}.forwarding:rule_app", "List, activate and suspend rules (servers of 1.x)."),
    "rule-chain": Entry(
        f"{_HERE}.forwarding:rule_chain_app", "List, activate and suspend rule chains (servers since 2.0)."
    ),
    "show": Entry(f"{_HERE}.show:show_app", "Print the scenario, or what `setup` would import for it."),
    "device": Entry(f"{_HERE}.entities:device_app", "Create, list and delete devices; show their tokens."),
    "asset": Entry(f"{_HERE}.entities:asset_app", "Create, list and delete assets."),
    "alarm": Entry(f"{_HERE}.alarms:app", "List and clear alarms."),
    "attributes": Entry(f"{_HERE}.attributes:app", "Set and show attributes of devices and assets."),
    "telemetry": Entry(f"{_HERE}.telemetry:app", "Show telemetry of a device or asset."),
    "schema": Entry(f"{_HERE}.schema:app", "Print the JSON Schema of what a command prints with -o json."),
    "help": Entry(f"{_HERE}.show:help_app", "Print the troubleshooting entry that an error names."),
}

app = typer.Typer(
    name="pacifictool",
    cls=lazy_group(COMMANDS),
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=CONTEXT,
    epilog="pacifictool demo --fast\npacifictool setup --help",
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
    """Device data from a Pacificsoft IoT platform through Kafka and Spark and back.

    docs/cli.md describes every command, option and exit code.
    """
