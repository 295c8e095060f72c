from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tls import Pki

from pacifictool.runtime import JavaRuntime, find_java
from pacifictool.sandbox.launcher import SandboxProcess
from pacifictool.sandbox.testing import Tenant


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The authority that servers and clients of the tests trust."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority that nobody trusts."""
    return Pki(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="session")
def java() -> JavaRuntime:
    return find_java(os.environ)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data") as process:
        yield process


@pytest.fixture(scope="session")
def tenant(sandbox: SandboxProcess) -> Tenant:
    return Tenant(sandbox.url)
