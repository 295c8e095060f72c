from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from tests.support.fixtures import sandbox, unique
from tests.support.sandbox_clients import RawDevice, Tenant

__all__ = ["sandbox", "unique"]


@pytest.fixture(scope="session")
def tenant(sandbox: SandboxProcess) -> Tenant:
    return Tenant(sandbox.url)


@pytest.fixture
def connect(sandbox: SandboxProcess) -> Iterator[Callable[[str | None], RawDevice]]:
    """Opens device connections, which the test's end closes."""
    devices: list[RawDevice] = []

    def open_one(token: str | None) -> RawDevice:
        devices.append(RawDevice(sandbox.mqtt_port, token))
        return devices[-1]

    yield open_one
    for device in devices:
        device.close()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), java=java, jars=jars)
    broker.start()
    yield broker
    broker.stop(graceful=False)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"
