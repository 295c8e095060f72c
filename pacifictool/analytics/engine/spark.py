"""Starts Spark: a JVM launched without pyspark's scripts, and a context set up for small batches.

pyspark starts a shell script, which starts a JVM, which prints the command of the real JVM. Launching that one at
once saves 0.7 s, keeps the environment and the log under control, and leaves out `--add-modules=jdk.incubator.vector`,
which Java runtimes from the package registry lack. The job needs nothing of Spark's SQL, so there is no session, only
the context that gives tasks to executors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import struct
import threading
import time
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from py4j.clientserver import ClientServer, JavaParameters, PythonParameters
from py4j.protocol import BYTES_TYPE, Py4JError, register_output_converter

from pacifictool.analytics.engine.failures import essence, jvm_reason
from pacifictool.analytics.engine.java_source import class_jar, compile_java
from pacifictool.analytics.engine.jvm import driver_options, has_user_name, jvm_arguments, log4j_properties
from pacifictool.analytics.engine.spark_properties import local_threads, spark_properties
from pacifictool.analytics.state.checkpoint import storage_full
from pacifictool.errors import AggregationError, PacificToolError, StorageFull
from pacifictool.runtime.cache import disk_is_full
from pacifictool.runtime.log_files import bound_log
from pacifictool.runtime.plain_paths import plain_path
from pacifictool.runtime.processes import ManagedProcess

START_SECONDS = 60.0
STOP_SECONDS = 1.5
_END_NOTICED_SECONDS = 1.0
_TAIL = 20_000
_END_REASON = re.compile(r" ERROR StandaloneSchedulerBackend: .*?Reason: (.+)")
"""How a cluster says that it will not go on with us."""

_LOOPBACK_MASTER = re.compile(r"spark://(127\.0\.0\.1|localhost|\[::1\]):")
# py4j's own takes byte after byte in Python: 0.25 s for the 100,000 groups of a batch.
register_output_converter(BYTES_TYPE, lambda encoded, _gateway: a2b_base64(encoded))

_SPARK_HOME = Path(str(find_spec("pyspark").origin)).parent  # type: ignore[union-attr]  # a dependency of ours
"""Found without importing pyspark, which would bring Spark's SQL along: 0.2 s of processor time."""


@dataclass(frozen=True, slots=True)
class SparkSettings:
    """How to start Spark."""

    java_home: Path
    jars: Sequence[Path]
    """Spark's Kafka connector; under an outer spark-submit it is spark-submit's to bring."""
    master: str = "local[*]"
    """Of no effect under an outer spark-submit, which has chosen it already."""
    memory: str = "1g"
    """Heap of the driver, which is all of Spark when the master is local."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment of the JVM. An outer spark-submit is recognised by it."""
    conf: Mapping[str, str] = field(default_factory=dict)
    """Further Spark properties."""
    functions: int = 0
    """How many functions of the user's run on workers: a local Spark gets threads for them, so that functions and
    counting do not wait for one another."""
    secret: str | None = field(default=None, repr=False)
    """What a standalone cluster's own daemons authenticate with (`spark.authenticate.secret`). Without one, such a
    cluster cannot tell this job from anybody else; wherever else Spark runs, each run has a secret of its own."""

    @property
    def is_local(self) -> bool:
        return self.master.startswith("local")

    @property
    def is_on_loopback(self) -> bool:
        """Whether nobody beyond this machine needs to reach the driver."""
        return self.is_local or _LOOPBACK_MASTER.match(self.master) is not None

    @property
    def authenticates(self) -> bool:
        """Whether Spark's processes prove to one another that they know a secret."""
        return not self.master.startswith("spark://") or self.secret is not None

    @property
    def is_guest(self) -> bool:
        """Whether an outer spark-submit has started the JVM of the driver, with its own master and class path."""
        return "PYSPARK_GATEWAY_PORT" in self.environ


