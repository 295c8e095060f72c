"""Reads scenarios: TOML files, and the tutorial's, which is a resource of the package."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pacifictool.errors import ScenarioError, file_fault
from pacifictool.models.config import MODELS
from pacifictool.scenario.model import Scenario
from pacifictool.scenario.names import suggestion
from pacifictool.scenario.version1 import refuse_version_1


def tutorial_scenario() -> Scenario:
    """The tutorial: turbines 1 and 2 in Zone A, turbine 3 in Zone B, asset Zone A; the job creates Zone B."""
    return parse_scenario(scenario_text(None), source="the tutorial scenario")


def scenario_text(path: Path | None) -> str:
    """A scenario file as it is; None: the tutorial's. Raises ScenarioError."""
    if path is None:
        return (resources.files("pacifictool") / "resources" / "tutorial.toml").read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ScenarioError(
            f"There is no scenario file {path}.", hint="Check the path given with --scenario or PACIFICTOOL_SCENARIO."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"The scenario file {path} cannot be read: {file_fault(error)}.", hint="It must be a readable UTF-8 text."
        ) from error


def load_scenario(path: Path, *, within: Path | None = None) -> Scenario:
    """Reads and validates a scenario file. With `within`, the files that it names must be in that folder.

    Raises ScenarioError with the file, the line or key and what to do.
    """
    return parse_scenario(scenario_text(path), source=str(path), folder=path.parent, within=within)


def parse_scenario(text: str, *, source: str, folder: Path | None = None, within: Path | None = None) -> Scenario:
    """Validates a scenario given as TOML text; `source` names it in error messages, and the files that it names are
    looked for in `folder` (None: the working directory). `within` as in `load_scenario`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{source} is not valid TOML: {error}.", hint="Fix that line and try again.") from None
    refuse_version_1(document, source)
    try:
        return Scenario.model_validate(document, context={"folder": folder, "within": within})
    except ValidationError as error:
        raise ScenarioError(
            f"{source}: {describe_validation_error(error)}.",
            hint="docs/scenario.md lists every table and key with its meaning.",
        ) from None


def describe_validation_error(error: ValidationError) -> str:
    """All errors of a pydantic validation as one sentence: "devices[2].rate: must be greater than 0; …"."""
    errors = error.errors(include_url=False)
    return "; ".join(_describe_error(each) for each in errors if not _follows(each, errors))


def _follows(error: Any, errors: Sequence[Any]) -> bool:
    """Whether the error only follows from another one: a list whose only item is wrong is "too short" as well, and a
    wrong text is not a list either, where both are possible."""
    others = [other for other in errors if other is not error]
    if error["type"] == "too_short":
        return any(other["loc"][: len(error["loc"])] == error["loc"] for other in others)
    is_text = error["type"] in ("list_type", "tuple_type") and isinstance(error["input"], str)
    return is_text and any(other["loc"][:-1] == error["loc"][:-1] for other in others)


def _describe_error(error: Any) -> str:
    place, kind = "", error["type"]
    loc = [part for part in error["loc"] if part != "[key]"]
    # For a union pydantic also names the member, which is not a key of the file.
    parts = [part for index, part in enumerate(loc) if not _is_union_member(tuple(loc[:index]), part)]
    for part in parts:
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if kind == "extra_forbidden":
        return f"unknown key {place!r}{suggestion(str(parts[-1]), _keys_of(parts[:-1]))}"
    if kind == "missing":
        return f"key {place!r} is missing"
    if kind in ("list_type", "tuple_type"):
        message = f"must be tables: [[{place}]]" if place in _LISTS_OF_TABLES else "must be a list in square brackets"
    elif kind in _MESSAGES:
        message = _MESSAGES[kind]
        if place.startswith("forwarding.valid."):
            message += ": valid has one for each key, such as { temperature = { min = -60, max = 80 } }"
    else:
        message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
        message = message[:1].lower() + message[1:]
    return f"{place}: {message}" if place else message


_LISTS_OF_TABLES = ("analytics", "alarms", "devices", "assets")
_MESSAGES = {
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "string_type": "must be a text in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "too_short": "must not be empty",
}


def _keys_of(place: list[Any]) -> list[str]:
    """The keys of the table at this place of a scenario; none if it is not one of the fixed tables."""
    table: Any = Scenario
    for part in place:
        if isinstance(part, str):
            field = table.model_fields.get(part)
            found = [] if field is None else [field.annotation, *get_args(field.annotation)]
            table = next((each for each in found if isinstance(each, type) and issubclass(each, BaseModel)), None)
            if table is None:
                return []
    return list(table.model_fields)


def _is_union_member(before: tuple[int | str, ...], part: int | str) -> bool:
    if part in MODELS:
        is_in_list = bool(before) and isinstance(before[-1], int)
        owner = before[-3:-2] if is_in_list else before[-2:-1]
        return owner in (("telemetry",), ("models",))
    return "attributes" in before and isinstance(part, str) and part.startswith(("constrained-", "function-", "tuple["))
