"""The page as `watch --web` serves it, and as the sandbox does at `/`."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pacifictool.errors import PortInUse, UsageError
from pacifictool.local.launcher import SandboxProcess
from pacifictool.watch.web import PAGE, page_options
from pacifictool.watch.web.app import MAX_VIEWERS, page_application
from pacifictool.watch.web.files import PageFiles
from pacifictool.watch.web.server import PageServer
from pacifictool.watch.web.source import OnDemand, Running
from tests.integration.watch.conftest import MakeCollector
from tests.support.waiting import SOON_SECONDS


@pytest.fixture
def server(make_collector: MakeCollector) -> Iterator[PageServer]:
    with PageServer(page_application(Running(make_collector()), interval_seconds=0.1)) as server:
        yield server


def get(url: str, **options: Any) -> requests.Response:
    return requests.get(url, timeout=60, **options)


def visit(url: str) -> None:
    """Requests a page of a server that ends meanwhile."""
    with suppress(requests.RequestException):
        get(url)


def first_events(url: str, number: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with get(f"{url}watch/events", stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line:
                found.append(json.loads(line.removeprefix(b"data: ")))
            if len(found) == number:
                break
    return found


def paths_in(page: str) -> list[str]:
    return re.findall(r'"(/watch/assets/[^"]+)"', page)


def test_every_file_of_the_page_is_served_compressed_and_cacheable(server: PageServer) -> None:
    page = get(server.url)
    assert page.status_code == 200
    names = {path.rsplit("/", 1)[1] for path in paths_in(page.text)}
    assert names == {
        "icon.svg",
        "theme.js",
        "page.css",
        "chart.css",
        "words.js",
        "chart.js",
        "page.js",
        "plotly.min.js",
    }
    for path in paths_in(page.text):
        response = get(server.url.rstrip("/") + path)
        assert response.status_code == 200, path
        assert "immutable" in response.headers["cache-control"]
        assert response.headers["content-encoding"] == "gzip"
        assert get(server.url.rstrip("/") + path, headers={"Accept-Encoding": "identity"}).content == response.content
    again = get(server.url, headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


def test_the_content_security_policy_is_strict_and_the_page_follows_it(server: PageServer) -> None:
    page = get(server.url)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|https?://", page.text)


def test_nothing_secret_is_served(server: PageServer) -> None:
    texts = [get(server.url).text, get(f"{server.url}watch/snapshot").text, json.dumps(first_events(server.url, 2))]
    for text in texts:
        assert "tenant" not in text
        assert "assword" not in text
        assert "token" not in text.lower()


def test_a_request_for_another_host_name_is_refused(server: PageServer) -> None:
    for path in ("", "watch/events", "watch/snapshot"):
        assert get(f"{server.url}{path}", headers={"Host": "evil.example"}).status_code == 403
        assert get(f"{server.url}{path}", headers={"Host": ""}).status_code in (400, 403)
    assert get(server.url, headers={"Host": f"localhost:{server.port}"}).status_code == 200


def test_unknown_paths_and_methods(server: PageServer) -> None:
    assert get(f"{server.url}watch/assets/0/../../../etc/passwd").status_code == 404
    assert get(f"{server.url}watch/assets/0/page.css").status_code == 404
    assert requests.post(server.url, timeout=60).status_code == 405


def test_events_continue_and_the_number_of_viewers_is_limited(server: PageServer) -> None:
    timestamps = [event["ts"] for event in first_events(server.url, 4)]
    assert timestamps == sorted(set(timestamps))
    streams = [get(f"{server.url}watch/events", stream=True) for _ in range(MAX_VIEWERS)]
    lines = [stream.iter_lines() for stream in streams]  # releasing one would close its stream
    for line in lines:
        next(line)
    with get(f"{server.url}watch/events", stream=True) as refused:
        assert refused.status_code == 503
    for stream in streams:
        stream.close()
    deadline = time.monotonic() + SOON_SECONDS
    status = 503
    while status == 503:
        assert time.monotonic() < deadline
        with get(f"{server.url}watch/events", stream=True) as admitted:
            status = admitted.status_code
        time.sleep(0.1)


def test_a_collector_on_demand_runs_only_while_a_page_is_open(make_collector: MakeCollector) -> None:
    made = []

    def make() -> Any:
        collector = make_collector()
        made.append(collector)
        return collector

    source = OnDemand(make, linger_seconds=0.3)
    with source.viewing() as first, source.viewing() as second:
        assert first is second
    with source.viewing() as third:
        assert third is first, "a page that is loaded again finds the same"
    time.sleep(0.8)
    assert first._closed.is_set()
    with source.viewing() as fourth:
        assert fourth is not first


def test_the_files_are_compressed_once() -> None:
    assets = PageFiles()
    assets.compress_all()
    for path in paths_in(assets.page.body.decode()):
        file = assets.find(path)
        assert file is not None
        assert gzip.decompress(file.compressed) == file.body


def test_a_server_that_is_busy_when_it_is_closed_ends_without_an_error() -> None:
    is_busy = threading.Event()

    async def block(_request: Request) -> Response:
        is_busy.set()
        time.sleep(2)  # noqa: ASYNC251 - the server's own thread has no time, as on a busy machine
        return Response()

    with PageServer(Starlette(routes=[Route("/", block)])) as server:
        visitor = threading.Thread(target=visit, args=(server.url,))
        visitor.start()
        assert is_busy.wait(SOON_SECONDS)
    server._thread.join(SOON_SECONDS)
    visitor.join(SOON_SECONDS)
    assert not server._thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_a_port_in_use_and_an_unknown_address_have_clear_errors(server: PageServer) -> None:
    application = page_application(Running(None))  # type: ignore[arg-type]
    with pytest.raises(PortInUse, match="already in use"):
        PageServer(application, port=server.port)
    with pytest.raises(UsageError, match=r"192\.0\.2\.1"):
        PageServer(application, host="192.0.2.1")
    with pytest.raises(UsageError, match="not an address"):
        PageServer(application, host="no such name.invalid")


@contextmanager
def watching(url: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command `watch --web`, and the URL of its page."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pacifictool", "watch", "--web", "--no-open", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ},
            "PACIFICTOOL_URL": url,
            "PACIFICTOOL_KAFKA": "127.0.0.1:1",
            "PACIFICTOOL_STATE": str(folder),
        },
    )
    try:
        assert process.stdout is not None
        text = "".join(iter(process.stdout.readline, "}\n")) + "}"
        yield process, json.loads(text)["url"]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def seconds_to_end(process: subprocess.Popen[str]) -> float:
    """From Ctrl-C to the end of the command."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 130
    return time.monotonic() - began


