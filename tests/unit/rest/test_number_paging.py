from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest import Session
from pacifictool.rest.paging import NumberPaging
from tests.support.scripted_platform import Reply, Request, ScriptedPlatform

PATH = "/api/tenant/things"
IDS = [str(uuid.UUID(int=number)) for number in range(1, 1000)]


class Things:
    """Pages as a 4.3.1 server: by number, with the totals of the moment (docs/servers/4.x.md#pages, row 1)."""

    def __init__(self, count: int) -> None:
        self.ids = IDS[:count]

    def __call__(self, request: Request) -> Reply:
        size, page = int(request.query["pageSize"]), int(request.query["page"])
        assert (request.query["sortProperty"], request.query["sortOrder"]) == ("createdTime", "ASC")
        data = self.ids[page * size : (page + 1) * size]
        pages = -(-len(self.ids) // size)
        return Reply(
            json={
                "data": [{"id": {"id": one}} for one in data],
                "totalPages": pages,
                "totalElements": len(self.ids),
                "hasNext": page + 1 < pages,
            }
        )


def identifiers(items: Any) -> list[str]:
    return [item["id"]["id"] for item in items]


@pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 20, 101])
def test_every_page_is_read(server: ScriptedPlatform, session: Session, total: int) -> None:
    server.on("GET", PATH, Things(total))
    assert identifiers(NumberPaging(10).items(session, PATH, {"type": "a &?"})) == IDS[:total]
    assert server.count("GET", PATH) == max(1, -(-total // 10))
    assert {request.query["type"] for request in server.requests} == {"a &?"}


def test_nothing_is_read_ahead(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", PATH, Things(200))
    assert len(list(itertools.islice(NumberPaging(10).items(session, PATH, {}), 10))) == 10
    assert server.count("GET", PATH) == 1


@pytest.mark.parametrize("total", [5, 20, 25, 95])
def test_whoever_deletes_what_comes_out_meets_every_item(
    server: ScriptedPlatform, session: Session, total: int
) -> None:
    things = Things(total)
    server.on("GET", PATH, things)
    met = []
    for identifier in (item["id"]["id"] for item in NumberPaging(10).items(session, PATH, {})):
        met.append(identifier)
        things.ids = [one for one in things.ids if one != identifier]
    assert met == IDS[:total]
    assert things.ids == []


def test_whoever_deletes_some_meets_the_others_once(server: ScriptedPlatform, session: Session) -> None:
    things = Things(60)
    server.on("GET", PATH, things)
    met = []
    for number, item in enumerate(NumberPaging(10).items(session, PATH, {})):
        met.append(item["id"]["id"])
        if number % 3 == 0:
            things.ids = [one for one in things.ids if one != met[-1]]
    assert met == IDS[:60]


def test_what_is_created_meanwhile_comes_last_and_once(server: ScriptedPlatform, session: Session) -> None:
    things = Things(15)
    server.on("GET", PATH, things)
    items = NumberPaging(10).items(session, PATH, {})
    first = identifiers(itertools.islice(items, 10))
    things.ids = IDS[:25]
    assert first + identifiers(items) == IDS[:25]


def same_page(_request: Request) -> Reply:
    return Reply(json={"data": [{"id": {"id": IDS[0]}}], "totalElements": 50, "totalPages": 50, "hasNext": True})


def empty_page(_request: Request) -> Reply:
    return Reply(json={"data": [], "totalElements": 50, "totalPages": 50, "hasNext": True})


def changing_totals() -> Callable[[Request], Reply]:
    totals = itertools.cycle([50, 20])

    def response(request: Request) -> Reply:
        item = {"id": {"id": IDS[int(request.query["page"])]}}
        return Reply(json={"data": [item], "totalElements": next(totals), "totalPages": 50, "hasNext": True})

    return response


@pytest.mark.parametrize("response", [same_page, empty_page, changing_totals()])
def test_a_server_that_repeats_itself_is_stopped(
    server: ScriptedPlatform, session: Session, response: Callable[[Request], Reply]
) -> None:
    server.on("GET", PATH, response)
    with pytest.raises(UnexpectedAnswer, match="endlessly"):
        list(NumberPaging(1).items(session, PATH, {}))
    assert server.count("GET", PATH) <= 6


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"data": [], "hasNext": False},
        {"data": [], "totalElements": "1", "hasNext": False},
        {"data": [], "totalElements": True, "hasNext": False},
        {"data": [], "totalElements": -1, "hasNext": False},
        {"data": {"a": 1}, "totalElements": 1, "hasNext": False},
    ],
)
def test_pages_that_make_no_sense(server: ScriptedPlatform, session: Session, page: dict[str, Any]) -> None:
    server.on("GET", PATH, Reply(json=page))
    with pytest.raises(UnexpectedAnswer):
        list(NumberPaging().items(session, PATH, {}))
