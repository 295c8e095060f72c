"""What setup, teardown and an import do to a platform: a list of changes that can be shown, counted and applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class ChangeAction(StrEnum):
    """What happens to one object."""

    CREATE = "created"
    CHANGE = "changed"
    KEEP = "unchanged"
    DELETE = "deleted"

    @property
    def planned(self) -> str:
        """The same of what has not happened yet."""
        return _PLANNED[self]


_PLANNED: Final = {
    ChangeAction.CREATE: "to create",
    ChangeAction.CHANGE: "to change",
    ChangeAction.KEEP: "unchanged",
    ChangeAction.DELETE: "to delete",
}


class Kind(StrEnum):
    """Kind of object, in the order in which setup creates them."""

    TOPIC = "topic"
    PLUGIN = "plugin"
    RULE = "rule"
    RULE_CHAIN = "rule-chain"
    DEVICE = "device"
    ATTRIBUTES = "attributes"
    ASSET = "asset"
    GATEWAY = "gateway"
    DASHBOARD = "dashboard"

    @property
    def noun(self) -> str:
        """For a person: "rule chain"."""
        return self.replace("-", " ")


@dataclass(frozen=True, slots=True)
class Change:
    """One object and what happens to it."""

    kind: Kind
    name: str
    action: ChangeAction
    differences: tuple[str, ...] = ()
    """What differs from what is wanted, in words ("geoZone: 'Zone A' instead of 'Zone B'")."""
    apply: Callable[[], object] | None = field(default=None, repr=False, compare=False)
    """Makes the change; None when there is nothing to do. Changes of one plan must be applied in their order."""

    def as_document(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "name": self.name,
            "action": str(self.action),
            "differences": list(self.differences),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, in the order in which they must be applied."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    """Observations for a person, such as duplicates of a rule."""

    @classmethod
    def from_changes(cls, changes: Iterable[Change], notes: Sequence[str] = ()) -> Plan:
        return cls(tuple(changes), tuple(notes))

    def count(self, action: ChangeAction, kind: Kind | None = None) -> int:
        """Number of changes with this action (and of this kind)."""
        return sum(change.action is action and kind in (None, change.kind) for change in self.changes)

    def of_kind(self, kind: Kind) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.kind is kind)

    @property
    def pending(self) -> tuple[Change, ...]:
        """All but those that keep an object as it is."""
        return tuple(change for change in self.changes if change.action is not ChangeAction.KEEP)

    def as_document(self) -> dict[str, Any]:
        """For JSON output: counts by action, then every change."""
        return {
            **{str(action): self.count(action) for action in ChangeAction},
            "steps": [change.as_document() for change in self.changes],
            "notes": list(self.notes),
        }
