"""The options that several or all commands accept, and how values given as text are parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pacifictool.errors import UsageError

SHOW_ALL = "pacifictool.help_all"
"""Set in a context's `meta` when its help shows connection and output options."""

CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", metavar="DIR", help="The job's checkpoint. (default: found by server, topic and sink)"
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
DurationOption = Annotated[
    str | None, typer.Option("--duration", metavar="TIME", help="Stop after this time, for example 30s.")
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="[HOST:]PORT",
        help="Serve /metrics for Prometheus, /health and /live for probes at http://127.0.0.1:PORT, or at HOST.",
    ),
]
PluginOption = Annotated[
    Path | None, typer.Option("--plugin", metavar="FILE", help="Plugin to use instead of the tutorial's.")
]
RuleOption = Annotated[
    Path | None, typer.Option("--rule", metavar="FILE", help="Rule to use instead of the tutorial's.")
]
RuleChainOption = Annotated[
    Path | None,
    typer.Option(
        "--rule-chain",
        metavar="FILE",
        help="Rule chain to use instead of the tutorial's (platform 2.0 and later).",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def _print_full_help(ctx: typer.Context, wanted: bool) -> None:  # noqa: FBT001 - Typer's callback signature
    if wanted and not ctx.resilient_parsing:
        ctx.meta[SHOW_ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


_HELP_ALL = typer.Option(
    "--help-all",
    is_eager=True,
    expose_value=False,
    callback=_print_full_help,
    help="Show connection and output options (such as --url, --kafka, --output) as well.",
)


def _connection(names: str, metavar: str, text: str) -> Any:
    return typer.Option(*names.split(), metavar=metavar, help=text, rich_help_panel="Connection")


def _output(names: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names.split(), metavar=metavar, help=text, rich_help_panel="Output")


Text = str | None
Flag = bool | None


def declare_global_options(
    help_all: Annotated[bool, _HELP_ALL] = False,
    url: Annotated[
        Text,
        _connection(
            "--url",
            "URL",
            "The platform's REST address. (env: PACIFICTOOL_URL, REST_URL; default: http://localhost:8080)",
        ),
    ] = None,
    username: Annotated[
        Text,
        _connection(
            "--username -u",
            "NAME",
            "User of the platform. (env: PACIFICTOOL_USERNAME, REST_USERNAME; default: tenant@thingsboard.org)",
        ),
    ] = None,
    password_file: Annotated[
        Text,
        _connection(
            "--password-file",
            "FILE",
            "File with the password; - reads standard input. "
            "(env: PACIFICTOOL_PASSWORD, REST_PASSWORD hold the password itself)",
        ),
    ] = None,
    api_key_file: Annotated[
        Text,
        _connection(
            "--api-key-file",
            "FILE",
            "File with an API key (platform 4.3 and later) instead of user and password; - reads standard input. "
            "(env: PACIFICTOOL_API_KEY holds the key itself)",
        ),
    ] = None,
    server_version: Annotated[
        Text,
        _connection(
            "--server-version",
            "VERSION",
            "The server's version, such as 4.3.1 or 2.x. (env: PACIFICTOOL_SERVER_VERSION; default: ask the server)",
        ),
    ] = None,
    mqtt: Annotated[
        Text,
        _connection(
            "--mqtt",
            "HOST[:PORT]",
            "MQTT address for devices; mqtts:// for TLS. "
            "(env: PACIFICTOOL_MQTT, MQTT_HOST, MQTT_PORT; default: host of the URL, 1883)",
        ),
    ] = None,
    kafka: Annotated[
        Text,
        _connection(
            "--kafka",
            "HOST:PORT,…",
            "Kafka bootstrap servers. (env: PACIFICTOOL_KAFKA, KAFKA_BOOTSTRAP_SERVERS; default: localhost:9092)",
        ),
    ] = None,
    platform_kafka: Annotated[
        Text,
        _connection(
            "--platform-kafka",
            "HOST:PORT,…",
            "Kafka bootstrap servers as the platform reaches them. (env: PACIFICTOOL_PLATFORM_KAFKA; default: --kafka)",
        ),
    ] = None,
    kafka_property: Annotated[
        list[str] | None,
        _connection("-X", "KEY=VALUE", "A Kafka client property, by its name in librdkafka; repeatable."),
    ] = None,
    kafka_config: Annotated[
        Text,
        _connection("--kafka-config", "FILE", "Properties file for Kafka clients. (env: PACIFICTOOL_KAFKA_CONFIG)"),
    ] = None,
    ca_file: Annotated[
        Text, _connection("--ca-file", "FILE", "CA certificates for https and mqtts (PEM). (env: PACIFICTOOL_CA_FILE)")
    ] = None,
    cert_file: Annotated[
        Text,
        _connection(
            "--cert-file", "FILE", "Client certificate for https and mqtts (PEM). (env: PACIFICTOOL_CERT_FILE)"
        ),
    ] = None,
    key_file: Annotated[
        Text, _connection("--key-file", "FILE", "Private key of --cert-file. (env: PACIFICTOOL_KEY_FILE)")
    ] = None,
    scenario: Annotated[
        Text,
        _connection(
            "--scenario -s",
            "FILE",
            "What to set up and simulate (TOML). (env: PACIFICTOOL_SCENARIO; default: the tutorial)",
        ),
    ] = None,
    output: Annotated[
        Text,
        _output(
            "--output -o",
            "json: exactly one document on stdout, for errors too. (env: PACIFICTOOL_OUTPUT; default: table)",
            "table|json",
        ),
    ] = None,
    log_format: Annotated[
        Text,
        _output(
            "--log-format",
            "json: messages and progress on stderr as one JSON object per line. "
            "(env: PACIFICTOOL_LOG_FORMAT; default: text)",
            "text|json",
        ),
    ] = None,
    verbose: Annotated[Flag, _output("--verbose -v", "More messages on stderr.")] = None,
    quiet: Annotated[Flag, _output("--quiet -q", "Only warnings and errors on stderr.")] = None,
    debug: Annotated[Flag, _output("--debug", "Show tracebacks.")] = None,
    no_color: Annotated[Flag, _output("--no-color", "No colours. (env: NO_COLOR)")] = None,
) -> None:
    """Declares the options that every command accepts, before or after its name."""


def parse_key_values(options: list[str], option_name: str = "-X") -> dict[str, str]:
    """The values of a repeated `-X key=value` as a mapping. Raises UsageError, which never shows a value."""
    pairs = {}
    for number, option in enumerate(options, start=1):
        key, separator, value = option.partition("=")
        if not separator or not key.strip():
            # It may be a password whose key was forgotten.
            raise UsageError(
                f"{option_name}: number {number} of these options is not of the form key=value.",
                hint="For example security.protocol=SSL.",
            )
        pairs[key.strip()] = value
    return pairs


def seconds_option(option: str, text: str) -> float:
    """A duration given as an option, in seconds. Raises UsageError."""
    from pacifictool.tools.times import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}.", hint="A number and a unit: ms, s, m, h or d.") from None
