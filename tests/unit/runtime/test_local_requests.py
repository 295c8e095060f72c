from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pacifictool.runtime.local_requests import FROM_ANOTHER_SITE, NOT_BY_NAME, LocalRequestsOnly, refusal

HOST = "127.0.0.1:8080"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", HOST, "localhost", "LOCALHOST:1", "x.localhost:80", "[::1]", "[::1]:8080", "127.9.9.9"]
)
def test_names_of_this_machine_are_taken(host: str) -> None:
    assert refusal("GET", [("Host", host)]) is None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "rebound.example",
            "rebound.example:8080",
            "10.0.0.1",
            "0.0.0.0",
            "[::]:80",
            "[::1",
            "::1",
            "127.0.0.1:x",
        ),
        *(
            "localhost.rebound.example",
            "127.0.0.1.rebound.example",
            "rebound.example@localhost",
            "localhost@rebound.example",
        ),
        *("localhost/x", "localhost#", "local host", "localhost:80:80", "notlocalhost", "127.0.0.1,rebound.example"),
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert refusal("GET", [("host", host)]) == NOT_BY_NAME


def test_a_request_with_no_or_two_hosts_is_refused() -> None:
    assert refusal("GET", []) == NOT_BY_NAME
    assert refusal("GET", [("host", HOST), ("Host", "rebound.example")]) == NOT_BY_NAME


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"Origin": f"http://{HOST}"}, True),
        ({"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://127.0.0.1:9999"}, False),
        ({"Origin": "https://attacker.example"}, False),
        ({"Origin": f"http://{HOST}.attacker.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "post"])
def test_changes_come_from_programs_and_own_pages_only(method: str, headers: dict[str, str], taken: bool) -> None:
    assert refusal(method, [("Host", HOST), *headers.items()]) == (None if taken else FROM_ANOTHER_SITE)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_link_from_another_site_may_be_followed(method: str) -> None:
    headers = [("Host", HOST), ("Origin", "https://attacker.example"), ("Sec-Fetch-Site", "cross-site")]
    assert refusal(method, headers) is None


@pytest.mark.parametrize("origin", ["https://attacker.example", f"http://{HOST}"])
def test_a_web_socket_is_opened_by_own_pages_only(origin: str) -> None:
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send("accepted")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [(b"host", HOST.encode()), (b"origin", origin.encode())]}
    asyncio.run(LocalRequestsOnly(application)(scope, None, send))
    assert sent == (["accepted"] if HOST in origin else [{"type": "websocket.close", "code": 1008}])
