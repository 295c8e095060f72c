from __future__ import annotations

import uuid
from typing import Any

import pytest

from pacifictool.errors import InvalidRequest, NameChanged, NotFound, ServerFault, UnexpectedAnswer
from pacifictool.rest import AlarmInfo, Asset, EntityId, Platform, Session
from pacifictool.rest.alarms import MOST_OF_TENANT
from pacifictool.rest.paging import TextPaging
from pacifictool.server_version import parse_server_version
from tests.support.rest import SPRING_500
from tests.support.scripted_platform import DROP, EMPTY, NOT_FOUND, Reply, Request, ScriptedPlatform, platform_error

ZONE = EntityId.asset("eb54ece0-e799-11f1-9f43-213db154d0ac")
OTHER = EntityId.asset("eb54ece0-e799-11f1-9f43-213db154d0ad")
ALARM = "0c9a8f50-e799-11f1-9f43-213db154d0ac"
LIST = f"/api/alarm/ASSET/{ZONE.id}"
CLEAR = f"/api/alarm/{ALARM}/clear"
ALREADY_CLEARED = platform_error(400, "Alarm was already cleared!", 31)


def alarm(number: int = 0, **more: Any) -> dict[str, Any]:
    """An alarm as a server describes it."""
    return {
        "id": {"entityType": "ALARM", "id": f"{ALARM[:-4]}{number:04d}" if number else ALARM},
        "createdTime": 1795477550000 + number,
        "type": "Too warm",
        "name": "Too warm",
        "originator": ZONE.as_json(),
        "severity": "MAJOR",
        "status": "ACTIVE_UNACK",
        "startTs": 1795477550000 + number,
        "endTs": 1795477560000 + number,
        "details": {"x": 1},
        **more,
    }


@pytest.fixture(params=["1.4", "2.5.6", "3.9.1", "4.3.1"])
def any_platform(request: pytest.FixtureRequest, session: Session) -> Platform:
    return Platform(session, server_version=parse_server_version(request.param))


def raise_one(platform: Platform, **given: Any) -> AlarmInfo:
    arguments: dict[str, Any] = {
        "type": "Too warm",
        "severity": "MAJOR",
        "details": {"x": 1},
        "start_ms": 1,
        "end_ms": 2,
    } | given
    return platform.alarms.raise_alarm(ZONE, **arguments)


def test_what_is_sent_names_no_id(server: ScriptedPlatform, any_platform: Platform) -> None:
    server.on("POST", "/api/alarm", Reply(json=alarm()))
    raised = raise_one(any_platform)
    assert server.requests[-1].json == {
        "originator": ZONE.as_json(),
        "type": "Too warm",
        "severity": "MAJOR",
        "status": "ACTIVE_UNACK",
        "details": {"x": 1},
        "startTs": 1,
        "endTs": 2,
    }
    assert raised == AlarmInfo(
        id=ALARM,
        type="Too warm",
        severity="MAJOR",
        status="ACTIVE_UNACK",
        start_ms=1795477550000,
        end_ms=1795477560000,
        details={"x": 1},
        originator=ZONE,
        raw={},
    )
    assert raised.is_active