class SparkRuntime:
    """A Spark context and the JVM that it lives in."""

    def __init__(self, settings: SparkSettings, folder: Path, sources: Sequence[Path] = ()) -> None:
        """Starts the JVM (returns at once). `folder` takes the logs spark.log and spark-jvm.log, and tmp/. Java
        `sources` given here are compiled while Spark's context starts, which uses one processor."""
        self._settings = settings
        self._sources = sources
        self._folder = folder.absolute()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._plain_folder = plain_path(self._folder)
        self._java_context: Any = None
        self._gateway: Any = None
        self._process: ManagedProcess | None = None
        self._java_sources: set[Path] = set()
        self._compiled: set[Path] = set()
        self._compiling = threading.Lock()
        self._connecting = threading.Lock()
        self._starting = threading.Lock()
        self._closing = threading.Lock()
        # py4j reports a connection that broke to the root logger, which prints to stderr unless it has a handler.
        if not logging.getLogger().handlers:
            logging.getLogger().addHandler(logging.NullHandler())
        self._is_guest = settings.is_guest
        if not self._is_guest:
            try:
                self._launch()
            except OSError as error:
                raise self._failure(str(error)) from error

    @property
    def settings(self) -> SparkSettings:
        """How it was started."""
        return self._settings

    @property
    def tmp(self) -> Path:
        """A folder for files that are needed while it runs."""
        return self._plain_folder / "tmp"

    @property
    def java_context(self) -> Any:
        """The JavaSparkContext; waits for Spark at the first use. Raises AggregationError or StorageFull."""
        with self._starting:
            if self._java_context is None:
                self._java_context = self._reporting(self._make_context)
            return self._java_context

    @property
    def ready_context(self) -> Any | None:
        """The JavaSparkContext; None before Spark has started if `works_alone`.

        Raises AggregationError or StorageFull.
        """
        return None if self._java_context is None and self.works_alone else self.java_context

    @property
    def works_alone(self) -> bool:
        """Whether the JVM can do what local tasks do before Spark's context has started, or without it.

        Not with properties of Spark, which are to hold, or to fail.
        """
        return local_threads(self._settings.master) is not None and not (self._is_guest or self._settings.conf)

    @property
    def threads(self) -> int:
        """How many tasks the JVM works on at once. Raises AggregationError or StorageFull."""
        processors = self.jvm.java.lang.Runtime.getRuntime().availableProcessors
        return local_threads(self._settings.master) or int(processors())

    @property
    def gateway(self) -> Any:
        """py4j's gateway to the JVM, which it waits for. Raises AggregationError or StorageFull."""
        with self._connecting:
            if self._gateway is None:
                self._gateway = self._reporting(self._connect)
                if self._sources:
                    threading.Thread(target=self._compile_early, name="compile", daemon=True).start()
            return self._gateway

    @property
    def jvm(self) -> Any:
        """The JVM's classes, by their full names. Raises AggregationError or StorageFull."""
        return self.gateway.jvm

    def add_java_sources(self, *sources: Path) -> None:
        """Makes the classes of source files of one package known to driver and executors, unless they are.

        Raises Py4JError or OSError.
        """
        self._compile(sources)
        with self._compiling:
            if self._java_sources.issuperset(sources):
                return
            if self._settings.is_guest:
                loader = self.jvm.java.lang.Thread.currentThread().getContextClassLoader()
                loader.addURL(self.jvm.java.io.File(str(self._classes)).toURI().toURL())
            if self._settings.is_guest or not self._settings.is_local:
                # Executors fetch it from the driver.
                jar = class_jar(self._classes, self.tmp / f"{sources[-1].stem}.jar")
                self.java_context.addJar(str(jar))
            self._java_sources.update(sources)

    def has_executors(self) -> bool:
        """Whether anybody works for us: on a cluster without free cores or memory the job waits in silence.

        Raises Py4JError or OSError when the JVM has ended.
        """
        if self._settings.is_local or self._java_context is None:
            return True
        # The driver is one of them.
        return len(self._java_context.sc().statusTracker().getExecutorInfos()) > 1

    def cancel_work(self) -> None:
        """Has Spark give up what it works on; the call that waits for it fails."""
        if self._java_context is not None:
            with contextlib.suppress(Py4JError, OSError):
                self._java_context.sc().cancelAllJobs()

    def is_running(self) -> bool:
        """Whether the Java process is there, as far as it is this program's."""
        return self._process is None or self._process.is_running()

    def bound_logs(self) -> None:
        """Keeps what the JVM and its Python workers print from filling the disk; Spark rotates its own log."""
        bound_log(self._jvm_log)

    def end_failure(self) -> PacificToolError | None:
        """Why the JVM has ended by itself; None while it runs, and under an outer spark-submit."""
        # Its end is seen a moment after the connections to it have broken.
        if self._process is None or self._process.wait(_END_NOTICED_SECONDS) is None:
            return None
        log = self._folder / "spark.log"
        reasons: list[str] = []
        with contextlib.suppress(OSError):
            reasons = _END_REASON.findall(log.read_text(encoding="utf-8", errors="replace")[-_TAIL:])
        if disk_is_full(self._folder, "".join(reasons)):
            return storage_full(self._folder)
        return AggregationError(
            f"Spark's Java process has ended: {reasons[-1].rstrip('.') if reasons else 'it gave no reason'}.",
            hint=f"Its own words are in {log} and {self._jvm_log}. Start again: the job goes on where it stopped.",
        )

    def close(self) -> None:
        """Ends the JVM within two seconds. Can be called twice, and from another thread."""
        with self._closing:
            if self._java_context is not None and self._is_guest:
                with contextlib.suppress(Py4JError, OSError):
                    self._java_context.stop()
            self._java_context = None
            process, self._process = self._process, None
            if process is not None:
                # All state is safe at any moment: there is no need to wait for long.
                process.stop(STOP_SECONDS)
            if self._gateway is not None and not self._is_guest:
                with contextlib.suppress(Exception):  # py4j's farewells fail in many ways when the other side is gone
                    self._gateway.close()
                self._gateway = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside --------------------------------------------------------------------------------------------------

    @property
    def _connection_file(self) -> Path:
        return self.tmp / "gateway"

    @property
    def _classes(self) -> Path:
        """Where compiled classes lie: on the class path from the start, and looked at when a class is wanted."""
        return self.tmp / "classes"

    def _compile(self, sources: Sequence[Path]) -> None:
        with self._compiling:
            if not self._compiled.issuperset(sources):
                compile_java(self.jvm, sources, self._classes)
                self._compiled.update(sources)

    def _compile_early(self) -> None:
        # Whoever wants the classes compiles them again, and sees why.
        with contextlib.suppress(Py4JError, OSError, PacificToolError):
            self._compile(self._sources)

    @property
    def _jars(self) -> list[Path]:
        return [*self._own_jars, _SPARK_HOME / "jars" / "*"]

    @property
    def _own_jars(self) -> list[Path]:
        return [plain_path(jar.parent) / jar.name for jar in self._settings.jars]

    @property
    def _jvm_log(self) -> Path:
        return self._folder / "spark-jvm.log"

    def _launch(self) -> None:
        shutil.rmtree(self._classes, ignore_errors=True)
        self._classes.mkdir(parents=True, mode=0o700)
        self._connection_file.unlink(missing_ok=True)
        log4j = self.tmp / "log4j2.properties"
        log4j.write_text(log4j_properties(self._plain_folder / "spark.log"), encoding="utf-8")
        environ = dict(self._settings.environ) | {
            "SPARK_HOME": str(_SPARK_HOME),
            "SPARK_CONNECT_MODE": "0",
            "_PYSPARK_DRIVER_CONN_INFO_PATH": str(self._connection_file),
        }
        if self._settings.is_on_loopback:
            environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        self._jvm_log.write_bytes(b"")
        self._jvm_log.chmod(0o600)
        # Spark's gateway ends when its standard input does, unless it fails before it looks there: the supervisor of
        # ManagedProcess is what ends it with us. So the input is a pipe without end, which the JVM holds itself.
        endless = self.tmp / "endless"
        if not endless.exists():
            os.mkfifo(endless, 0o600)
        java = str(self._settings.java_home / "bin" / "java")
        self._process = ManagedProcess(
            ["/bin/sh", "-c", 'exec "$@" 0<>"$0"', str(endless), java, *self._jvm_arguments(log4j)],
            log_path=self._jvm_log,
            environ=environ,
        )

    def _jvm_arguments(self, log4j: Path) -> list[str]:
        environ = self._settings.environ
        class_path = [str(self._classes), *map(str, self._jars)]
        class_path += [environ[name] for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR") if environ.get(name)]
        return jvm_arguments(
            class_path=class_path,
            memory=self._settings.memory,
            more=driver_options(self._settings.conf, self._settings.memory),
            log4j=log4j,
            temporary=self.tmp,
        )

    def _reporting(self, step: Callable[[], Any]) -> Any:
        """What `step` returns. What makes it fail is reported in Spark's own words."""
        try:
            return step()
        except PacificToolError:
            raise
        except Exception as error:
            # A JVM that goes away in the middle shows itself as almost any exception of py4j.
            raise self._failure(_reason(error)) from error

    def _connect(self) -> ClientServer:
        port, secret = self._guest_connection() if self._is_guest else self._wait_for_gateway()
        # The whole of pyspark's own launch_gateway, less its imports of Scala packages, each of which asks the JVM.
        return ClientServer(
            java_parameters=JavaParameters(port=port, auth_token=secret, auto_convert=True),
            python_parameters=PythonParameters(port=0, eager_load=False),
        )

    def _make_context(self) -> Any:
        jvm = self.jvm
        # What was given to an outer spark-submit stands in the JVM's system properties, and comes first.
        conf = jvm.org.apache.spark.SparkConf(self._is_guest)
        properties = spark_properties(
            self._settings,
            self.tmp,
            jars=self._own_jars,
            processors=lambda: int(jvm.java.lang.Runtime.getRuntime().availableProcessors()),
        )
        for name, value in properties.items():
            if not conf.contains(name):
                conf.set(name, value)
        for name, value in self._settings.conf.items():
            conf.set(name, f"{conf.get(name)},{value}" if name == "spark.jars" and conf.contains(name) else value)
        if not self._is_guest and not has_user_name():
            # Hadoop would ask Java for the name of the user, which fails.
            users = jvm.org.apache.hadoop.security.UserGroupInformation
            users.setLoginUser(users.createRemoteUser(str(os.getuid())))
        context = jvm.org.apache.spark.api.java.JavaSparkContext(conf)
        context.setLogLevel("WARN")
        return context

    def _wait_for_gateway(self) -> tuple[int, str]:
        process = self._process
        if process is None:
            raise self._failure("it was stopped")
        deadline = time.monotonic() + START_SECONDS
        while not self._connection_file.exists():
            if not process.is_running():
                raise self._failure("its Java process ended at once")
            if time.monotonic() > deadline:
                raise self._failure(f"its Java process was not ready after {START_SECONDS:.0f} s")
            time.sleep(0.02)
        data = self._connection_file.read_bytes()
        self._connection_file.unlink()
        port, length = struct.unpack_from(">ii", data)
        return port, data[8 : 8 + length].decode("utf-8")

    def _guest_connection(self) -> tuple[int, str]:
        environ = self._settings.environ
        return int(environ["PYSPARK_GATEWAY_PORT"]), environ.get("PYSPARK_GATEWAY_SECRET", "")

    def _failure(self, reason: str) -> AggregationError | StorageFull:
        with contextlib.suppress(OSError):
            tail = self._jvm_log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
            if disk_is_full(self._folder, reason + tail):
                return storage_full(self._folder)
            if words := jvm_reason(tail):
                reason = f"{reason} ({words})"
        if self._is_guest:
            return AggregationError(f"Spark did not start: {reason}.", hint="spark-submit's output has its own words.")
        return AggregationError(
            f"Spark did not start with Java from {self._settings.java_home}: {reason}.",
            hint=f"Its own words are in {self._jvm_log} and {self._folder / 'spark.log'}.",
        )


def _reason(error: Exception) -> str:
    """Why Spark's context did not start, in its own words."""
    try:
        text = str(error)
    except (Py4JError, OSError):
        return "its Java process ended while it started"
    return essence(text.strip() or repr(error)).rstrip(".")
