"""Plugins, rules and rule chains one by one, whoever made them: to list, activate and suspend them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pacifictool.errors import NotFound, UsageError, did_you_mean
from pacifictool.plan import Kind


class PartState(StrEnum):
    """Whether messages pass through a part."""

    ACTIVE = "active"
    """Of a rule chain: the root rule chain hands messages to it."""
    SUSPENDED = "suspended"
    ROOT = "root"
    """The rule chain that every message enters first; there is always one."""


@dataclass(frozen=True, slots=True)
class ForwardingPart:
    """One plugin, rule or rule chain."""

    kind: Kind
    id: str
    name: str
    state: PartState
    detail: str
    """Where it leads, in one line: the class of a plugin, the topic of a rule, what hands messages to a rule chain."""
    is_system: bool
    """Whether it belongs to the installation; a tenant cannot change it."""

    def as_document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "state": str(self.state),
            "detail": self.detail,
            "system": self.is_system,
        }


def the_part(parts: Iterable[ForwardingPart], kind: Kind, name: str) -> ForwardingPart:
    """The part of that kind with this name or id.

    Raises NotFound with similar names, and UsageError when several have the name, which servers allow.
    """
    of_kind = [part for part in parts if part.kind is kind]
    found = [part for part in of_kind if part.id == name] or [part for part in of_kind if part.name == name]
    if not found:
        similar = did_you_mean(name, (part.name for part in of_kind))
        raise NotFound(f"There is no {kind.noun} {name!r}.", hint=similar or f"`pacifictool {kind} list` lists them.")
    if len(found) > 1:
        listed = ", ".join(f"{part.id} ({part.state})" for part in found)
        raise UsageError(
            f"There are {len(found)} {kind.noun}s named {name!r}: {listed}.", hint="Name one of them by its id."
        )
    return found[0]
