from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform
from pacifictool.settings import Secret
from pacifictool.spark.login import PlatformLogin
from tests.support.fixtures import unique

__all__ = ["unique"]


def login_of(process: SandboxProcess) -> PlatformLogin:
    return PlatformLogin(process.url, "tenant@thingsboard.org", Secret("tenant"))


@pytest.fixture(scope="module", params=["1", "4"], ids=["1.x", "4.x"])
def login(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformLogin]:
    """A sandbox of each generation."""
    with SandboxProcess(
        tmp_path_factory.mktemp("sandbox") / "data", options=("--generation", request.param)
    ) as process:
        yield login_of(process)


@pytest.fixture
def platform(login: PlatformLogin) -> Platform:
    return login.platform()
