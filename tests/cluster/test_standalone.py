"""The job on a real cluster that loses a machine, and then the driver's: every result stays exact."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.analytics.launch import SECRET_VARIABLE
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.java import find_java, spark_java_home
from tests.support.fault_rig import GARBAGE, FaultRig
from tests.support.four_analytics import record
from tests.support.spark_cluster import SparkCluster

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_SECONDS = 300.0
"""About ten times what anything takes on two idle cores: five JVMs start here."""
FINISHED = "INFO Executor: Finished task"
SMALL = (
    "--conf", "spark.executor.memory=512m",
    "--conf", "spark.executor.cores=1",
    # Short-lived JVMs on two cores: the optimising compiler does not pay off.
    "--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    with SparkCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRig]:
    with FaultRig(tmp_path_factory.mktemp("rig"), turbines=12, partitions=4) as rig:
        rig.set_up()
        yield rig


def test_the_example_submits_the_job_to_the_cluster(cluster: SparkCluster, rig: FaultRig) -> None:
    rig.publish(*(record(f"Zone {n % 3}", n) for n in range(3000)), *GARBAGE)
    others = cluster.applications()
    environ = rig.environ | {
        "PYTHON": sys.executable,
        "SPARK_OPTIONS": f"--master {cluster.url} --executor-memory 512m --executor-cores 1 "
        f"--properties-file {cluster.properties} "
        "--conf spark.driver.host=127.0.0.1 --driver-memory 512m",
        "JAVA_HOME": str(spark_java_home(find_java(os.environ), default_cache_dir(os.environ))),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    done = subprocess.run(
        [
            "sh", EXAMPLES / "spark_submit.sh",
            "--starting-offsets", "earliest", "--available-now", "--checkpoint", rig.checkpoint,
        ],
        env=environ, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"stopped_by": "end of topic"' in done.stdout
    verdict = rig.compare()
    assert (verdict.records, verdict.rejected, verdict.differences) == (3000 + len(GARBAGE), len(GARBAGE), ())
    assert any(FINISHED in worker.log_beyond(others) for worker in cluster.workers)
    # The executors had the toolkit's Java from the driver.
    assert any([*worker.folder.glob("work/app-*/*/BatchReader.jar")] for worker in cluster.workers)


def test_a_job_that_does_not_know_the_secret_gets_no_work_done(cluster: SparkCluster, rig: FaultRig) -> None:
    others = cluster.applications()
    rig.publish(record("Zone 0", 1))
    for environ in ({}, {SECRET_VARIABLE: "guessed"}):
        outcome = rig.aggregate(
            "--master", cluster.url, *SMALL, "--starting-offsets", "earliest", "--available-now",
            checkpoint=rig.folder / "stranger", environ=environ,
        ).wait(TIMEOUT_SECONDS)  # fmt: skip
        assert outcome.code == 1, outcome.stderr
        assert cluster.secret not in outcome.stderr
    assert cluster.applications() == others


def test_a_worker_and_then_the_driver_are_lost_and_every_result_is_exact(cluster: SparkCluster, rig: FaultRig) -> None:
    others = cluster.applications()
    first, second = cluster.workers
    shared = rig.folder / "shared"
    knows_the_secret = {SECRET_VARIABLE: cluster.secret}
    job = rig.start_job("--master", cluster.url, *SMALL, checkpoint=shared / "job", environ=knows_the_secret)
    rig.checkpoint = shared / "job"
    rig.start_turbines()
    rig.wait_for_posts(seconds=TIMEOUT_SECONDS)
    cluster.wait_for(
        lambda _: all(FINISHED in worker.log_beyond(others) for worker in cluster.workers), TIMEOUT_SECONDS
    )
    assert_knows_nothing_of_the_driver(cluster, rig)

    rig.publish(*GARBAGE)
    first.kill()
    cluster.wait_for(lambda state: state["aliveworkers"] == 1)
    rig.wait_for_posts(6, TIMEOUT_SECONDS)
    rig.verify()
    assert job.is_running()

    # The driver's machine is lost, too. Another one has the shared folder under another path.
    others = cluster.applications()
    rig.start_turbines()
    rig.wait_for_posts(seconds=TIMEOUT_SECONDS)
    job.kill()
    mounted = rig.folder / "mounted"
    mounted.symlink_to(shared, target_is_directory=True)
    job = rig.start_job("--master", cluster.url, *SMALL, checkpoint=mounted / "job", environ=knows_the_secret)
    rig.wait_for_posts(6, TIMEOUT_SECONDS)
    assert rig.verify(seconds=TIMEOUT_SECONDS).rejected >= len(GARBAGE)
    assert FINISHED in second.log_beyond(others)

    # No worker is left, which must not only be visible in Spark's log.
    assert "No executor" not in job.said
    second.kill()
    job.wait_to_say("No executor has taken the work for 15 s", TIMEOUT_SECONDS)
    assert job.interrupt().code == 130


def assert_knows_nothing_of_the_driver(cluster: SparkCluster, rig: FaultRig) -> None:
    """Executors have the jars from the driver itself, and nothing of its folders, programs and environment."""
    for worker in cluster.workers:
        jars = {path.name for path in worker.folder.glob("work/app-*/*/*.jar")}
        assert any(name.startswith("spark-sql-kafka-0-10") for name in jars), jars
        programs = worker.programs()
        assert {program.name() for program in programs} - {"python"} == {"java"}
        functions = [program.cmdline() for program in programs if program.name() == "python"]
        assert all("pacifictool.analytics.engine.function_child" in command for command in functions), functions
        [executor] = worker.executors()
        received = " ".join([*executor.cmdline(), *executor.environ().values()])
        opened = [file.path for file in executor.open_files()]
        for place in (rig.folder, default_cache_dir(os.environ) / "jars"):
            assert str(place) not in received
            assert not [path for path in opened if path.startswith(str(place))]
