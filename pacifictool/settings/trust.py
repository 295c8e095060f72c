"""Which secret may be sent where.

Options, environment variables and the user's configuration file come from the user, and are trusted alike. The file of
the current folder is not: it came with the folder. So a secret of the user's is never sent to an address, under a name
or over a connection that the folder's file sets. A folder's own secret may be sent wherever its file says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn
from urllib.parse import urlsplit

from pacifictool.errors import SettingsError
from pacifictool.settings.addresses import is_loopback
from pacifictool.settings.kafka_policy import is_secret, is_security
from pacifictool.settings.keys import ENVIRONMENT
from pacifictool.settings.model import Level, Settings

KAFKA_PREFIX = "kafka_properties."
_TLS = ("ca_file", "cert_file", "key_file")


def check_trust(settings: Settings) -> None:
    """Raises SettingsError if a secret would be sent where only the folder's file says."""
    _check_platform(settings)
    _check_client_key(settings)
    _check_kafka(settings)


def check_device_token(settings: Settings, given_by: str) -> None:
    """The same for a device's access token that the user gave by option or variable, named by `given_by`."""
    if deciding := _decided_by_folder(settings, ("mqtt", *_TLS)):
        _refuse(settings, f"the access token from {given_by}", deciding)


def may_ask_platforms_kafka(settings: Settings) -> bool:
    """Whether the user's Kafka credentials may be sent to an address that the platform reports."""
    return not (settings.origin("url").is_folder and _kafka_secrets(settings))


def _check_platform(settings: Settings) -> None:
    name = "api_key" if settings.api_key is not None else "password"
    login = None if settings.password is None and settings.api_key is None else settings.origin(name)
    if login is not None and login.is_users:
        # An API key goes without a user's name.
        names = ("url", *(("username",) if name == "password" else ()), "mqtt", *_TLS)
        if deciding := _decided_by_folder(settings, names):
            _refuse(settings, f"the {'API key' if name == 'api_key' else 'password'} from {login}", deciding)
    elif login is None and not settings.origin("url").is_folder:
        # A user who types the password sees the URL, but neither the other settings nor where tokens are sent.
        if deciding := _decided_by_folder(settings, ("mqtt", *_TLS)):
            _refuse(settings, f"what belongs to {settings.url} (url from {settings.origin('url')})", deciding)
    elif (
        login is not None
        and login.level is Level.DEFAULT
        and settings.origin("mqtt").is_folder
        and not is_loopback(settings.mqtt.host)
    ):
        # The platform's published password protects nothing, but the tokens of its devices are real.
        _refuse(settings, f"access tokens of the devices at {settings.url}", ["mqtt"])


def _check_client_key(settings: Settings) -> None:
    origin = next((settings.origin(name) for name in ("key_file", "cert_file") if settings.origin(name).is_users), None)
    if origin is None:
        return
    uses_tls = {"url": urlsplit(settings.url).scheme == "https", "mqtt": settings.mqtt.tls}
    if deciding := _decided_by_folder(settings, [name for name, used in uses_tls.items() if used]):
        _refuse(settings, f"the client certificate from {origin}", deciding)


def _check_kafka(settings: Settings) -> None:
    secrets = _kafka_secrets(settings)
    if not secrets:
        return
    security = [name for name in settings.sources if is_security(name.removeprefix(KAFKA_PREFIX))]
    if deciding := _decided_by_folder(settings, ("kafka", "platform_kafka", *security)):
        _refuse(settings, f"{secrets[0]} from {settings.origin(KAFKA_PREFIX + secrets[0])}", deciding)


def _kafka_secrets(settings: Settings) -> list[str]:
    """The names of the user's own secrets among the Kafka properties."""
    names = [name.removeprefix(KAFKA_PREFIX) for name in settings.sources if name.startswith(KAFKA_PREFIX)]
    return [name for name in names if is_secret(name) and not settings.origin(KAFKA_PREFIX + name).is_folder]


def _decided_by_folder(settings: Settings, names: Iterable[str]) -> list[str]:
    return [name for name in names if settings.origin(name).is_folder]


def _refuse(settings: Settings, secret: str, deciding: list[str]) -> NoReturn:
    # The address of MQTT is derived from the URL unless it is given; naming it, too, would only confuse.
    if "url" in deciding and (settings.mqtt.host, settings.mqtt.port) == (urlsplit(settings.url).hostname, 1883):
        deciding = [name for name in deciding if name != "mqtt"]
    file = settings.origin(deciding[0])
    names = [name.removeprefix(KAFKA_PREFIX) for name in deciding]
    ways = [_way(name) for name in deciding]
    raise SettingsError(
        f"{file} decides {_listed(names)}, so that {secret} would be sent where this file says; it is not.",
        hint=f"If that is what you want, say so yourself with {_listed(ways)}. Otherwise remove"
        f" {'it' if len(names) == 1 else 'them'} from the file, or let the file name a secret of its own.",
        settings=names,
        file=str(file),
    )


def _way(name: str) -> str:
    if name.startswith(KAFKA_PREFIX):
        return f"-X {name.removeprefix(KAFKA_PREFIX)}=…"
    return f"--{name.replace('_', '-')} (or {ENVIRONMENT[name][0]})"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
