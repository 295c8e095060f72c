"""What the sandbox does with alarms, as read in the sources of servers: docs/servers/alarms.md#creating-and-updating.

The contract tests have the rows that somebody has seen.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.errors import InvalidRequest, NotFound
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Asset, EntityId, Platform, Session
from pacifictool.rest.paging import TextPaging
from pacifictool.settings import Secret

TYPE = "Too warm"


def connected(sandbox: SandboxProcess) -> Platform:
    return Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant")))


@pytest.fixture(scope="module")
def first(sandbox: SandboxProcess) -> Iterator[Platform]:
    with connected(sandbox) as platform:
        yield platform


@pytest.fixture(scope="module")
def fourth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("fourth") / "data"
    with SandboxProcess(folder, options=("--generation", "4")) as process, connected(process) as platform:
        yield platform


@pytest.fixture(params=["first", "fourth"])
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def zone(platform: Platform, unique: str) -> Asset:
    return platform.assets.create(f"Zone {unique}", "Zone")


def post(platform: Platform, zone: Asset | EntityId, **more: object) -> dict[str, object]:
    identifier = zone if isinstance(zone, EntityId) else zone.entity_id
    body = {"originator": identifier.as_json(), "type": TYPE, "severity": "MAJOR", "status": "ACTIVE_UNACK"} | more
    return platform.session.request("POST", "/api/alarm", json=body, expect=dict)


def test_the_first_raise_takes_the_times(platform: Platform, zone: Asset) -> None:
    """docs/servers/alarms.md#creating-and-updating, row 9."""
    alarm = platform.alarms.raise_alarm(zone, TYPE, "MINOR", {}, 1000, 2000)
    assert (alarm.start_ms, alarm.end_ms) == (1000, 2000)
    open_ended = post(platform, zone, type="Other", startTs=1000)
    assert (open_ended["startTs"], open_ended["endTs"]) == (1000, 1000)


def test_times_of_a_repetition_on_1x(first: Platform, unique: str) -> None:
    """docs/servers/alarms.md#creating-and-updating, rows 10 and 11."""
    zone = first.assets.create(f"Zone {unique}", "Zone")
    alarm = first.alarms.raise_alarm(zone, TYPE, "MINOR", {}, 1000, 2000)
    first.session.request("POST", f"/api/alarm/{alarm.id}/ack")
    assert first.alarms.get(alarm.id).status == "ACTIVE_ACK"
    later = first.alarms.raise_alarm(zone, TYPE, "MINOR", {}, 1500, 2500)
    assert (later.start_ms, later.end_ms, later.status) == (1000, 2500, "ACTIVE_UNACK")


def test_a_second_clear_and_acknowledgement_on_4x(fourth: Platform, unique: str) -> None:
    """docs/servers/alarms.md#clearing-and-acknowledging, rows 6 and 7."""
    zone = fourth.assets.create(f"Zone {unique}", "Zone")
    alarm = fourth.alarms.raise_alarm(zone, TYPE, "MINOR", {}, 1000, 2000)
    for action in ("ack", "clear"):
        done = fourth.session.request("POST", f"/api/alarm/{alarm.id}/{action}", expect=dict)
        assert done["originatorName"] == zone.name
        with pytest.raises(InvalidRequest, match="Alarm was already"):
            fourth.session.request("POST", f"/api/alarm/{alarm.id}/{action}")
    fourth.alarms.clear(alarm.id)
    assert fourth.alarms.get(alarm.id).status == "CLEARED_ACK"


def test_an_originator_that_does_not_exist(first: Platform, fourth: Platform) -> None:
    """docs/servers/alarms.md#creating-and-updating, rows 13 and 14."""
    nobody = EntityId.asset("eb54ece0-e799-11f1-9f43-213db154d0ac")
    assert first.alarms.raise_alarm(nobody, TYPE, "MINOR", {}, 1, 2).originator == nobody
    with pytest.raises(NotFound):
        fourth.alarms.raise_alarm(nobody, TYPE, "MINOR", {}, 1, 2)
    with pytest.raises(NotFound):
        first.alarms.list(nobody)


def test_an_end_before_the_start_on_4x(fourth: Platform, unique: str) -> None:
    zone = fourth.assets.create(f"Zone {unique}", "Zone")
    with pytest.raises(InvalidRequest, match="start ts can't be greater"):
        post(fourth, zone, startTs=2, endTs=1)


