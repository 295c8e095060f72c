"""Alarms on 4.x, row by row of docs/servers/alarms.md#creating-and-updating and the sections after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacifictool.rest import Platform
from tests.contract.alarms import OLD_MS, TYPE, Originator
from tests.contract.api import Api, refusal
from tests.contract.facts import Facts
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.server import Server

SECTION = "modern 7"


@pytest.fixture
def originator(api: Api, factory: ModernEntityFactory) -> Iterator[Originator]:
    found = Originator(api, factory.asset("alarmed"), {"pageSize": 10, "page": 0})
    yield found
    found.clear_all()


def test_the_first_raise(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#creating-and-updating, row 2."""
    alarm = originator.raised(startTs=OLD_MS, endTs=OLD_MS + 1)
    fact(SECTION, "status and name of a new alarm", (alarm["status"], alarm["name"]), ("ACTIVE_UNACK", TYPE))
    fact(SECTION, "its times are those of the request", (alarm["startTs"], alarm["endTs"]), (OLD_MS, OLD_MS + 1))


def test_raised_again_while_active(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#creating-and-updating, rows 3 and 6."""
    first, again = originator.raised(), originator.raised()
    fact(SECTION, "the same alarm raised again has the same id", again["id"], first["id"])
    changed = originator.raised(severity="CRITICAL", details={"y": 2}, startTs=OLD_MS, endTs=OLD_MS + 1)
    fact(SECTION, "raised with other values it has the same id", changed["id"], first["id"])
    replaced = (changed["severity"], changed["details"])
    fact(SECTION, "severity and details are replaced", replaced, ("CRITICAL", {"y": 2}))
    times = (changed["startTs"], changed["endTs"])
    fact(SECTION, "the times are replaced", times, (OLD_MS, OLD_MS + 1))
    fact(SECTION, "it is one alarm", originator.listed(), [first["id"]["id"]])


def test_clearing(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#clearing-and-acknowledging, row 2; docs/servers/alarms.md#creating-and-updating, row 7."""
    first = originator.raised()
    cleared = originator.call(first, "clear")
    shown = (cleared.status_code, cleared.json()["id"], cleared.json()["status"])
    fact(SECTION, "a clear returns the alarm", shown, (200, first["id"], "CLEARED_UNACK"))
    fact(SECTION, "the alarm is cleared", originator.read(first)["status"], "CLEARED_UNACK")
    fact.holds(SECTION, "raised after a clear it is another one", originator.raised()["id"] != first["id"], first["id"])


def test_a_status_in_the_body_is_ignored(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#clearing-and-acknowledging, row 4."""
    first = originator.raised()
    same = originator.raised(status="CLEARED_UNACK")
    fact(SECTION, "CLEARED_UNACK is ignored", (same["id"], same["status"]), (first["id"], "ACTIVE_UNACK"))


def test_lists(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#reading, row 2."""
    old = originator.raised(type="Old")["id"]
    originator.call({"id": old}, "clear")
    new = originator.raised()["id"]
    fact(SECTION, "all alarms of the asset", sorted(originator.listed()), sorted([old["id"], new["id"]]))
    fact(SECTION, "its active alarms", originator.listed(searchStatus="ACTIVE"), [new["id"]])


def test_an_alarm_outlives_its_originator(
    api: Api, factory: ModernEntityFactory, originator: Originator, fact: Facts
) -> None:
    """docs/servers/alarms.md#reading, row 4."""
    asset = factory.asset("deleted")
    alarm = originator.raised(originator={"entityType": "ASSET", "id": asset.id})
    api.call("DELETE", f"/api/asset/{asset.id}")
    factory.forget("asset", asset.id)
    found = originator.read(alarm)
    fact(SECTION, "an alarm of a deleted asset", (found["id"], found["status"]), (alarm["id"], "ACTIVE_UNACK"))
    originator.call(alarm, "clear")


def test_refusals(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#refusals, rows 2 and 4."""
    status, code, message = refusal(originator.post(severity="PURPLE"))
    fact(SECTION, "an unknown severity", (status, code, message[:16]), (500, 2, "JSON parse error"))
    fact(SECTION, "an empty type", originator.raised(type="")["type"], "")


def test_the_rest_client(server: Server, originator: Originator, fact: Facts) -> None:
    entity = originator.asset.entity
    with Platform.connect(server.settings) as platform:
        first = platform.alarms.raise_alarm(entity, TYPE, "MAJOR", {"x": 1}, OLD_MS, OLD_MS + 1)
        again = platform.alarms.raise_alarm(entity, TYPE, "CRITICAL", {"x": 2}, OLD_MS, OLD_MS + 2)
        fact(SECTION, "the client raises one alarm", again.id, first.id)
        fact(SECTION, "the client lists the active one", platform.alarms.active(entity), [again])
        platform.alarms.clear(first.id)
        platform.alarms.clear(first.id)
        fact(SECTION, "the client clears", platform.alarms.active(entity), [])
        fact(SECTION, "the client lists cleared ones", [each.id for each in platform.alarms.list(entity)], [first.id])
