"""What all tables of a scenario have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Switch = Annotated[bool, Field(strict=True)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def duplicated(names: Iterable[str]) -> list[str]:
    """Names that are there more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def listed(names: Iterable[str]) -> str:
    """The names in quotes, for a sentence."""
    return ", ".join(repr(name) for name in names) or "none"
