"""The options that every command accepts, before or after its name. What they mean stands in docs/cli.md."""

from __future__ import annotations

from typing import Annotated

import typer

CONNECTION_PANEL = "Connection"
OUTPUT_PANEL = "Output"


def declare_global_options(
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="The platform's REST address. (env: PACIFICTOOL_URL, REST_URL; default: http://localhost:8080)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    username: Annotated[
        str | None,
        typer.Option(
            "--username",
            "-u",
            metavar="NAME",
            help="Who we are there. (env: PACIFICTOOL_USERNAME, REST_USERNAME; default: tenant@thingsboard.org)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    password_file: Annotated[
        str | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            help="File that holds the password; - reads standard input. "
            "(env: PACIFICTOOL_PASSWORD, REST_PASSWORD hold the password itself)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    api_key_file: Annotated[
        str | None,
        typer.Option(
            "--api-key-file",
            metavar="FILE",
            help="File that holds an API key (platform 4.3 and later) instead of user and password; - reads standard "
            "input. (env: PACIFICTOOL_API_KEY holds the key itself)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    server_version: Annotated[
        str | None,
        typer.Option(
            "--server-version",
            metavar="VERSION",
            help="The server's version, such as 4.3.1 or 2.x, instead of asking it. (env: PACIFICTOOL_SERVER_VERSION)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="HOST[:PORT]",
            help="Where devices publish; mqtts:// for TLS. "
            "(env: PACIFICTOOL_MQTT, MQTT_HOST, MQTT_PORT; default: host of the URL, 1883)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(
            "--kafka",
            metavar="HOST:PORT,…",
            help="Bootstrap servers. (env: PACIFICTOOL_KAFKA, KAFKA_BOOTSTRAP_SERVERS; default: localhost:9092)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    platform_kafka: Annotated[
        str | None,
        typer.Option(
            "--platform-kafka",
            metavar="HOST:PORT,…",
            help="Kafka as the platform reaches it, when that differs. "
            "(env: PACIFICTOOL_PLATFORM_KAFKA; default: --kafka)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    kafka_property: Annotated[
        list[str] | None,
        typer.Option(
            "-X",
            metavar="KEY=VALUE",
            help="Any Kafka property by librdkafka's name; repeatable.",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    kafka_config: Annotated[
        str | None,
        typer.Option(
            "--kafka-config",
            metavar="FILE",
            help="Properties file of such settings. (env: PACIFICTOOL_KAFKA_CONFIG)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    ca_file: Annotated[
        str | None,
        typer.Option(
            "--ca-file",
            metavar="FILE",
            help="Certificates to trust for https and mqtts (PEM). (env: PACIFICTOOL_CA_FILE)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    cert_file: Annotated[
        str | None,
        typer.Option(
            "--cert-file",
            metavar="FILE",
            help="Our own certificate (PEM) for https and mqtts. (env: PACIFICTOOL_CERT_FILE)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="The key of --cert-file. (env: PACIFICTOOL_KEY_FILE)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario",
            "-s",
            metavar="FILE",
            help="What to build and simulate (TOML). (env: PACIFICTOOL_SCENARIO; default: the tutorial)",
            rich_help_panel=CONNECTION_PANEL,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="table|json",
            help="json: exactly one document on stdout, also for errors. (env: PACIFICTOOL_OUTPUT; default: table)",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    verbose: Annotated[
        bool | None, typer.Option("--verbose", "-v", help="Tell more on stderr.", rich_help_panel=OUTPUT_PANEL)
    ] = None,
    quiet: Annotated[
        bool | None,
        typer.Option("--quiet", "-q", help="Only warnings and errors on stderr.", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    debug: Annotated[
        bool | None, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT_PANEL)
    ] = None,
    no_color: Annotated[
        bool | None, typer.Option("--no-color", help="No colours. (env: NO_COLOR)", rich_help_panel=OUTPUT_PANEL)
    ] = None,
) -> None:
    """Carries the declarations of the options that every command accepts."""
