"""The login of the platform's own producers at the sandbox's broker, so that plugins and nodes need no credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pacifictool.errors import SettingsError
from pacifictool.private_files import write_private
from pacifictool.settings import is_loopback, parse_address


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    """Reads the file of `write_broker_login` at each start of a producer, as the broker may start later."""

    file: Path | None = None
    """None: the sandbox has no broker that needs a login."""

    def properties(self, bootstrap: str, given: Mapping[str, object]) -> Mapping[str, str]:
        """librdkafka's properties for the login at `bootstrap`; {} for other brokers, or if `given` configures one."""
        if self.file is None or "security.protocol" in given:
            return {}
        try:
            document = json.loads(self.file.read_text(encoding="utf-8"))
            port, properties = int(document["port"]), dict(document["properties"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return properties if names_loopback_port(bootstrap, port) else {}


def write_broker_login(path: Path, port: int, properties: Mapping[str, str]) -> None:
    """Writes the properties for clients of the broker at `port` to a file that only this user can read."""
    write_private(path, json.dumps({"port": port, "properties": dict(properties)}) + "\n")


def names_loopback_port(bootstrap: str, port: int) -> bool:
    """Whether all addresses of `bootstrap` are `port` on this machine's loopback interface."""
    try:
        addresses = [
            parse_address(text.strip(), default_port=9092, what="Kafka")
            for text in bootstrap.split(",")
            if text.strip()
        ]
    except SettingsError:
        return False
    return bool(addresses) and all(is_loopback(host) and at == port for host, at in addresses)
