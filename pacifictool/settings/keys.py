"""The names of settings: as environment variables and as keys of a configuration file."""

from __future__ import annotations

from collections.abc import Mapping

ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "url": ("PACIFICTOOL_URL", "REST_URL"),
    "username": ("PACIFICTOOL_USERNAME", "REST_USERNAME"),
    "password": ("PACIFICTOOL_PASSWORD", "REST_PASSWORD"),
    "password_file": ("PACIFICTOOL_PASSWORD_FILE",),
    "api_key": ("PACIFICTOOL_API_KEY",),
    "api_key_file": ("PACIFICTOOL_API_KEY_FILE",),
    "server_version": ("PACIFICTOOL_SERVER_VERSION",),
    "mqtt": ("PACIFICTOOL_MQTT",),
    "kafka": ("PACIFICTOOL_KAFKA", "KAFKA_BOOTSTRAP_SERVERS"),
    "kafka_config": ("PACIFICTOOL_KAFKA_CONFIG",),
    "platform_kafka": ("PACIFICTOOL_PLATFORM_KAFKA",),
    "scenario": ("PACIFICTOOL_SCENARIO",),
    "jars_mirror": ("PACIFICTOOL_JARS_MIRROR",),
    "jars_folder": ("PACIFICTOOL_JARS_FOLDER",),
    "ca_file": ("PACIFICTOOL_CA_FILE",),
    "cert_file": ("PACIFICTOOL_CERT_FILE",),
    "key_file": ("PACIFICTOOL_KEY_FILE",),
}
"""Environment variables by setting; the first that is set and not empty wins. The second names are the tutorial's."""

SECRETS = ("password", "api_key")
FILE_KEYS = frozenset(ENVIRONMENT) - set(SECRETS) | {"output", "log_format"}
"""Keys a configuration file may hold. Secrets stay out of it: name files with `password_file`, `api_key_file`."""

PATHS = frozenset(
    {"scenario", "password_file", "api_key_file", "kafka_config", "jars_folder", "ca_file", "cert_file", "key_file"}
)
"""Keys whose value is a path."""


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for child processes: none of them needs the password or API key."""
    secret = {variable for name in SECRETS for variable in ENVIRONMENT[name]}
    return {name: value for name, value in environ.items() if name not in secret}
