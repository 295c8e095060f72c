"""Several entities of a new type at once (docs/servers/2.x-3.x.md#devices-and-assets, row 2)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform, Session
from pacifictool.settings import Secret
from tests.support.rest import USERNAME
from tests.support.sandbox_clients import Tenant
from tests.support.waiting import wait_until

MANY = 12


@pytest.fixture(scope="module")
def modern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    options = ("--generation", "4")
    with SandboxProcess(tmp_path_factory.mktemp("race") / "data", options=options) as process:
        yield process


@pytest.mark.parametrize("kind", ["device", "asset"])
def test_requests_that_create_the_profile_at_the_same_time_fail(modern: SandboxProcess, kind: str) -> None:
    tenant = Tenant(modern.url)

    def failures(attempt: int) -> list[requests.Response]:
        together = threading.Barrier(MANY)

        def create(number: int) -> requests.Response:
            together.wait(60)
            body = {"name": f"{kind} {attempt} {number}", "type": f"Raced {kind} {attempt}"}
            return tenant.call("POST", f"/api/{kind}", body)

        with ThreadPoolExecutor(MANY) as pool:
            return [response for response in pool.map(create, range(MANY)) if response.status_code != 200]

    # On a busy machine the requests may come one after the other.
    attempts = itertools.count()
    failed = wait_until(lambda: failures(next(attempts)), "two requests at the same time")
    assert {response.status_code for response in failed} == {500}
    assert {response.json()["message"] for response in failed} == {"Database error"}
    profiles = [profile["name"] for profile in tenant.get(f"/api/{kind}Profiles?pageSize=100&page=0")["data"]]
    assert len(set(profiles)) == len(profiles)


@pytest.mark.parametrize("kind", ["devices", "assets"])
def test_two_programs_that_create_entities_of_a_new_type_at_once_both_succeed(
    modern: SandboxProcess, kind: str
) -> None:
    together = threading.Barrier(MANY)
    with (
        Platform(Session(modern.url, USERNAME, Secret("tenant"))) as one,
        Platform(Session(modern.url, USERNAME, Secret("tenant"))) as other,
    ):

        def create(number: int) -> str:
            resources = getattr((one, other)[number % 2], kind)
            together.wait(60)
            return str(resources.create_or_get(f"{kind} {number}", f"New {kind}").type)

        with ThreadPoolExecutor(MANY) as pool:
            assert set(pool.map(create, range(MANY))) == {f"New {kind}"}
        assert len(list(getattr(one, kind).list(f"New {kind}"))) == MANY
