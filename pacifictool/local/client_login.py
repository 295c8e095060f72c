"""How commands log in to the sandbox's Kafka broker without configuration.

Every command with Kafka settings calls this, so it imports `daemon` only if the broker is a sandbox's.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from pacifictool.local.broker_login import names_loopback_port
from pacifictool.settings import KafkaEndpoint, Settings, read_properties

_STATE_FILE = "sandbox.json"
_SECURITY = ("security.", "sasl.", "ssl.")


def with_sandbox_login(settings: Settings, folder: Path) -> Settings:
    """`settings` with the login for the sandbox that runs on `folder`, if its broker is the configured one.

    Unchanged when security properties are configured, and when the folder belongs to another user.
    """
    if any(name.startswith(_SECURITY) for name in settings.kafka.config):
        return settings
    try:
        if (folder / _STATE_FILE).stat().st_uid != os.geteuid():
            return settings
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
