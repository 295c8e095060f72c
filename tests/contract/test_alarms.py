"""Alarms on 1.x, row by row of docs/servers/alarms.md#creating-and-updating and the sections after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacifictool.rest import Platform
from tests.contract.alarms import OLD_MS, TYPE, Originator
from tests.contract.api import EMPTY_OK, Api, bare, framework_error, refusal
from tests.contract.factories import EntityFactory
from tests.contract.facts import Facts

SECTION = "9"


@pytest.fixture(scope="session")
def observed_on() -> str:
    """Alarms were observed on both servers (docs/servers/alarms.md#creating-and-updating, rows 1 and 5)."""
    return "1.4 to 2.5.6"


@pytest.fixture
def originator(api: Api, factory: EntityFactory) -> Iterator[Originator]:
    found = Originator(api, factory.asset("alarmed"), {"limit": 10})
    yield found
    found.clear_all()


def test_the_first_raise(api: Api, originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#creating-and-updating, row 1."""
    alarm = originator.raised()
    fact(SECTION, "status and name of a new alarm", (alarm["status"], alarm["name"]), ("ACTIVE_UNACK", TYPE))
    distance = abs(api.server_time_ms() - alarm["startTs"])
    fact.holds(SECTION, "it starts at the server's time", distance < 60_000, distance)
    fact(SECTION, "it ends when it starts", alarm["endTs"], alarm["startTs"])


def test_raised_again_while_active(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#creating-and-updating, rows 3, 4 and 5."""
    first, again = originator.raised(), originator.raised()
    fact(SECTION, "the same alarm raised again has the same id", again["id"], first["id"])
    fact.holds(SECTION, "its end advances", again["endTs"] >= first["endTs"], again["endTs"])
    changed = originator.raised(severity="CRITICAL", details={"y": 2}, startTs=OLD_MS, endTs=OLD_MS + 1)
    fact(SECTION, "raised with other values it has the same id", changed["id"], first["id"])
    replaced = (changed["severity"], changed["details"])
    fact(SECTION, "severity and details are replaced", replaced, ("CRITICAL", {"y": 2}))
    times = (changed["startTs"], changed["endTs"])
    fact(SECTION, "the times of the request are ignored", times, (first["startTs"], again["endTs"]))
    fact(SECTION, "it is one alarm", originator.listed(), [first["id"]["id"]])


def test_clearing(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#clearing-and-acknowledging, row 1; docs/servers/alarms.md#creating-and-updating, row 7."""
    first = originator.raised()
    fact(SECTION, "a clear returns nothing", bare(originator.call(first, "clear"))[:2], EMPTY_OK[:2])
    fact(SECTION, "the alarm is cleared", originator.read(first)["status"], "CLEARED_UNACK")
    fact(SECTION, "a second clear returns 200", originator.call(first, "clear").status_code, 200)
    fact.holds(SECTION, "raised after a clear it is another one", originator.raised()["id"] != first["id"], first["id"])


def test_acknowledging(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#clearing-and-acknowledging, row 5."""
    alarm = originator.raised()
    fact(SECTION, "an acknowledgement returns 200", originator.call(alarm, "ack").status_code, 200)
    fact(SECTION, "the alarm is acknowledged", originator.read(alarm)["status"], "ACTIVE_ACK")


def test_a_status_in_the_body_clears(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#clearing-and-acknowledging, row 3."""
    first = originator.raised()
    cleared = originator.raised(status="CLEARED_UNACK")
    fact(
        SECTION,
        "CLEARED_UNACK clears the active alarm",
        (cleared["id"], cleared["status"]),
        (first["id"], "CLEARED_UNACK"),
    )


def test_an_id_brings_a_cleared_alarm_back(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#creating-and-updating, row 8."""
    first = originator.raised()
    originator.call(first, "clear")
    back = originator.raised(id=first["id"])
    fact(SECTION, "saved with its id", (back["id"], back["status"]), (first["id"], "ACTIVE_UNACK"))


def test_lists(originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#reading, row 1."""
    old = originator.raised(type="Old")["id"]
    originator.call({"id": old}, "clear")
    new = originator.raised()["id"]
    fact(SECTION, "all alarms of the asset", sorted(originator.listed()), sorted([old["id"], new["id"]]))
    fact(SECTION, "its active alarms", originator.listed(searchStatus="ACTIVE"), [new["id"]])


def test_the_highest_severity(api: Api, originator: Originator, fact: Facts) -> None:
    """docs/servers/alarms.md#reading, row 3."""
    originator.raised(type="Small", severity="WARNING")
    originator.raised(type="Large", severity="MAJOR")
    response = api.call("GET", f"/api/alarm/highestSeverity/ASSET/{originator.asset.id}")
    fact(SECTION, "the highest severity", (response.status_code, response.text.strip('"')), (200, "MAJOR"))


def test_an_alarm_outlives_its_originator(
    api: Api, factory: EntityFactory, originator: Originator, fact: Facts
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
    """docs/servers/alarms.md#refusals, rows 1 and 3."""
    error = framework_error(originator.post(severity="PURPLE"))
    fact(SECTION, "an unknown severity", error[:2], (400, "Bad Request"))
    expected = (400, 31, "Alarm type should be specified!")
    fact(SECTION, "an empty type", refusal(originator.post(type="")), expected)
    fact(SECTION, "nothing is raised", originator.listed(), [])


def test_the_rest_client(platform: Platform, originator: Originator, fact: Facts) -> None:
    entity = originator.asset.entity
    first = platform.alarms.raise_alarm(entity, TYPE, "MAJOR", {"x": 1}, OLD_MS, OLD_MS + 1)
    again = platform.alarms.raise_alarm(entity, TYPE, "CRITICAL", {"x": 2}, OLD_MS, OLD_MS + 2)
    fact(SECTION, "the client raises one alarm", again.id, first.id)
    fact(SECTION, "the client lists the active one", platform.alarms.active(entity), [again])
    platform.alarms.clear(first.id)
    platform.alarms.clear(first.id)
    fact(SECTION, "the client clears", platform.alarms.active(entity), [])
    fact(SECTION, "the client lists cleared ones", [each.id for each in platform.alarms.list(entity)], [first.id])
