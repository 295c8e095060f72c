"""`function = "anomaly:score"`: which Python function an analytics calls, and where its file is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

_FUNCTION: Final = re.compile(r"(?P<file>[^:]+):(?P<name>[A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A function of a Python file."""

    text: str
    """As the scenario has it."""
    file: Path
    name: str

    def __str__(self) -> str:
        return self.text


def parse_function(text: Any, info: ValidationInfo) -> FunctionReference:
    """Raises ValueError with a sentence for the user.

    A scenario that only a file of the current folder names never loads code (docs/security.md).
    """
    if isinstance(text, FunctionReference):
        return text
    found = _FUNCTION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'{text!r} is not a function of a file, such as "anomaly:score" or "lib/anomaly.py:score"')
    context = info.context or {}
    if context.get("within") is not None:
        raise ValueError(
            "a scenario that only ./pacifictool.toml names runs no code; name it with --scenario or in the environment"
        )
    path = PurePosixPath(found["file"])
    if path.suffix != ".py":
        path = path.with_name(f"{path.name}.py")
    folder = context.get("folder") or Path()
    return FunctionReference(text, folder / path, found["name"])


FunctionConfig = Annotated[FunctionReference, BeforeValidator(parse_function), PlainSerializer(str, return_type=str)]
