"""The data source through spark-submit on a cluster whose workers have nothing of ours but what is sent along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

import pacifictool
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform, Session
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.java import find_java, spark_java_home
from pacifictool.settings import Secret
from tests.support.spark_cluster import SparkCluster

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.timeout(900)]

PROGRAM = """
import sys
import pacifictool.spark
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
pacifictool.spark.register(spark)
frame = spark.range(200).selectExpr(
    "concat('Sensor ', id % 4) AS name", "timestamp_millis(1795477550000 + id) AS ts", "id / 8 AS temperature"
)
writer = frame.repartition(4).write.format("pacifictool").mode("append")
writer.options(create="true", entity_type="T").save("timeseries")
found = spark.read.format("pacifictool").option("entity_type", "T").load("timeseries")
rows = found.selectExpr("count(*)", "sum(value)").collect()
places = spark.sparkContext.range(8, numSlices=8).map(lambda _: __import__("pacifictool").__file__).distinct().collect()
print("RESULT", *rows[0], *places)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    with SparkCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def test_a_submitted_program_reads_and_writes_on_the_workers(cluster: SparkCluster, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    package = Path(pacifictool.__path__[0])
    archive = shutil.make_archive(str(tmp_path / "pacifictool"), "zip", package.parent, package.name)
    (cluster.home / "bin" / "python-of-workers").symlink_to(sys.executable)
    with SandboxProcess(tmp_path / "data", options=("--generation", "4")) as sandbox:
        environ = {
            **os.environ,
            "PACIFICTOOL_URL": sandbox.url,
            "JAVA_HOME": str(spark_java_home(find_java(os.environ), default_cache_dir(os.environ))),
            "SPARK_HOME": str(Path(pyspark.__file__).parent),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
        }
        done = subprocess.run(
            [
                str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", cluster.url,
                "--properties-file", str(cluster.properties), "--executor-memory", "512m", "--executor-cores", "1",
                "--driver-memory", "512m", "--conf", "spark.driver.host=127.0.0.1",
                "--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
                "--py-files", archive, str(program),
            ],
            env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
        count, total, *places = line.removeprefix("RESULT ").split(" ")
        assert (int(count), float(total)) == (200, sum(n / 8 for n in range(200)))
        assert all("pacifictool.zip" in place for place in places), places
        with Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"))) as platform:
            assert len(list(platform.devices.list(type="T"))) == 4
    assert cluster.applications()
