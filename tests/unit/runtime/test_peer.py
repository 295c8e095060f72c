from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pacifictool.runtime import peer
from pacifictool.runtime.guarded_http import guarded_http
from pacifictool.runtime.peer import PeerCheck, peer_uid

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a connection is")

STRANGER = 54321


@pytest.fixture(params=["kernel", "tables"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read the peer; the second is for kernels and containers without the first."""
    if request.param == "tables":

        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(peer, "_ask_kernel", refuse)


@contextmanager
def connection(listens: str, connects: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket, and the accepted one."""
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    with socket.socket(family) as listener:
        if listens == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((listens, 0))
        listener.listen()
        with socket.create_connection((connects, listener.getsockname()[1])) as client:
            accepted, _ = listener.accept()
            with accepted:
                yield client, accepted


def ends(accepted: socket.socket) -> tuple[peer.Address, peer.Address]:
    return accepted.getpeername()[:2], accepted.getsockname()[:2]


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(
    ("listens", "connects"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("127.0.0.1", "::ffff:127.0.0.1")],
)
def test_the_owner_of_a_connection_is_known_until_it_is_closed(listens: str, connects: str) -> None:
    with connection(listens, connects) as (client, accepted):
        assert peer_uid(*ends(accepted)) == Path("/proc/self").stat().st_uid
        client.shutdown(socket.SHUT_WR)
        assert peer_uid(*ends(accepted)) == Path("/proc/self").stat().st_uid  # it still waits for a response
        peers = ends(accepted)
        client.close()
        # The kernel shows what is left of it as root's.
        assert peer_uid(*peers) is None


@pytest.mark.usefixtures("_way")
def test_a_listening_socket_at_the_place_of_a_closed_one_is_not_taken_for_it() -> None:
    for attempt in range(10):
        with connection("127.0.0.1", "127.0.0.1") as (client, accepted):
            peers = ends(accepted)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.close()  # a reset leaves the port free at once
            try:
                with socket.create_server(peers[0]):
                    assert peer_uid(*peers) is None
                    return
            except OSError:  # another program was faster
                assert attempt < 9


def test_only_this_user_and_root_are_admitted_and_each_other_user_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged: list[str] = []
    check = PeerCheck("the sandbox", logged.append)
    here = ("127.0.0.1", 1)
    monkeypatch.setattr(peer, "peer_uid", lambda *_: 0)
    assert check.admits(here, here)
    for uid in (STRANGER, STRANGER, STRANGER + 1):
        monkeypatch.setattr(peer, "peer_uid", lambda *_, uid=uid: uid)
        assert not check.admits(here, here)
    monkeypatch.setattr(peer, "peer_uid", lambda *_: None)
    assert not check.admits(here, here)
    assert [text.partition(":")[0] for text in logged] == [
        f"Refused a connection of the user with uid {uid} to the sandbox" for uid in (STRANGER, STRANGER + 1)
    ]


def test_where_the_system_does_not_tell_everybody_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "IS_CHECKED", False)
    assert PeerCheck("x", pytest.fail).admits(("127.0.0.1", 1), ("127.0.0.1", 2))


def test_http_says_why_it_refuses_before_it_has_read_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hello(_request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def scenario() -> None:
        check = PeerCheck("the page", lambda _text: None)
        config = uvicorn.Config(
            Starlette(routes=[Route("/", hello, methods=["GET", "POST"])]), http=guarded_http(check), log_config=None
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
                await asyncio.sleep(0.01)
            assert (await asyncio.to_thread(requests.get, url, timeout=60)).text == "hello"
            monkeypatch.setattr(peer, "peer_uid", lambda *_: STRANGER)
            for body in (b"", b"x" * 20_000):
                refused = await asyncio.to_thread(requests.post, url, data=body, timeout=60)
                assert (refused.status_code, refused.text) == (
                    403,
                    "This server responds only to the user who started it.\n",
                )
            # Nobody can keep a slot by being silent, or by never ending.
            with socket.create_connection(listener.getsockname()) as silent:
                silent.settimeout(5)
                assert (await asyncio.to_thread(silent.recv, 20)).startswith(b"HTTP/1.1 403")
            await asyncio.sleep(1.2)
            assert server.server_state.connections == set()
            server.should_exit = True
            await serving

    asyncio.run(scenario())
