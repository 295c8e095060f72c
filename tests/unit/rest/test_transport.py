from __future__ import annotations

import pytest
import requests

from pacifictool.errors import InvalidRequest
from pacifictool.rest.transport import Transport

URL = "http://127.0.0.1:8080/base"
HEADERS = {"Accept": "application/json", "X-Authorization": "Bearer one"}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("body", [None, b"", b'{"name":"Turbine 1"}'])
@pytest.mark.parametrize(
    "path", ["/api/device", "/api/device/0000-11/credentials", "/api/a%20b", "/api/../x", "/api//x", "/"]
)
def test_what_is_prepared_in_a_shorter_way_is_what_requests_would_have_prepared(
    method: str, path: str, body: bytes | None
) -> None:
    transport = Transport(URL)
    for _ in range(2):
        mine = transport._prepared(method, path, None, HEADERS, body)
        headers = {**transport._headers, **HEADERS}
        theirs = requests.Request(method, URL + path, headers=headers, data=body).prepare()
        assert (mine.method, mine.url, mine.body or None) == (theirs.method, theirs.url, theirs.body or None)
        assert dict(mine.headers) == dict(theirs.headers)


def test_requests_do_not_share_headers() -> None:
    transport = Transport(URL)
    transport._prepared("POST", "/api/device", None, HEADERS, b"{}")
    bare = transport._prepared("GET", "/api/device", None, None, None)
    assert {"X-Authorization", "Content-Length"}.isdisjoint(bare.headers)


def test_what_cannot_be_sent_is_told() -> None:
    with pytest.raises(InvalidRequest, match="GET /api/x cannot be sent"):
        Transport("http://[::1")._prepared("GET", "/api/x", None, None, None)
