"""The data source over Spark Connect."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifictool.rest import Platform
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.java import find_java, spark_java_home
from pacifictool.spark import register
from pacifictool.spark.login import PlatformLogin

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session with a Connect server of its own, on this machine."""
    from pyspark.sql import SparkSession

    patch = pytest.MonkeyPatch()
    patch.setenv("JAVA_HOME", str(spark_java_home(find_java(os.environ), default_cache_dir(os.environ))))
    patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    patch.setenv("PYSPARK_PYTHON", sys.executable)  # of the server's workers
    session = SparkSession.builder.remote("local[2]").getOrCreate()
    yield session
    session.stop()
    patch.undo()


def test_tables_are_read_and_written(
    remote: Any, login: PlatformLogin, platform: Platform, unique: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACIFICTOOL_URL", login.url)
    monkeypatch.chdir(tmp_path)
    register(remote)
    frame = remote.range(30).selectExpr(
        f"'{unique}' AS name", "timestamp_millis(1795477550000 + id) AS ts", "id / 8 AS temperature"
    )
    writer = frame.write.format("pacifictool").mode("append").options(create="true", entity_type="T")
    writer.save("timeseries")
    found = remote.read.format("pacifictool").option("names", unique).load("timeseries")
    assert sorted(row.value for row in found.where("key = 'temperature'").collect()) == [n / 8 for n in range(30)]
