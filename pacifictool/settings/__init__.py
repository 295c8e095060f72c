"""Connections and credentials: the addresses of the platform, its MQTT port and Kafka, and the logins.

Precedence: flag > environment > ./pacifictool.toml > the file in the user's configuration folder > default. The
resolved values live in one frozen `Settings`, each with its source; nothing below the command line reads `os.environ`.

`./pacifictool.toml` wins over the user's file, but is trusted less: `files` and `kafka_policy` say what it must not
set, and `trust` keeps the user's secrets from where only that file says.
"""

from pacifictool.settings.addresses import is_loopback, parse_address, parse_kafka, parse_mqtt, parse_url
from pacifictool.settings.files import read_config_file, read_folder_file, user_config_file
from pacifictool.settings.keys import ENVIRONMENT, FILE_KEYS, SECRETS, without_secrets
from pacifictool.settings.model import (
    BUILT_IN,
    RUNNING_SANDBOX,
    KafkaEndpoint,
    Level,
    MqttEndpoint,
    Origin,
    Secret,
    Settings,
    SourcedSetting,
    TlsFiles,
)
from pacifictool.settings.properties import read_properties
from pacifictool.settings.resolve import DEFAULT_LOOPBACK_PASSWORD, DEFAULT_USERNAME, resolve
from pacifictool.settings.sources import Sources
from pacifictool.settings.trust import check_device_token, may_ask_platforms_kafka

__all__ = [
    "BUILT_IN",
    "DEFAULT_LOOPBACK_PASSWORD",
    "DEFAULT_USERNAME",
    "ENVIRONMENT",
    "FILE_KEYS",
    "RUNNING_SANDBOX",
    "SECRETS",
    "KafkaEndpoint",
    "Level",
    "MqttEndpoint",
    "Origin",
    "Secret",
    "Settings",
    "SourcedSetting",
    "Sources",
    "TlsFiles",
    "check_device_token",
    "is_loopback",
    "may_ask_platforms_kafka",
    "parse_address",
    "parse_kafka",
    "parse_mqtt",
    "parse_url",
    "read_config_file",
    "read_folder_file",
    "read_properties",
    "resolve",
    "user_config_file",
    "without_secrets",
]