def test_pages_of_1x(first: Platform, unique: str) -> None:
    """docs/servers/alarms.md#reading, row 5: with `idOffset` the first page comes again."""
    zone = first.assets.create(f"Zone {unique}", "Zone")
    types = [f"Type {number}" for number in range(7)]
    for type_ in types:
        first.alarms.raise_alarm(zone, type_, "MINOR", {}, 1, 2)
    path = f"/api/alarm/ASSET/{zone.id}"
    items = TextPaging(3).items_by_time(first.session, path, {})
    assert [item["type"] for item in items] == types[::-1]
    page = first.session.request("GET", path, params={"limit": 3}, expect=dict)
    offset = page["nextPageLink"]["idOffset"]
    again = first.session.request("GET", path, params={"limit": 3, "idOffset": offset}, expect=dict)
    assert again["data"] == page["data"]


def test_searches(platform: Platform, zone: Asset) -> None:
    """docs/servers/alarms.md#reading, row 6."""
    identifiers = {}
    for type_, actions in {"a": [], "b": ["ack"], "c": ["clear"], "d": ["ack", "clear"]}.items():
        identifiers[type_] = platform.alarms.raise_alarm(zone, type_, "MINOR", {}, 1, 2).id
        for action in actions:
            platform.session.request("POST", f"/api/alarm/{identifiers[type_]}/{action}")

    def found(**query: str) -> str:
        items = platform.session.request(
            "GET", f"/api/alarm/ASSET/{zone.id}", params={"limit": 9, "pageSize": 9, "page": 0, **query}, expect=dict
        )
        return "".join(sorted(item["type"] for item in items["data"]))

    searches = {"ANY": "abcd", "ACTIVE": "ab", "CLEARED": "cd", "ACK": "bd", "UNACK": "ac"}
    assert {search: found(searchStatus=search) for search in searches} == searches
    statuses = {"ACTIVE_UNACK": "a", "ACTIVE_ACK": "b", "CLEARED_UNACK": "c", "CLEARED_ACK": "d"}
    assert {status: found(status=status) for status in statuses} == statuses
    with pytest.raises(InvalidRequest, match="can't be specified at the same time"):
        found(status="ACTIVE_ACK", searchStatus="ANY")


def test_alarms_of_many_entities(platform: Platform, zone: Asset, unique: str) -> None:
    """docs/servers/alarms.md#reading, row 7."""
    other = platform.assets.create(f"Other {unique}", "Zone")
    quiet = platform.assets.create(f"Quiet {unique}", "Zone")
    foreign = platform.assets.create(f"Foreign {unique}", "Zone")
    for entity in (zone, other, foreign):
        platform.alarms.raise_alarm(entity, TYPE, "MINOR", {}, 1, 2)
    found = platform.alarms.of_many([zone, other, quiet], active=True)
    assert {alarm.originator for alarm in found} == {zone.entity_id, other.entity_id}


@pytest.mark.parametrize("generation", [1, 4])
def test_alarms_outlive_the_sandbox(data_dir: Path, generation: int) -> None:
    options = ("--generation", str(generation))
    with SandboxProcess(data_dir, options=options) as process, connected(process) as platform:
        zone = platform.assets.create("Zone", "Zone")
        alarm = platform.alarms.raise_alarm(zone, TYPE, "MINOR", {"x": ["ü"]}, 1, 2)
    with SandboxProcess(data_dir, options=options) as process, connected(process) as platform:
        assert platform.alarms.active(zone) == [alarm]
        platform.alarms.clear(alarm.id)
        assert platform.alarms.raise_alarm(zone, TYPE, "MINOR", {}, 1, 2).id != alarm.id


def test_a_data_folder_from_before_there_were_alarms(data_dir: Path) -> None:
    with SandboxProcess(data_dir) as process, connected(process) as platform:
        zone = platform.assets.create("Zone", "Zone")
    with contextlib.closing(sqlite3.connect(data_dir / "sandbox.db")) as database:
        database.executescript("DROP TABLE alarm; PRAGMA user_version=1;")
    with SandboxProcess(data_dir) as process, connected(process) as platform:
        assert platform.assets.find("Zone") == zone
        assert platform.alarms.raise_alarm(zone, TYPE, "MINOR", {}, 1, 2).is_active
