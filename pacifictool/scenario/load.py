"""Reads scenarios: TOML files, and the tutorial's, which is a resource of the package."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pacifictool.errors import ScenarioError, file_fault
from pacifictool.models.config import MODELS
from pacifictool.scenario.model import Scenario
from pacifictool.scenario.version1 import refuse_version_1


def tutorial_scenario() -> Scenario:
    """The tutorial: turbines 1 and 2 in Zone A, turbine 3 in Zone B, asset Zone A; the job creates Zone B."""
    text = (resources.files("pacifictool") / "resources" / "tutorial.toml").read_text(encoding="utf-8")
    return parse_scenario(text, source="the tutorial scenario")


def load_scenario(path: Path, *, within: Path | None = None) -> Scenario:
    """Reads and validates a scenario file. With `within`, the files that it names must be in that folder.

    Raises ScenarioError with the file, the line or key and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ScenarioError(
            f"There is no scenario file {path}.", hint="Check the path given with --scenario or PACIFICTOOL_SCENARIO."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"The scenario file {path} cannot be read: {file_fault(error)}.", hint="It must be a readable UTF-8 text."
        ) from error
    return parse_scenario(text, source=str(path), folder=path.parent, within=within)


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
    return "; ".join(_describe_error(each) for each in error.errors(include_url=False))


def _describe_error(error: Any) -> str:
    place = ""
    loc = error["loc"]
    # For a union pydantic also names the member, which is not a key of the file.
    parts = [part for index, part in enumerate(loc) if not _is_union_member(loc[:index], part)]
    for part in parts:
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}"
    if error["type"] == "missing":
        return f"key {place!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{place}: {message}" if place else message


def _is_union_member(before: tuple[int | str, ...], part: int | str) -> bool:
    if part in MODELS:
        return "telemetry" in before or before[-2:-1] == ("models",)
    return "attributes" in before and isinstance(part, str) and part.startswith(("constrained-", "function-", "tuple["))
