"""Reads configuration files, and checks the one of the current folder more strictly.

`pacifictool.toml` of the current folder comes with whatever was downloaded or checked out there. As ssh and git do with
files that others own or can write, it is refused if anybody but the user or root could have changed it. Its content is
limited, too: no path that leads out of the folder, and no key that decides which code runs.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pacifictool.errors import SettingsError, file_fault
from pacifictool.settings.kafka_policy import FILE_PROPERTIES, refuse_code, refuse_in_folder, with_login
from pacifictool.settings.keys import FILE_KEYS, PATHS
from pacifictool.tools.folders import user_folder

PROJECT_FILE = "pacifictool.toml"

_NOT_IN_FOLDER = {
    "jars_mirror": "PACIFICTOOL_JARS_MIRROR",
    "jars_folder": "PACIFICTOOL_JARS_FOLDER",
}
"""Keys that decide where code comes from, with the variable to use instead."""


def user_config_file() -> Path:
    """The configuration file of the user, which need not exist."""
    return (user_folder("config") or Path(os.devnull)) / "config.toml"


def read_config_file(path: Path) -> dict[str, Any]:
    """Reads the user's configuration file; {} when there is none. Raises SettingsError with the line of an error."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    document = _parse(path, text)
    for name, value in with_login(kafka_table(document), str(path)).items():
        refuse_code(name, value, str(path))
    return document


def read_folder_file(folder: Path) -> dict[str, Any]:
    """Reads `pacifictool.toml` of the current folder; {} when there is none.

    Raises SettingsError for invalid content, for a file that others could have written, and for what it must not set.
    """
    path = folder / PROJECT_FILE
    try:
        text = read_guarded(path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    document = _parse(path, text)
    for key, variable in _NOT_IN_FOLDER.items():
        if key in document:
            raise SettingsError(
                f"{path}: {key} decides which code runs, which a file of the current folder must not.",
                hint=f"Set {variable}, or move the key to {user_config_file()}.",
            )
    for key in sorted(PATHS & set(document)):
        if isinstance(value := document[key], str):
            check_inside(folder, value, f"{path}: {key}")
    check_folder_properties(folder, kafka_table(document), str(path))
    return document


def check_folder_properties(folder: Path, properties: Mapping[str, str], where: str) -> None:
    """Raises SettingsError for Kafka properties that a file of the current folder must not set."""
    for name, value in properties.items():
        refuse_code(name, value, where)
        refuse_in_folder(name, where)
        if name in FILE_PROPERTIES and (name, value) != ("ssl.ca.location", "probe"):
            check_inside(folder, value, f"{where}: {name}")


def read_guarded(path: Path) -> str:
    """The text of a regular file that only its user or root could have written. Raises SettingsError and OSError."""
    if path.is_symlink():
        raise SettingsError(
            f"{path} is a symbolic link, which is not followed in the current folder.",
            hint="Put the file itself there, or remove the link.",
        )
    # The file may be replaced after this check: no link is followed, and opening a pipe does not block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="utf-8-sig") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError(f"{path} is not a regular file.", hint="Put a text file there, or remove it.")
        if status.st_uid not in (0, os.geteuid()):
            raise SettingsError(
                f"{path} belongs to another user (id {status.st_uid}), who decides what it says.",
                hint="If you trust its content, make it yours with chown, or copy it; otherwise change to another"
                " folder.",
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            who = "everybody" if status.st_mode & stat.S_IWOTH else "its group"
            raise SettingsError(
                f"{path} can be written by {who} (mode {stat.S_IMODE(status.st_mode):o}).",
                hint=f"If you trust its content: chmod go-w {path}",
            )
        return file.read()


def check_inside(folder: Path, value: str, where: str) -> None:
    """Raises SettingsError for a path of the folder's file that leads out of the folder or to a hidden file."""
    place = folder.resolve()
    path = (folder / value.replace("\0", "")).resolve()
    if value == "-" or "\0" in value or value.startswith("~") or not path.is_relative_to(place):
        raise SettingsError(
            f"{where} names {value!r}, which is outside of the folder.",
            hint="A file of the current folder may name files of that folder only. Give others by option, by variable"
            f" or in {user_config_file()}.",
        )
    if any(part.startswith(".") for part in path.relative_to(place).parts):
        raise SettingsError(
            f"{where} names {value!r}, which is hidden.",
            hint="Other programs keep their secrets in hidden files, so that a file of the current folder must not name"
            " one.",
        )


def kafka_table(document: Mapping[str, Any]) -> dict[str, str]:
    """The table `kafka_properties` of a configuration file. Raises SettingsError."""
    table = document.get("kafka_properties", {})
    if not isinstance(table, dict):
        raise SettingsError(
            "kafka_properties in the configuration file must be a table.",
            hint='Write for example: kafka_properties = { "security.protocol" = "SSL" }',
        )
    return {name: str(value) for name, value in table.items()}


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> SettingsError:
    return SettingsError(f"{path} cannot be read: {file_fault(error)}.", hint="Make it readable, or move it away.")


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.", hint="Fix that line.") from None
    if "password" in document:
        raise SettingsError(
            f"{path}: a password does not belong in this file.", hint="Name a separate file with password_file."
        )
    if "api_key" in document:
        raise SettingsError(
            f"{path}: an API key does not belong in this file.", hint="Name a separate file with api_key_file."
        )
    if unknown := sorted(set(document) - FILE_KEYS - {"kafka_properties"}):
        raise SettingsError(f"{path}: unknown key {unknown[0]!r}.", hint=f"Known keys: {', '.join(sorted(FILE_KEYS))}.")
    return document