def test_an_asset_as_originator(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", "/api/alarm", Reply(json=alarm()))
    document = {"id": ZONE.as_json(), "createdTime": 1, "tenantId": {"id": ALARM}, "name": "Zone A", "type": "Zone"}
    platform.alarms.raise_alarm(Asset.from_json(document), "Too warm", "MAJOR", {}, 1, 2)
    assert server.requests[-1].json["originator"] == ZONE.as_json()


def test_a_raise_is_repeated_when_the_connection_breaks(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", "/api/alarm", DROP, Reply(json=alarm()))
    assert raise_one(platform).id == ALARM
    assert server.count("POST", "/api/alarm") == 2


@pytest.mark.parametrize(
    "given",
    [
        {"severity": "BAD"},
        {"severity": "major"},
        {"severity": ""},
        {"type": ""},
        {"type": " \t"},
        {"start_ms": 3},
        {"start_ms": 0},
        {"start_ms": -5},
        {"end_ms": 2**63},
        {"details": {"x": float("nan")}},
        {"details": {"x": object()}},
    ],
)
def test_what_the_platform_cannot_keep_is_not_sent(
    server: ScriptedPlatform, platform: Platform, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        raise_one(platform, **given)
    assert server.count("POST", "/api/alarm") == 0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (platform_error(500, "JSON parse error: Cannot deserialize value of type `AlarmSeverity`", 2), InvalidRequest),
        (platform_error(400, "Alarm type should be specified!", 31), InvalidRequest),
        (NOT_FOUND, NotFound),
        (SPRING_500, ServerFault),
    ],
)
def test_refusals(server: ScriptedPlatform, platform: Platform, reply: Reply, error: type[Exception]) -> None:
    server.on("POST", "/api/alarm", reply)
    with pytest.raises(error):
        raise_one(platform)


@pytest.mark.parametrize(
    "more",
    [
        {"id": None},
        {"id": {"id": "../../asset"}},
        {"type": None},
        {"severity": "PURPLE"},
        {"severity": 3},
        {"status": "BROKEN"},
        {"status": None},
        {"startTs": "1795477550000"},
        {"startTs": True},
        {"startTs": -1},
        {"endTs": 2**63},
        {"endTs": 1.5},
        {"originator": None},
        {"originator": {"entityType": 1, "id": ALARM}},
        {"originator": {"entityType": "ASSET", "id": "x"}},
        {"originator": OTHER.as_json()},
    ],
)
def test_a_response_that_makes_no_sense(server: ScriptedPlatform, platform: Platform, more: dict[str, Any]) -> None:
    server.on("POST", "/api/alarm", Reply(json=alarm(**more)))
    with pytest.raises(UnexpectedAnswer):
        raise_one(platform)


def test_a_type_that_the_server_spells_otherwise(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", "/api/alarm", Reply(json=alarm(type="too warm")))
    with pytest.raises(NameChanged, match="'Too warm' as 'too warm'"):
        raise_one(platform)


@pytest.mark.parametrize("details", [None, "a text", 3, ["a", "list"]])
def test_details_that_are_no_object(server: ScriptedPlatform, platform: Platform, details: Any) -> None:
    server.on("GET", f"/api/alarm/{ALARM}", Reply(json=alarm(details=details)))
    found = platform.alarms.get(ALARM)
    assert found.details == {}
    assert found.raw["details"] == details


@pytest.mark.parametrize("reply", [EMPTY, Reply(json=alarm(status="CLEARED_UNACK")), NOT_FOUND])
def test_clear(server: ScriptedPlatform, platform: Platform, reply: Reply) -> None:
    """Empty on 1.x and 2.x, the alarm on later servers (docs/servers/alarms.md#clearing-and-acknowledging, rows 1, 2)."""
    server.on("POST", CLEAR, reply)
    platform.alarms.clear(ALARM)
    assert server.count("POST", CLEAR) == 1


def test_a_clear_is_repeated_when_the_connection_breaks(server: ScriptedPlatform, platform: Platform) -> None:
    """The first may have succeeded, so that the second is refused (row 6)."""
    server.on("POST", CLEAR, DROP, ALREADY_CLEARED)
    server.on("GET", f"/api/alarm/{ALARM}", Reply(json=alarm(status="CLEARED_UNACK")))
    platform.alarms.clear(ALARM)
    assert server.count("POST", CLEAR) == 2


def test_a_clear_that_is_refused_for_another_reason(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", CLEAR, platform_error(400, "Not on Sundays!", 31))
    server.on("GET", f"/api/alarm/{ALARM}", Reply(json=alarm()))
    with pytest.raises(InvalidRequest, match="Not on Sundays"):
        platform.alarms.clear(ALARM)


def test_a_clear_that_is_refused_of_an_alarm_that_is_gone(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", CLEAR, ALREADY_CLEARED)
    platform.alarms.clear(ALARM)


@pytest.mark.parametrize(
    ("active", "status"), [(None, None), (True, "ACTIVE"), (False, "CLEARED")], ids=["all", "active", "cleared"]
)
def test_which_are_listed(
    server: ScriptedPlatform, any_platform: Platform, active: bool | None, status: str | None
) -> None:
    """Also when the server lists all of them, and some of other entities, whatever it is asked for."""
    by_status = [alarm(n, status=s) for n, s in enumerate(["ACTIVE_ACK", "CLEARED_ACK", "ACTIVE_UNACK"], 1)]
    data = [*by_status, alarm(4, originator=OTHER.as_json())]
    page = {"data": data, "nextPageLink": None, "hasNext": False, "totalPages": 1, "totalElements": len(data)}
    server.on("GET", LIST, Reply(json=page))
    found = any_platform.alarms.list(ZONE, active=active)
    assert server.requests[-1].query.get("searchStatus") == status
    expected = {None: [3, 2, 1], True: [3, 1], False: [2]}[active]
    assert [each.start_ms - 1795477550000 for each in found] == expected


class Shelf:
    """Alarms on pages as 1.x has them (docs/servers/alarms.md#reading, row 5)."""

    def __init__(self, count: int) -> None:
        self.alarms = [alarm(number) for number in range(count, 0, -1)]

    def __call__(self, request: Request) -> Reply:
        limit, offset = int(request.query["limit"]), request.query.get("offset")
        ids = [each["id"]["id"] for each in self.alarms]
        start = 0 if offset is None else ids.index(offset) + 1
        data = self.alarms[start : start + limit]
        full = len(data) == limit
        link = {"limit": limit, "idOffset": data[-1]["id"]["id"], "ascOrder": False} if full else None
        return Reply(json={"data": data, "nextPageLink": link, "hasNext": full})


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_every_page_of_1x_is_read(server: ScriptedPlatform, session: Session, count: int) -> None:
    server.on("GET", LIST, Shelf(count))
    items = list(TextPaging(3).items_by_time(session, LIST, {"searchStatus": "ACTIVE"}))
    assert [each["createdTime"] - 1795477550000 for each in items] == list(range(count, 0, -1))
    assert {request.query["searchStatus"] for request in server.requests} == {"ACTIVE"}


def test_every_page_of_later_servers_is_read(server: ScriptedPlatform, session: Session) -> None:
    def page(request: Request) -> Reply:
        number, size = int(request.query["page"]), int(request.query["pageSize"])
        data = [alarm(n + 1) for n in range(2500)][number * size : (number + 1) * size]
        return Reply(json={"data": data, "totalPages": 3, "totalElements": 2500, "hasNext": number < 2})

    server.on("GET", LIST, page)
    modern = Platform(session, server_version=parse_server_version("3.0"))
    assert len(modern.alarms.active(ZONE)) == 2500


PEERS = [EntityId.asset(f"eb54ece0-e799-11f1-9f43-2100000000{number:02d}") for number in range(5)]


def alarm_of(entity: EntityId, **more: Any) -> dict[str, Any]:
    return alarm(**{"originator": entity.as_json(), "id": {"id": entity.id}} | more)


def as_page(data: list[dict[str, Any]], **more: Any) -> Reply:
    page = {"data": data, "nextPageLink": None, "totalPages": 1, "totalElements": len(data), "hasNext": False}
    return Reply(json=page | more)


@pytest.mark.parametrize("version", ["3.3", "3.9.1", "4.3.1"])
def test_alarms_of_many_entities_are_one_request(server: ScriptedPlatform, session: Session, version: str) -> None:
    foreign = alarm_of(OTHER, severity="PURPLE", type=None)
    cleared = alarm_of(PEERS[1], status="CLEARED_ACK")
    server.on("GET", "/api/alarms", as_page([alarm_of(PEERS[3]), foreign, cleared, alarm_of(PEERS[0], startTs=1)]))
    platform = Platform(session, server_version=parse_server_version(version))
    found = platform.alarms.of_many(PEERS, active=True)
    assert [each.originator for each in found] == [PEERS[3], PEERS[0]]
    assert [request.query["searchStatus"] for request in server.requests] == ["ACTIVE"]


@pytest.mark.parametrize("version", ["1.4", "2.5.6", "3.2.2"])
def test_alarms_of_many_entities_are_one_request_each_on_older_servers(
    server: ScriptedPlatform, session: Session, version: str
) -> None:
    """One that does not exist has none."""
    for peer in PEERS[1:]:
        server.on("GET", f"/api/alarm/ASSET/{peer.id}", as_page([alarm_of(peer)]))
    platform = Platform(session, server_version=parse_server_version(version))
    assert {each.originator for each in platform.alarms.of_many(PEERS)} == set(PEERS[1:])
    assert server.count("GET", "/api/alarms") == 0


def test_a_tenant_with_too_many_alarms(server: ScriptedPlatform, session: Session) -> None:
    """Its pages are not read to the end; each entity is asked for instead."""

    def page(request: Request) -> Reply:
        number = int(request.query["page"])
        data = [alarm_of(OTHER, id={"id": str(uuid.UUID(int=number * 1000 + n))}) for n in range(1000)]
        return as_page(data, totalPages=100, totalElements=100_000, hasNext=True)

    server.on("GET", "/api/alarms", page)
    server.on("GET", LIST, as_page([alarm()]))
    modern = Platform(session, server_version=parse_server_version("4.3.1"))
    assert [each.id for each in modern.alarms.of_many([ZONE, OTHER])] == [ALARM]
    assert server.count("GET", "/api/alarms") == MOST_OF_TENANT // 1000 + 1


def test_an_entity_that_does_not_exist(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("GET", LIST, NOT_FOUND)
    with pytest.raises(NotFound):
        platform.alarms.list(ZONE)
