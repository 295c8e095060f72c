"""No foreign web site reads or changes anything through a browser of this machine (DNS rebinding, cross-site requests)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.metrics_server import metrics_endpoint
from pacifictool.simulation.histogram import DurationHistogram
from pacifictool.simulation.metrics import fleet_metrics
from pacifictool.simulation.summary import FleetSummary
from pacifictool.watch.web import PAGE
from pacifictool.watch.web.app import page_application
from pacifictool.watch.web.server import PageServer

CREDENTIALS = {"username": "tenant@thingsboard.org", "password": "tenant"}
REBOUND = {"Host": "rebound.example"}


@pytest.fixture(scope="module", params=["1", "4"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("foreign")
    options = ("--generation", request.param, "--page", PAGE, "--page-options", str(folder / "page.json"))
    with SandboxProcess(folder / "data", options=options) as sandbox:
        yield sandbox.url


def log_in(url: str, headers: dict[str, str]) -> requests.Response:
    return requests.post(f"{url}/api/auth/login", json=CREDENTIALS, headers=headers, timeout=60)


def test_a_rebound_name_does_not_log_in(url: str) -> None:
    assert log_in(url, {}).status_code == 200
    response = log_in(url, REBOUND)
    assert response.status_code == 403
    assert "token" not in response.text
    assert "addressed to this machine" in response.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/tenant/devices"),
        ("DELETE", "/api/device/1"),
        ("POST", "/api/v1/token/telemetry"),
        ("GET", "/api/v1/token/attributes"),
        ("GET", "/"),
        ("GET", "/watch/snapshot"),
        ("GET", "/watch/events"),
        ("POST", "/watch/snapshot"),
        ("OPTIONS", "/api/auth/login"),
        ("GET", "/nosuch"),
    ],
)
def test_a_rebound_name_reaches_nothing(url: str, method: str, path: str) -> None:
    token = log_in(url, {}).json()["token"]
    headers = {**REBOUND, "X-Authorization": f"Bearer {token}"}
    assert requests.request(method, url + path, headers=headers, timeout=60).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://attacker.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=lambda headers: "-".join(headers.values()),
)
def test_another_site_changes_nothing(url: str, headers: dict[str, str]) -> None:
    assert log_in(url, headers).status_code == 403
    response = requests.post(f"{url}/api/v1/token/telemetry", data="{}", headers=headers, timeout=60)
    assert (response.status_code, "another site" in response.text) == (403, True)


def test_a_page_of_the_same_origin_may_change_things(url: str) -> None:
    assert log_in(url, {"Origin": url, "Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_no_origin_is_granted_access(url: str) -> None:
    response = requests.get(f"{url}/api/tenant/devices", headers={"Origin": "https://attacker.example"}, timeout=60)
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]


def summary() -> FleetSummary:
    numbers: dict[str, Any] = {each.name: 1 for each in fields(FleetSummary)}
    durations = {"lag": DurationHistogram(), "acknowledgement": DurationHistogram()}
    return FleetSummary(**numbers | durations | {"refused": {}, "interrupted": {}, "losses": (), "injections": ()})


def test_metrics_of_a_fleet_are_for_this_machine() -> None:
    with metrics_endpoint(lambda: fleet_metrics(summary()), 0) as url:
        address = f"{url}/metrics"
        port = urlsplit(url).port
        assert "pacifictool_simulate_devices" in requests.get(address, timeout=60).text
        assert requests.get(address, headers={"Host": f"localhost:{port}"}, timeout=60).status_code == 200
        response = requests.get(address, headers=REBOUND, timeout=60)
        assert requests.get(f"{url}/health", headers=REBOUND, timeout=60).status_code == 403
    assert (response.status_code, "pacifictool_simulate" in response.text) == (403, False)


def test_metrics_that_are_offered_to_other_machines_go_by_any_name() -> None:
    with metrics_endpoint(lambda: fleet_metrics(summary()), 0, "0.0.0.0") as url:
        port = urlsplit(url).port
        response = requests.get(f"http://127.0.0.1:{port}/metrics", headers=REBOUND, timeout=60)
    assert "pacifictool_simulate_devices" in response.text


@pytest.mark.parametrize("host", ["rebound.example", "[::1", "x@localhost", ""])
def test_the_page_of_watch_refuses_other_names(host: str) -> None:
    with PageServer(page_application(SimpleNamespace())) as server:
        assert requests.get(server.url, headers={"Host": host}, timeout=60).status_code in (400, 403)
        assert requests.get(server.url, timeout=60).status_code == 200
