from __future__ import annotations

import threading

import pytest

from pacifictool.errors import Interrupted
from pacifictool.plan import Change, ChangeAction, Kind, Plan
from pacifictool.provisioning.apply import apply_plan


def test_a_plan_counts_its_changes_and_knows_which_are_pending() -> None:
    plan = Plan.from_changes(
        [
            Change(Kind.TOPIC, "t", ChangeAction.KEEP),
            Change(Kind.DEVICE, "d", ChangeAction.CREATE),
            Change(Kind.DEVICE, "e", ChangeAction.CHANGE, ("type: 'a' instead of 'b'",)),
        ],
        ["a note"],
    )
    assert [change.name for change in plan.pending] == ["d", "e"]
    assert (plan.count(ChangeAction.CREATE), plan.count(ChangeAction.KEEP, Kind.DEVICE)) == (1, 0)
    assert plan.as_document() == {
        "created": 1,
        "changed": 1,
        "unchanged": 1,
        "deleted": 0,
        "steps": [
            {"kind": "topic", "name": "t", "action": "unchanged", "differences": []},
            {"kind": "device", "name": "d", "action": "created", "differences": []},
            {"kind": "device", "name": "e", "action": "changed", "differences": ["type: 'a' instead of 'b'"]},
        ],
        "notes": ["a note"],
    }


def test_changes_are_applied_in_the_order_of_the_plan() -> None:
    done: list[str] = []

    def change(kind: Kind, name: str) -> Change:
        return Change(kind, name, ChangeAction.CREATE, apply=lambda: done.append(name))

    apply_plan(
        Plan.from_changes(
            [change(Kind.TOPIC, "1"), change(Kind.PLUGIN, "2"), change(Kind.DEVICE, "3"), change(Kind.ASSET, "4")]
        )
    )
    assert done == ["1", "2", "3", "4"]


def test_no_further_change_begins_after_a_stop() -> None:
    stop = threading.Event()
    done: list[str] = []
    first = Change(Kind.PLUGIN, "p", ChangeAction.CREATE, apply=stop.set)
    second = Change(Kind.RULE, "r", ChangeAction.CREATE, apply=lambda: done.append("r"))
    with pytest.raises(Interrupted):
        apply_plan(Plan.from_changes([first, second]), stop=stop)
    assert done == []
