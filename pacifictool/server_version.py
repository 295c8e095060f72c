"""Versions of the server, as it writes them or as a person names them: "4.3.1", "3.6.4PE", "2.x"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pacifictool.errors import SettingsError

_VERSION = re.compile(r"(?P<numbers>\d{1,4}(\.\d{1,4}){0,3})(\.[xX])?([A-Za-z]{0,8})([-+_][A-Za-z0-9._+-]{1,40})?")


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """One version, or a range of them by its lower end ("3.x" counts as 3.0)."""

    numbers: tuple[int, ...]
    text: str = field(compare=False)
    """As it was written."""

    @classmethod
    def parse(cls, text: str) -> ServerVersion | None:
        """None for what is not a version. A suffix after the numbers (PE, -SNAPSHOT) is kept in `text` only."""
        match = _VERSION.fullmatch(text.strip())
        if match is None:
            return None
        numbers = tuple(int(number) for number in match["numbers"].split("."))
        return cls(numbers, text.strip())

    @property
    def major(self) -> int:
        return self.numbers[0]

    def at_least(self, *numbers: int) -> bool:
        """Whether it is this release or a later one; numbers that were not named count as 0."""
        length = max(len(numbers), len(self.numbers))
        own = self.numbers + (0,) * (length - len(self.numbers))
        return own >= numbers + (0,) * (length - len(numbers))

    def __str__(self) -> str:
        return self.text


def parse_server_version(text: str) -> ServerVersion:
    """What a person gives as --server-version. Raises SettingsError."""
    version = ServerVersion.parse(text)
    if version is None or not 1 <= version.major <= 99:
        raise SettingsError(
            f"--server-version: {text!r} is not a version.",
            hint="Write for example 4.3.1, 2.5 or 1.x; without it, the version is detected.",
        )
    return version
