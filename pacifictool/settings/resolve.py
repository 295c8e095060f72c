"""Resolves settings from options, variables and files, and refuses combinations that are not safe."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from urllib.parse import urlsplit

from pacifictool.errors import SettingsError, file_fault, path_hint
from pacifictool.server_version import parse_server_version
from pacifictool.settings.addresses import DEFAULT_URL, is_loopback, parse_kafka, parse_mqtt, parse_url
from pacifictool.settings.files import check_folder_properties, kafka_table, read_guarded
from pacifictool.settings.kafka_policy import FILE_PROPERTIES, is_security, refuse_code, with_login
from pacifictool.settings.keys import ENVIRONMENT
from pacifictool.settings.model import (
    BUILT_IN,
    KafkaEndpoint,
    Level,
    MqttEndpoint,
    Origin,
    Secret,
    Settings,
    TlsFiles,
)
from pacifictool.settings.properties import read_properties
from pacifictool.settings.sources import Lookup, Sources
from pacifictool.settings.trust import KAFKA_PREFIX, check_trust
from pacifictool.tools.folders import expanded

DEFAULT_USERNAME = "tenant@thingsboard.org"
DEFAULT_LOOPBACK_PASSWORD = "tenant"  # noqa: S105 - the platform's published demo password, used on loopback only
DEFAULT_KAFKA = "localhost:9092"

_OPTION = {"password": "--password-file", "api_key": "--api-key-file"}
_CALLED = {"password": "password", "api_key": "API key"}


def resolve(sources: Sources) -> Settings:
    """The settings in effect.

    Raises SettingsError for invalid values, and if a secret of the user's would be sent where only the file of the
    current folder says (see `trust`).
    """
    lookup = Lookup(sources)
    url = parse_url(_text(lookup, "url", DEFAULT_URL))
    username = _text(lookup, "username", DEFAULT_USERNAME)
    tls_files = TlsFiles(lookup.path("ca_file"), lookup.path("cert_file"), lookup.path("key_file"))
    for option, path in (
        ("--ca-file", tls_files.ca_file),
        ("--cert-file", tls_files.cert_file),
        ("--key-file", tls_files.key_file),
    ):
        if path is not None and not path.is_file():
            raise SettingsError(f"{option}: there is no file {path}.", hint="Name a PEM file.")
    kafka = KafkaEndpoint(parse_kafka(_text(lookup, "kafka", DEFAULT_KAFKA)), _kafka_properties(sources, lookup))
    password, api_key = _login(sources, lookup, url, username)
    mqtt = _mqtt(sources, lookup, url, tls_files)
    platform_kafka = lookup.text("platform_kafka")
    if platform_kafka is None:
        lookup.note("platform_kafka", kafka.bootstrap, lookup.sourced["kafka"].origin)
    version = lookup.text("server_version")
    settings = Settings(
        url=url,
        username=username,
        password=password,
        mqtt=mqtt,
        kafka=kafka,
        platform_kafka=parse_kafka(platform_kafka or kafka.bootstrap),
        scenario_path=lookup.path("scenario"),
        tls_files=tls_files,
        jars_mirror=lookup.text("jars_mirror"),
        jars_folder=lookup.path("jars_folder"),
        api_key=api_key,
        server_version=None if version is None else parse_server_version(version),
        sources=lookup.sourced,
    )
    check_trust(settings)
    return settings


def _text(lookup: Lookup, key: str, default: str) -> str:
    text = lookup.text(key) or default
    # A value in the folder's file that equals the default does not count as set by it.
    noted = lookup.sourced.get(key)
    if noted is None or (noted.origin.is_folder and text == default and key not in lookup.user_file):
        lookup.note(key, default)
    return text


def _mqtt(sources: Sources, lookup: Lookup, url: str, tls_files: TlsFiles) -> MqttEndpoint:
    if text := lookup.text("mqtt"):
        return parse_mqtt(text, tls_files)
    origin = lookup.sourced["url"].origin
    if host := sources.environ.get("MQTT_HOST"):
        origin = Origin(Level.ENVIRONMENT, "MQTT_HOST")
    else:
        host = urlsplit(url).hostname or "localhost"
    port_text = sources.environ.get("MQTT_PORT") or "1883"
    if not port_text.isdigit() or not 0 < int(port_text) < 65536:
        raise SettingsError(
            f"MQTT_PORT: {port_text!r} is not a port number.", hint="Give a number from 1 to 65535, or use --mqtt."
        )
    endpoint = MqttEndpoint(host, int(port_text), tls_files=tls_files)
    lookup.note("mqtt", str(endpoint), origin)
    return endpoint


def _kafka_properties(sources: Sources, lookup: Lookup) -> dict[str, str]:
    """All Kafka properties; of one that is given several times, -X wins over a file of properties, and that over the
    configuration files."""
    properties: dict[str, str] = {}
    origins: dict[str, Origin] = {}
    options = with_login(dict(sources.flags.get("kafka_properties") or {}), "-X")

    def add(given: dict[str, str], origin: Origin) -> None:
        for name, value in given.items():
            earlier = origins.get(name)
            if earlier is not None and origin.is_folder and earlier.is_users:
                if value == properties[name]:
                    continue
                if is_security(name) and name not in options:
                    raise SettingsError(
                        f"{origin} sets the Kafka property {name}, which {earlier} sets, too; how a connection is"
                        " protected is not for a file of the current folder to change.",
                        hint=f"Remove it from one of the two, or give -X {name}=… yourself.",
                    )
            properties[name], origins[name] = value, origin

    for origin, document in reversed(lookup.documents()):
        place = Path(origin.name).parent
        table = with_login(kafka_table(document), str(origin))
        add({name: _from_file(place, name, value) for name, value in table.items()}, origin)
    if (config := lookup.find("kafka_config")) is not None:
        add(*_properties_file(sources, *config))
    for name, value in options.items():
        refuse_code(name, value, "-X")
    add(options, Origin(Level.FLAG, "-X"))
    for name, origin in origins.items():
        lookup.note(KAFKA_PREFIX + name, None, origin)
    return properties


def _properties_file(sources: Sources, name: str, origin: Origin) -> tuple[dict[str, str], Origin]:
    """The properties of the file that is named by `origin`. They are trusted like their origin."""
    path = expanded(name)
    if origin.is_folder:
        properties = read_properties(path, lambda file: read_guarded(file.resolve()))
    else:
        properties = with_login(read_properties(path), str(path))
    properties = {key: _from_file(path.parent, key, value) for key, value in properties.items()}
    if origin.is_folder:
        check_folder_properties(sources.folder, properties, str(path))
    for key, value in properties.items():
        refuse_code(key, value, str(path))
    return properties, Origin(origin.level, f"{path} (kafka_config)" if origin.level <= Level.USER_FILE else str(path))


def _from_file(place: Path, name: str, value: str) -> str:
    """A path in a file is relative to that file, and not to the current folder."""
    if name not in FILE_PROPERTIES or not value or (name, value) == ("ssl.ca.location", "probe"):
        return value
    if PureWindowsPath(value).is_absolute():
        return value
    return str(place / expanded(value))


def _login(sources: Sources, lookup: Lookup, url: str, username: str) -> tuple[Secret | None, Secret | None]:
    """Password and API key, of which one at most is there: the one from the source of higher precedence."""
    flags = sources.flags
    if flags.get("api_key_file") is not None and flags.get("password_file") is not None:
        raise SettingsError(
            "--api-key-file and --password-file exclude each other.", hint="An API key needs no password."
        )
    password, api_key = _place_of(sources, lookup, "password"), _place_of(sources, lookup, "api_key")
    # A user name on the command line wins over a key in the environment.
    named = flags.get("username") is not None and flags.get("api_key_file") is None
    if api_key is not None and not named and (password is None or _precedence(api_key) >= _precedence(password)):
        text, origin = api_key
        key = _secret(sources, "api_key", text, origin)
        if not key.reveal().isascii() or any(char.isspace() for char in key.reveal()):
            raise SettingsError(
                "The API key holds a blank or a character that no key has.", hint="It is one line, tb_…."
            )
        lookup.note("api_key", None, _shown(origin, "api_key"))
        return None, key
    if password is not None:
        text, origin = password
        lookup.note("password", None, _shown(origin, "password"))
        return _secret(sources, "password", text, origin), None
    if is_loopback(urlsplit(url).hostname or "") and username == DEFAULT_USERNAME:
        lookup.note("password", None, BUILT_IN)
        return Secret(DEFAULT_LOOPBACK_PASSWORD), None
    return None, None


def _place_of(sources: Sources, lookup: Lookup, name: str) -> tuple[str, Origin] | None:
    """The location of a secret: the variable that holds it, or the path of its file, with the source of that."""
    variable = next((key for key in ENVIRONMENT[name] if sources.environ.get(key)), None)
    named = lookup.find(f"{name}_file")
    # An explicit file option beats the variable; a file named in a configuration file does not.
    if named is not None and (named[1].level is Level.FLAG or variable is None):
        return named
    return None if variable is None else (variable, Origin(Level.ENVIRONMENT, variable))


def _precedence(place: tuple[str, Origin]) -> int:
    """Higher is stronger: option, variable, the folder's file, the user's file."""
    return {Level.FLAG: 3, Level.ENVIRONMENT: 2, Level.FOLDER_FILE: 1}.get(place[1].level, 0)


def _shown(origin: Origin, name: str) -> Origin:
    """The same source, worded so that a secret's own file differs from the file that names it."""
    in_file = origin.level in (Level.FOLDER_FILE, Level.USER_FILE)
    return Origin(origin.level, f"{name}_file in {origin.name}") if in_file else origin


def _secret(sources: Sources, name: str, text: str, origin: Origin) -> Secret:
    if origin.name in ENVIRONMENT[name]:
        return Secret(sources.environ[text])
    called, option = _CALLED[name], _OPTION[name]
    if text == "-":
        content = sources.read_stdin().removeprefix("\ufeff")
    else:
        path = expanded(text)
        try:
            content = read_guarded(path.resolve()) if origin.is_folder else path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"The {called} file {text} cannot be read: {file_fault(error)}.",
                hint=path_hint(error, option),
            ) from error
    secret = content.rstrip("\r\n")
    place = f"The {called} file" if text != "-" else "Standard input"
    if not secret:
        raise SettingsError(
            f"{place} is empty." if text != "-" else f"{place} held no {called}.",
            hint=f"Put the {called} on its first line.",
        )
    if "\n" in secret or "\r" in secret:
        # Any other file, such as a key or a configuration, would be sent to the server as it is.
        raise SettingsError(
            f"{place} holds more than one line, which no {called} has.", hint=f"Put only the {called} there."
        )
    return Secret(secret)
