"""What a set-up or teardown will do: a list of steps that can be shown, counted and carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What happens to one thing."""

    CREATE = "created"
    CHANGE = "changed"
    KEEP = "unchanged"
    DELETE = "deleted"


class Kind(StrEnum):
    """What kind of thing it is, in the order in which a set-up makes them."""

    TOPIC = "topic"
    PLUGIN = "plugin"
    RULE = "rule"
    RULE_CHAIN = "rule-chain"
    DEVICE = "device"
    ATTRIBUTES = "attributes"
    ASSET = "asset"
    GATEWAY = "gateway"
    DASHBOARD = "dashboard"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing and what happens to it."""

    kind: Kind
    name: str
    action: Action
    differences: tuple[str, ...] = ()
    """For a change: what differs, in words ("geoZone: 'Zone A' instead of 'Zone B'")."""
    carry_out: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    """None for things that stay as they are."""

    def as_document(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "name": self.name,
            "action": str(self.action),
            "differences": list(self.differences),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps in the order in which they must be done."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    """Observations for a person, such as twins of a rule."""

    @classmethod
    def of(cls, steps: Iterable[Step], notes: Sequence[str] = ()) -> Plan:
        return cls(tuple(steps), tuple(notes))

    def count(self, action: Action, kind: Kind | None = None) -> int:
        """How many steps have this action (and are of this kind)."""
        return sum(step.action is action and kind in (None, step.kind) for step in self.steps)

    def of_kind(self, kind: Kind) -> tuple[Step, ...]:
        """The steps of one kind."""
        return tuple(step for step in self.steps if step.kind is kind)

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action is not Action.KEEP)

    def as_document(self) -> dict[str, Any]:
        """For JSON output: counts by action, then every step."""
        return {
            **{str(action): self.count(action) for action in Action},
            "steps": [step.as_document() for step in self.steps],
            "notes": list(self.notes),
        }