def test_the_command_serves_until_ctrl_c(sandbox: SandboxProcess, tmp_path: Path) -> None:
    with watching(sandbox.url, tmp_path) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        with get(f"{url}watch/events", stream=True) as stream:
            next(stream.iter_lines())
        # Without an open page; how long that takes depends on the machine's load.
        alone = seconds_to_end(process)
    with watching(sandbox.url, tmp_path) as (process, url), get(f"{url}watch/events", stream=True) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert seconds_to_end(process) < alone + SOON_SECONDS, "an open page keeps nobody"


@pytest.mark.parametrize("generation", ["1", "4"])
def test_a_sandbox_shows_the_same_page_at_its_root(tmp_path: Path, generation: str) -> None:
    options = tmp_path / "page.json"
    options.write_text(json.dumps({**page_options(jobs=tmp_path), "kafka": "127.0.0.1:1"}))
    arguments = ("--generation", generation, "--page", PAGE, "--page-options", str(options))
    with SandboxProcess(tmp_path / "data", options=arguments) as sandbox:
        page = get(f"{sandbox.url}/")
        assert page.text == PageFiles().page.body.decode()
        [event] = first_events(f"{sandbox.url}/", 1)
        assert event["ok"]
        assert event["platform"]["url"] == sandbox.url
        assert get(f"{sandbox.url}/api/auth/user").status_code == 401
        assert requests.post(f"{sandbox.url}/", timeout=60).status_code in (404, 405)
        assert get(f"{sandbox.url}/elsewhere").status_code == 404


def test_a_sandbox_without_a_page_has_404_at_its_root(sandbox: SandboxProcess) -> None:
    assert get(f"{sandbox.url}/").status_code == 404
