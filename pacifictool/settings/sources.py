"""The sources of settings, and their precedence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacifictool.errors import SettingsError
from pacifictool.settings.files import PROJECT_FILE, read_config_file, read_folder_file
from pacifictool.settings.keys import ENVIRONMENT, PATHS
from pacifictool.settings.model import BUILT_IN, Level, Origin, SourcedSetting
from pacifictool.tools.folders import expanded


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of settings. The command line passes the real ones, tests their own."""

    flags: Mapping[str, Any]
    """Options given on the command line by name; `kafka_properties` is the mapping of all -X options."""
    environ: Mapping[str, str]
    folder: Path
    user_file: Path
    read_stdin: Callable[[], str]


class Lookup:
    """Finds the value of highest precedence for a setting, and remembers where it came from."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.folder_origin = Origin(Level.FOLDER_FILE, str(sources.folder / PROJECT_FILE))
        self.user_origin = Origin(Level.USER_FILE, str(sources.user_file))
        self.folder_file = read_folder_file(sources.folder)
        self.user_file = read_config_file(sources.user_file)
        self.sourced: dict[str, SourcedSetting] = {}
        """The settings in effect, as recorded by `note`."""

    def find(self, key: str) -> tuple[str, Origin] | None:
        """The value and its source; None when no source has one."""
        value = self._sources.flags.get(key)
        if value is not None:
            return str(value), Origin(Level.FLAG, f"--{key.replace('_', '-')}")
        for variable in ENVIRONMENT.get(key, ()):
            if found := self._sources.environ.get(variable):
                return found, Origin(Level.ENVIRONMENT, variable)
        for origin, document in self.documents():
            value = document.get(key)
            if value is None:
                continue
            if origin.is_folder and key not in PATHS and self.user_file.get(key) == value:
                continue  # the user's own file says the same
            if not isinstance(value, str):
                raise SettingsError(f"{key} in the configuration file must be a text.", hint="Put it in quotes.")
            # A path in a configuration file is relative to that file.
            if key in PATHS and value != "-":
                return str(Path(origin.name).parent / expanded(value)), origin
            return value, origin
        return None

    def documents(self) -> tuple[tuple[Origin, Mapping[str, Any]], ...]:
        """The configuration files, the one of higher precedence first."""
        return (self.folder_origin, self.folder_file), (self.user_origin, self.user_file)

    def text(self, key: str) -> str | None:
        """The value alone, noted with its source."""
        found = self.find(key)
        if found is None:
            return None
        text, origin = found
        # A mirror with a password in its address is refused when it is used, and not shown before.
        self.note(key, None if key == "jars_mirror" and "@" in text else text, origin)
        return text

    def path(self, key: str) -> Path | None:
        """The same as a path."""
        text = self.text(key)
        return None if text is None else expanded(text)

    def note(self, name: str, value: str | None, origin: Origin = BUILT_IN) -> None:
        """Records a setting in effect; `value` None hides it."""
        self.sourced[name] = SourcedSetting(name, value, origin)
