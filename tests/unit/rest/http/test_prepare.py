from __future__ import annotations

import pytest
import requests

from pacifictool.errors import InvalidRequest
from pacifictool.rest import Session
from pacifictool.rest.http.messages import HttpRequest
from pacifictool.settings import Secret

URL = "http://127.0.0.1:8080/base"


def open_session(url: str = URL) -> Session:
    return Session(url, "tenant@thingsboard.org", Secret("tenant"))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("body", [None, b"", b'{"name":"Turbine 1"}'])
@pytest.mark.parametrize("params", [None, {"textSearch": "a b&ü", "limit": 1}])
@pytest.mark.parametrize(
    "path", ["/api/device", "/api/device/0000-11/credentials", "/api/a%20b", "/api/a b", "/api/../x", "/api//x", "/"]
)
def test_what_is_prepared_in_a_shorter_way_is_what_requests_would_have_prepared(
    method: str, path: str, params: dict[str, str | int] | None, body: bytes | None
) -> None:
    session = open_session()
    for _ in range(2):
        mine = session._prepare(HttpRequest(method, path, params, body), "Bearer one")
        headers = {**session._headers, "X-Authorization": "Bearer one"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        theirs = requests.Request(method, URL + path, params=params, headers=headers, data=body).prepare()
        assert (mine.method, mine.url, mine.body or None) == (theirs.method, theirs.url, theirs.body or None)
        assert dict(mine.headers) == dict(theirs.headers)


def test_requests_do_not_share_headers() -> None:
    session = open_session()
    session._prepare(HttpRequest("POST", "/api/device", body=b"{}"), "Bearer one")
    bare = session._prepare(HttpRequest("GET", "/api/device"), None)
    assert {"X-Authorization", "Content-Length", "Content-Type"}.isdisjoint(bare.headers)


def test_what_cannot_be_sent_is_reported() -> None:
    with pytest.raises(InvalidRequest, match="GET /api/x cannot be sent"):
        open_session("http://[::1")._prepare(HttpRequest("GET", "/api/x"), None)
