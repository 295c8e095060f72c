from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.runtime.java import find_java
from tests.support.fixtures import peer, unique
from tests.support.gateway_platform import make_sink, platform
from tests.support.local_spark import local_spark

__all__ = ["make_sink", "peer", "platform", "unique"]


@pytest.fixture(scope="session")
def spark_settings() -> SparkSettings:
    return local_spark(find_java(os.environ))


@pytest.fixture(scope="module")
def spark(spark_settings: SparkSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkRuntime]:
    folder: Path = tmp_path_factory.mktemp("spark")
    with SparkRuntime(spark_settings, folder) as runtime:
        yield runtime
