"""Parses and normalises addresses."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from pacifictool.errors import SettingsError
from pacifictool.settings.model import MqttEndpoint, TlsFiles

DEFAULT_URL = "http://localhost:8080"
_NO_FILES = TlsFiles()


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine's loopback interface."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_address(text: str, *, default_port: int, what: str) -> tuple[str, int]:
    """Splits "host", "host:port", "[::1]:port". Raises SettingsError naming `what`."""
    _refuse_credentials(text, what)
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
        valid = bool(host) and not (parts.path or parts.query or parts.fragment)
    except ValueError:
        valid = False
    if not valid or not _is_one_word(text):
        raise SettingsError(f"{what}: {text!r} is not an address.", hint="Write HOST or HOST:PORT.")
    return str(host), default_port if port is None else port


def _refuse_credentials(text: str, what: str) -> None:
    # Before anything else, so that no other complaint repeats them.
    if "@" in text:
        raise SettingsError(
            f"{what}: credentials do not belong in the address, where every process list shows them.",
            hint="Use --username and --password-file for the platform, --kafka-config for Kafka.",
        )


def _is_one_word(text: str) -> bool:
    return text.isprintable() and not any(char.isspace() for char in text)


def parse_mqtt(text: str, tls_files: TlsFiles = _NO_FILES) -> MqttEndpoint:
    """Turns "host", "host:1883", "mqtt://host" or "mqtts://host:8883" into an endpoint."""
    _refuse_credentials(text, "--mqtt")
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme not in ("mqtt", "mqtts"):
        raise SettingsError(f"--mqtt: unknown scheme {scheme!r}.", hint="Use mqtt:// or mqtts:// (TLS), or none.")
    tls = scheme == "mqtts"
    host, port = parse_address(rest.rstrip("/"), default_port=8883 if tls else 1883, what="--mqtt")
    return MqttEndpoint(host, port, tls, tls_files)


def parse_kafka(text: str) -> str:
    """Checks and normalises a comma-separated list of Kafka addresses."""
    addresses = [part.strip() for part in text.split(",") if part.strip()]
    if not addresses:
        raise SettingsError("--kafka: no address given.", hint="Write HOST:PORT, several separated by commas.")
    normal = []
    for address in addresses:
        host, port = parse_address(address, default_port=9092, what="--kafka")
        normal.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return ",".join(normal)


def parse_url(text: str) -> str:
    """Checks the platform's REST address and removes a trailing slash."""
    _refuse_credentials(text, "--url")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        valid = valid and not (parts.query or parts.fragment)
    except ValueError:
        valid = False
    if not valid or not _is_one_word(text):
        raise SettingsError(
            f"--url: {text!r} is not an http or https address.", hint=f"Write for example {DEFAULT_URL}."
        )
    return parts.geturl().rstrip("/")
