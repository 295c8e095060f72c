from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import JavaRuntime, find_java
from tests.support.sandbox_clients import Tenant
from tests.support.secure_kafka import SecureKafka, secure_kafka
from tests.support.tls import Pki


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


@pytest.fixture(scope="session")
def kafka(
    java: JavaRuntime, pki: Pki, strangers: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureKafka]:
    """A broker with a listener for every way to admit or refuse a client."""
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    kafka = secure_kafka(tmp_path_factory.mktemp("secure"), java, jars, pki, strangers)
    yield kafka
    kafka.broker.stop(graceful=False)
