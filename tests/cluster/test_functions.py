"""Functions on a cluster whose machines have Python and pandas, but neither pacifictool nor the user's files; and under
spark-submit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from uuid import uuid4

import pytest

from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.errors import AggregationError
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.java import find_java, spark_java_home
from pacifictool.scenario import Scenario
from pacifictool.settings import KafkaEndpoint
from tests.support.batch_bench import NOW, Bench
from tests.support.called_functions import Called
from tests.support.command_line import kept_variables
from tests.support.local_spark import local_spark
from tests.support.spark_cluster import SparkCluster

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = ("numpy", "pandas", "pyspark", "py4j", "python-dateutil", "pytz", "tzdata", "six")
FUNCTION = """
import sys
from pathlib import Path
import helper
from pacifictool.functions import Result
MODEL = float(Path(__file__).with_name("model.txt").read_text())
def score(readings, window):
    installed = any(Path(folder, "pacifictool").is_dir() for folder in sys.path)
    yield Result(window.entity, {"t": readings["t"].sum() * MODEL * helper.FACTOR, "installed": installed})
"""


def record(site: str, t: float) -> bytes:
    return json.dumps({"site": site, "t": t}).encode()


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "own.py").write_text(FUNCTION)
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    (tmp_path / "model.txt").write_text("1.5")
    return Scenario.model_validate(
        {
            "forwarding": {"topic": "t", "attributes": ["site"], "telemetry": ["t"]},
            "analytics": [
                {
                    "name": "own", "group_by": ["site"], "window": "10s", "function": "own:score",
                    "files": ["helper.py", "model.txt"],
                }
            ],
        },
        context={"folder": tmp_path},
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    with SparkCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def python_with(folder: Path, packages: tuple[str, ...]) -> Path:
    """A Python that has only these distributions of ours."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in packages:
        parts = {Path(str(each)).parts[0]: each for each in files(package) or () if ".." not in str(each)}
        for name, each in parts.items():
            source = Path(str(each.locate())).parents[len(Path(str(each)).parts) - 1] / name
            if not (site / name).exists():
                (site / name).symlink_to(source)
    return folder / "bin" / "python"


def settings_of(cluster: SparkCluster, python: Path) -> SparkSettings:
    local = local_spark(find_java(os.environ))
    return SparkSettings(
        java_home=local.java_home,
        jars=local.jars,
        master=cluster.url,
        environ=dict(os.environ),
        secret=cluster.secret,
        conf={
            "spark.executor.memory": "512m",
            "spark.executor.cores": "1",
            "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "spark.pyspark.python": str(python),
        },
    )


def test_a_cluster_gets_the_function_its_files_and_the_package_from_the_job(
    cluster: SparkCluster, stack: LocalStack, scenario: Scenario, tmp_path: Path
) -> None:
    endpoint = KafkaEndpoint(stack.broker.bootstrap)
    topic = f"cluster-{uuid4().hex[:8]}"
    for name, packages, complaint in (
        ("complete", NEEDED, None),
        ("plain", ("pyspark", "py4j"), "Spark's workers lack what functions need: No module named 'pandas'."),
        ("missing", None, "Spark's workers do not have the Python "),
    ):
        folder = tmp_path / name
        python = folder / "bin" / "python" if packages is None else python_with(folder, packages)
        with SparkRuntime(settings_of(cluster, python), tmp_path / f"spark-{name}") as runtime:
            bench = Bench(runtime, endpoint, topic)
            if name == "complete":
                bench.write([record(f"Site {n % 8}", n) for n in range(80)], partitions=2)
            called = Called(bench, scenario)
            counted = called.count()
            if complaint is not None:
                with pytest.raises(AggregationError, match=complaint):
                    called.run(counted)
                continue
            outcomes = called.run(counted)
            assert {
                group: [dict(each.values) for each in outcome.results] for (_, group, _), outcome in outcomes.items()
            } == {f"Site {n}": [{"t": 3.0 * sum(range(n, 80, 8)), "installed": 0.0}] for n in range(8)}
    KafkaAdmin(endpoint).delete(topic)


def test_functions_run_under_spark_submit(stack: LocalStack, scenario: Scenario, tmp_path: Path) -> None:
    topic = f"submitted-{uuid4().hex[:8]}"
    endpoint = KafkaEndpoint(stack.broker.bootstrap)
    producer = Bench(None, endpoint, topic)  # type: ignore[arg-type]
    producer.write([record("North", 2.0), record("North", 3.0)], [NOW, NOW])
    (tmp_path / "scenario.toml").write_text(
        f'[forwarding]\ntopic = "{topic}"\nattributes = ["site"]\ntelemetry = ["t"]\n'
        '[[analytics]]\nname = "own"\ngroup_by = ["site"]\nwindow = "10s"\nfunction = "own:score"\n'
        'files = ["helper.py", "model.txt"]\n'
    )
    done = subprocess.run(
        [
            "sh", EXAMPLES / "spark_submit.sh", "--sink", "console", "--starting-offsets", "earliest",
            "--available-now", "--checkpoint", tmp_path / "job",
        ],
        env={
            **kept_variables(),
            "PYTHON": sys.executable,
            "SPARK_OPTIONS": "--master local[2] --driver-memory 512m --conf spark.driver.host=127.0.0.1",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "JAVA_HOME": str(spark_java_home(find_java(os.environ), default_cache_dir(os.environ))),
            "PACIFICTOOL_SCENARIO": str(tmp_path / "scenario.toml"),
            "PACIFICTOOL_KAFKA": endpoint.bootstrap,
            "PACIFICTOOL_STATE": str(tmp_path / "state"),
        },
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "North" in done.stdout
    assert "15" in done.stdout, done.stdout
    KafkaAdmin(endpoint).delete(topic)
