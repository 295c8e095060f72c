"""Python on Spark's workers, from the JVM's side: the only module that reaches into what PySpark itself uses.

A SparkContext of PySpark would do the same and more: it starts a server of its own for accumulators, changes signal
handlers, sys.path and py4j for the whole program, and there can be only one. Nothing of that is needed to hand a
function to Spark: Spark Connect has no such context either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.errors import AggregationError

_PYTHON: Final = "spark.pyspark.python"
_POOL: Final = "SPARK_WORKER_POOL"
"""Environment variable of workers: Spark gives work to those that have the environment it should be done in."""


def python_executable(runtime: SparkRuntime) -> str:
    """The Python that workers run: what Spark's settings or PYSPARK_PYTHON name; else this one if workers are on this
    machine, or python3. Raises Py4JError or OSError."""
    named = runtime.java_context.getConf().get(_PYTHON, runtime.settings.environ.get("PYSPARK_PYTHON", ""))
    if named:
        return str(named)
    return sys.executable if runtime.settings.is_on_loopback or runtime.java_context.isLocal() else "python3"


def python_function(
    runtime: SparkRuntime,
    function: Callable[[int, Iterator[bytes]], Iterator[bytes]],
    packages: Sequence[str],
    *,
    pool: str,
) -> Any:
    """A PythonFunction of Spark: `function` gets the number of a partition and its elements, byte arrays, as it gives
    them. It is pickled; `packages` are files that `add_file` has sent, which Python imports modules from. Functions of
    one `pool` share workers.

    Raises Py4JError or OSError.
    """
    from pyspark.serializers import CloudPickleSerializer, NoOpSerializer

    pickle = CloudPickleSerializer()
    command = pickle.dumps((function, None, NoOpSerializer(), NoOpSerializer()))  # type: ignore[no-untyped-call]
    version = "{}.{}".format(*sys.version_info[:2])
    no_broadcasts: list[Any] = []
    no_accumulator = None
    return runtime.jvm.org.apache.spark.api.python.SimplePythonFunction(
        bytearray(command),
        {_POOL: pool},
        list(packages),
        python_executable(runtime),
        version,
        no_broadcasts,
        no_accumulator,
    )


def add_file(runtime: SparkRuntime, file: Path) -> None:
    """Sends a file to all workers. Raises Py4JError or OSError."""
    runtime.java_context.addFile(str(file))


def add_archive(runtime: SparkRuntime, archive: Path, name: str) -> None:
    """Sends an archive to all workers, unpacked into a folder `name`. Raises Py4JError or OSError."""
    runtime.java_context.sc().addArchive(f"{archive.as_uri()}#{name}")


def worker_failure(text: str, executable: str) -> AggregationError | None:
    """What it means that Spark could not run Python, in plain words; None when it is something else."""
    here = "{}.{}".format(*sys.version_info[:2])
    where = f"Set it with --conf {_PYTHON}=PATH, or PYSPARK_PYTHON (docs/clusters.md)."
    if "PYTHON_VERSION_MISMATCH" in text:
        return AggregationError(f"Spark's workers run another Python than {here} of this program.", hint=where)
    if f'Cannot run program "{executable}"' in text:
        return AggregationError(f"Spark's workers do not have the Python {executable}.", hint=where)
    return None
