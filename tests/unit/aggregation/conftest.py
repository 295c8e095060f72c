from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.aggregation.spark import SparkRuntime, SparkSettings
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java


@pytest.fixture(scope="session")
def spark_settings() -> SparkSettings:
    java = find_java(os.environ)
    jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    return SparkSettings(
        java_home=java.home,
        jars=jars,
        master="local[2]",
        environ=dict(os.environ),
        class_archives=default_cache_dir(os.environ) / "classes",
    )


@pytest.fixture(scope="module")
def spark(spark_settings: SparkSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkRuntime]:
    folder: Path = tmp_path_factory.mktemp("spark")
    with SparkRuntime(spark_settings, folder) as runtime:
        yield runtime
