"""The job on a real cluster that loses a machine, and then the driver's: every mean stays exact."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from proving_ground import ProvingGround
from spark_cluster import SparkCluster

from pacifictool.runtime import default_cache_dir

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(900)]

PATIENCE_SECONDS = 300.0
"""Some ten times what anything takes when the two cores have nothing else to do: five JVMs start here."""
SMALL = (
    "--conf", "spark.executor.memory=512m",
    "--conf", "spark.executor.cores=1",
    # Short-lived JVMs on two cores: what the better compiler costs is not earned back.
    "--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    with SparkCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def test_a_worker_and_then_the_driver_are_lost_and_every_mean_is_exact(
    cluster: SparkCluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = cluster.workers
    with ProvingGround(tmp_path_factory.mktemp("ground"), turbines=12, rate=20, partitions=4) as ground:
        ground.set_up()
        shared = ground.folder / "shared"
        job = ground.start_job("--master", cluster.url, *SMALL, checkpoint=shared / "job")
        ground.checkpoint = shared / "job"
        ground.start_turbines()
        ground.wait_for_posts(seconds=PATIENCE_SECONDS)
        cluster.wait_for(
            lambda _: all("Finished task" in worker.executor_logs() for worker in cluster.workers), PATIENCE_SECONDS
        )
        assert_knows_nothing_of_the_driver(cluster, ground)

        first.kill()
        cluster.wait_for(lambda state: state["aliveworkers"] == 1)
        ground.wait_for_posts(6, PATIENCE_SECONDS)
        ground.verify()
        assert job.is_running()

        # The driver's machine is lost, too. Another one has the shared folder under another path.
        ground.start_turbines()
        ground.wait_for_posts(seconds=PATIENCE_SECONDS)
        job.kill()
        mounted = ground.folder / "mounted"
        mounted.symlink_to(shared, target_is_directory=True)
        ground.start_job("--master", cluster.url, *SMALL, checkpoint=mounted / "job")
        ground.wait_for_posts(6, PATIENCE_SECONDS)
        assert ground.finish().rejected == 0
        assert len(list((second.folder / "work").glob("app-*"))) == 2


def assert_knows_nothing_of_the_driver(cluster: SparkCluster, ground: ProvingGround) -> None:
    """Executors have the jars from the driver itself, and nothing of its folders, programs and environment."""
    for worker in cluster.workers:
        jars = {path.name for path in worker.folder.glob("work/app-*/*/*.jar")}
        assert any(name.startswith("spark-sql-kafka-0-10") for name in jars), jars
        assert worker.programs() == {"java"}
        [executor] = worker.executors()
        told = " ".join([*executor.cmdline(), *executor.environ().values()])
        opened = [file.path for file in executor.open_files()]
        for place in (ground.folder, default_cache_dir(os.environ) / "jars"):
            assert str(place) not in told
            assert not [path for path in opened if path.startswith(str(place))]
