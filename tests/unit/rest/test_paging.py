from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest import Session
from pacifictool.rest.paging import TextPaging
from tests.support.scripted_platform import Reply, Request, ScriptedPlatform

PATH = "/api/tenant/things"
IDS = [str(uuid.UUID(int=number)) for number in range(1, 3000)]


def serve_items(total: int) -> Callable[[Request], Reply]:
    """Pages as a 1.4 server in SQL mode: by idOffset only, and `hasNext` means that the page is full.

    docs/servers/1.x.md#pages, rows 2 and 3.
    """

    def response(request: Request) -> Reply:
        limit = int(request.query["limit"])
        offset = request.query.get("idOffset")
        start = 0 if offset is None else IDS.index(offset) + 1
        ids = IDS[start : min(start + limit, total)]
        full = len(ids) == limit
        link = {"limit": limit, "textOffset": f"thing {ids[-1]} &?", "idOffset": ids[-1]} if full else None
        return Reply(json={"data": [{"id": {"id": one}} for one in ids], "nextPageLink": link, "hasNext": full})

    return response


def read(session: Session, page_size: int = 10, **params: str) -> list[dict[str, Any]]:
    return list(TextPaging(page_size).items(session, PATH, params))


@pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 20, 101, 250])
def test_every_page_is_read(server: ScriptedPlatform, session: Session, total: int) -> None:
    server.on("GET", PATH, serve_items(total))
    assert [item["id"]["id"] for item in read(session)] == IDS[:total]
    assert server.count("GET", PATH) == total // 10 + 1


def test_the_offsets_of_the_last_page_and_the_filters_go_along(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", PATH, serve_items(15))
    read(session, type="Weather Station", textSearch="é&")
    first, second = server.requests
    assert first.query == {"limit": "10", "type": "Weather Station", "textSearch": "é&"}
    assert second.query == {**first.query, "idOffset": IDS[9], "textOffset": f"thing {IDS[9]} &?"}


def test_nothing_is_read_ahead(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", PATH, serve_items(200))
    items = TextPaging(10).items(session, PATH, {})
    assert len(list(itertools.islice(items, 10))) == 10
    assert server.count("GET", PATH) == 1


def endless_same(_request: Request) -> Reply:
    link = {"idOffset": IDS[0], "textOffset": "a"}
    return Reply(json={"data": [{"id": {"id": IDS[0]}}], "nextPageLink": link, "hasNext": True})


def endless_new_offsets() -> Callable[[Request], Reply]:
    numbers = itertools.count()
    return lambda _: Reply(
        json={"data": [{"id": {"id": IDS[0]}}], "nextPageLink": {"idOffset": IDS[next(numbers)]}, "hasNext": True}
    )


def endless_new_items() -> Callable[[Request], Reply]:
    numbers = itertools.count()
    return lambda _: Reply(
        json={"data": [{"id": {"id": IDS[next(numbers)]}}], "nextPageLink": {"idOffset": IDS[0]}, "hasNext": True}
    )


@pytest.mark.parametrize("response", [endless_same, endless_new_offsets(), endless_new_items()])
def test_a_server_that_repeats_itself_is_stopped(
    server: ScriptedPlatform, session: Session, response: Callable[[Request], Reply]
) -> None:
    server.on("GET", PATH, response)
    with pytest.raises(UnexpectedAnswer, match="endlessly"):
        read(session)
    assert server.count("GET", PATH) <= 3


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"data": None, "hasNext": False},
        {"data": {"a": 1}, "hasNext": False},
        {"data": ["text"], "hasNext": False},
        {"data": [{"id": 1}], "hasNext": True},
        {"data": [{"id": 1}], "hasNext": True, "nextPageLink": {"idOffset": 5}},
        {"data": [{"id": 1}], "hasNext": True, "nextPageLink": "next"},
        {"data": [], "hasNext": True, "nextPageLink": {"idOffset": IDS[0]}},
    ],
)
def test_pages_that_make_no_sense(server: ScriptedPlatform, session: Session, page: dict[str, Any]) -> None:
    server.on("GET", PATH, Reply(json=page))
    with pytest.raises(UnexpectedAnswer):
        read(session)
