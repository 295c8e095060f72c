r"""Reads Kafka properties files as Java clients and librdkafka's tools have them.

The syntax is that of java.util.Properties: `key=value` or `key: value`, comments with # or !, a backslash at the end of
a line that continues it, and backslash escapes. Two deviations keep files readable that were written for librdkafka,
which knows no escapes: a backslash before any other character stays (`C:\kafka`), and so do escapes for control
characters (`\r`, `\t`, `\f`), which no Kafka property holds; `\n` is a line end in PEM text only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pacifictool.errors import SettingsError, file_fault, path_hint

_ENTRY = re.compile(r"((?:[^\\\s=:]|\\.)+)\s*[=:]\s*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\\:=#! ]))")
_JAAS = re.compile(
    r"\s*(?:org\.apache\.kafka\.common\.security\.)"
    r"(?:plain\.PlainLoginModule|scram\.ScramLoginModule)\s+required\s+(?P<options>.*?)\s*;?\s*",
    re.DOTALL,
)
_JAAS_OPTION = re.compile(r"\s*(\w+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s;\"']+))")


def read_properties(path: Path, read: Callable[[Path], str] | None = None) -> dict[str, str]:
    """The properties of a file. `read` returns its text, for files that must be checked first.

    Raises SettingsError with the line of an error, never with a value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig") if read is None else read(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The Kafka configuration file {path} cannot be read: {file_fault(error)}.",
            hint=path_hint(error, "--kafka-config or PACIFICTOOL_KAFKA_CONFIG"),
        ) from error
    properties = {}
    for number, line in _logical_lines(text):
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            raise SettingsError(f"{path}, line {number}: expected key=value.", hint="One Kafka property per line.")
        properties[_unescaped(entry[1])] = _value(entry[2])
    return properties


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments and blank ones, continuations joined, with the number that each began at."""
    began, parts = 0, list[str]()
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        content = line.lstrip()
        if not parts:
            if not content or content[0] in "#!":
                continue
            began = number
        if (len(content) - len(content.rstrip("\\"))) % 2:
            parts.append(content[:-1])
            continue
        yield began, "".join([*parts, content]).rstrip()
        parts.clear()
    if joined := "".join(parts).rstrip():
        yield began, joined


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], text)


def _value(text: str) -> str:
    value = _unescaped(text)
    return value.replace("\\n", "\n") if value.startswith("-----BEGIN") else value


def jaas_login(text: str) -> tuple[str, str] | None:
    """Username and password of a plain or SCRAM login in `sasl.jaas.config`; None for any other login module."""
    match = _JAAS.fullmatch(text)
    if match is None:
        return None
    options, end = {}, 0
    for option in _JAAS_OPTION.finditer(match["options"]):
        if option.start() != end:
            return None
        name, double, single, bare = option.groups()
        quoted = double if double is not None else single
        options[name] = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        end = option.end()
    if match["options"][end:].strip() or set(options) != {"username", "password"}:
        return None
    return options["username"], options["password"]
