"""How commands find the user's running sandbox, and log in to its Kafka broker, without configuration.

Every command with settings calls this, so it imports `daemon` only if a sandbox may be meant.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pacifictool.local.broker_login import names_loopback_port
from pacifictool.settings import (
    BUILT_IN,
    RUNNING_SANDBOX,
    KafkaEndpoint,
    Settings,
    SourcedSetting,
    read_properties,
)
from pacifictool.settings.addresses import parse_mqtt

_STATE_FILE: Final = "sandbox.json"
_SECURITY: Final = ("security.", "sasl.", "ssl.")
_ADDRESSES: Final = ("url", "mqtt", "kafka", "platform_kafka")


def at_running_sandbox(settings: Settings, folder: Path) -> Settings:
    """`settings` with the addresses of the sandbox that runs on `folder`, if no address is configured at all.

    Unchanged when the sandbox has the usual ports, and when the folder belongs to another user.
    """
    if any(settings.origin(name) != BUILT_IN for name in _ADDRESSES):
        return settings
    if not _is_own(folder):
        return settings
    from pacifictool.local.daemon import read_state

    state = read_state(folder)
    if state is None:
        return settings
    mqtt = parse_mqtt(state.mqtt, settings.tls_files)
    usual = urlsplit(settings.url).port, settings.mqtt.port, settings.kafka.bootstrap.rpartition(":")[2]
    if (urlsplit(state.url).port, mqtt.port, state.kafka.rpartition(":")[2]) == usual:
        return settings
    found = dict(zip(_ADDRESSES, (state.url, str(mqtt), state.kafka, state.kafka), strict=True))
    return dataclasses.replace(
        settings,
        url=state.url,
        mqtt=mqtt,
        kafka=KafkaEndpoint(state.kafka, settings.kafka.config),
        platform_kafka=state.kafka,
        sources={**settings.sources, **{name: SourcedSetting(name, at, RUNNING_SANDBOX) for name, at in found.items()}},
    )


def with_sandbox_login(settings: Settings, folder: Path) -> Settings:
    """`settings` with the login for the sandbox that runs on `folder`, if its broker is the configured one.

    Unchanged when security properties are configured, and when the folder belongs to another user.
    """
    if any(name.startswith(_SECURITY) for name in settings.kafka.config) or not _is_own(folder):
        return settings
    try:
        address = json.loads((folder / _STATE_FILE).read_text(encoding="utf-8"))["kafka"]
        if not names_loopback_port(settings.kafka.bootstrap, int(address.rpartition(":")[2])):
            return settings
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return settings
    from pacifictool.local.daemon import read_state

    state = read_state(folder)
    if state is None or state.kafka_config is None:
        return settings
    properties = read_properties(Path(state.kafka_config))
    kafka = KafkaEndpoint(settings.kafka.bootstrap, {**properties, **settings.kafka.config})
    return dataclasses.replace(settings, kafka=kafka)


def _is_own(folder: Path) -> bool:
    """Whether there is a state file of a sandbox, and it is this user's."""
    try:
        return (folder / _STATE_FILE).stat().st_uid == os.geteuid()
    except OSError:
        return False
