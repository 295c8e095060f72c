"""Starts Spark: our own JVM launch instead of pyspark's scripts, and a session set up for small batches.

pyspark starts a shell script, which starts a JVM, which prints the command of the real JVM. Launching that one at
once saves 0.7 s, keeps the environment and the log in our hands, and leaves out `--add-modules=jdk.incubator.vector`,
which Java runtimes from the package registry lack.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyspark
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from pacifictool.aggregation.checkpoint import storage_full
from pacifictool.aggregation.java_source import add_java_sources
from pacifictool.aggregation.jvm import driver_options, jvm_arguments, log4j_properties
from pacifictool.errors import AggregationError, PacificToolError, StorageFull
from pacifictool.runtime.cache import disk_is_full
from pacifictool.runtime.class_archive import ClassArchive
from pacifictool.runtime.processes import ManagedProcess

START_SECONDS = 60.0
STOP_SECONDS = 1.5
_END_NOTICED_SECONDS = 1.0
_TAIL = 20_000
_END_REASON = re.compile(r" ERROR StandaloneSchedulerBackend: .*?Reason: (.+)")
"""How a cluster says that it will not go on with us."""

_LOOPBACK_MASTER = re.compile(r"spark://(127\.0\.0\.1|localhost|\[::1\]):")
_SPARK_HOME = Path(pyspark.__file__).parent


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
    class_archives: Path | None = None
    """Where archives of Spark's classes are kept, which make starts quicker; None: nowhere."""

    @property
    def is_local(self) -> bool:
        return self.master.startswith("local")

    @property
    def is_on_loopback(self) -> bool:
        """Whether nobody beyond this machine needs to reach the driver."""
        return self.is_local or _LOOPBACK_MASTER.match(self.master) is not None

    @property
    def is_guest(self) -> bool:
        """Whether an outer spark-submit has started the JVM of the driver, with its own master and class path."""
        return "PYSPARK_GATEWAY_PORT" in self.environ


class SparkRuntime:
    """A Spark session and the JVM behind it. One at a time in a process: pyspark keeps its gateway in globals."""

    def __init__(self, settings: SparkSettings, folder: Path) -> None:
        """Starts the JVM (returns at once). `folder` takes the logs spark.log and spark-jvm.log, and tmp/."""
        self._settings = settings
        self._folder = folder.absolute()
        self._session: SparkSession | None = None
        self._gateway: Any = None
        self._process: ManagedProcess | None = None
        self._archiving: ManagedProcess | None = None
        self._java_sources: set[Path] = set()
        self._closing = threading.Lock()
        # py4j reports a connection that broke to the root logger, which prints to stderr unless it has a handler.
        if not logging.getLogger().handlers:
            logging.getLogger().addHandler(logging.NullHandler())
        self._is_guest = settings.is_guest
        self._archive: ClassArchive | None = None
        if settings.class_archives is not None and not self._is_guest:
            self._archive = ClassArchive(
                settings.class_archives,
                java_home=settings.java_home,
                class_path=self._jars,
            )
        if not self._is_guest:
            try:
                self._launch()
            except OSError as error:
                raise self._failure(str(error)) from error

    @property
    def session(self) -> SparkSession:
        """The session; waits for the JVM at the first use. Raises AggregationError or StorageFull."""
        if self._session is None:
            try:
                self._session = self._connect()
            except PacificToolError:
                self.close()
                raise
            except Exception as error:
                # A JVM that goes away in the middle shows itself as almost any exception of pyspark and py4j.
                self.close()
                reason = str(error).strip() or repr(error)
                raise self._failure(reason.splitlines()[0].rstrip(".")) from error
            except BaseException:
                self.close()
                raise
        return self._session

    def add_java_sources(self, *sources: Path) -> None:
        """See `java_source.add_java_sources`; what was added before is not compiled again."""
        if not self._java_sources.issuperset(sources):
            self._tmp.mkdir(parents=True, exist_ok=True, mode=0o700)
            add_java_sources(self.session, sources, self._tmp / f"{sources[-1].stem}.jar")
            self._java_sources.update(sources)

    def has_executors(self) -> bool:
        """Whether anybody works for us: on a cluster without free cores or memory the job waits in silence.

        Raises Py4JError or OSError when the JVM has ended.
        """
        if self._settings.is_local or self._session is None:
            return True
        # The driver is one of them.
        return len(self._session.sparkContext._jsc.sc().statusTracker().getExecutorInfos()) > 1  # noqa: SLF001

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

    def prepare_next_start(self, *, at_once: bool = False) -> None:
        """Has an archive of the classes in use made, unless there is one, so that later starts are quicker.

        What is to be done with Spark should have been done once before, so that its classes are there. Returns while it
        is being made in the background; `at_once`: it is made now, and there when this returns.
        """
        archive, self._archive = self._archive, None
        if archive is not None:
            self._archiving = archive.build(self._class_list, in_background=not at_once)
        if at_once and self._archiving is not None:
            self._archiving.wait()

    def close(self) -> None:
        """Ends the session and its JVM within two seconds. Can be called twice, and from another thread."""
        with self._closing:
            if self._session is not None and self._is_guest:
                with contextlib.suppress(Py4JError, OSError):
                    self._session.stop()
            self._session = None
            if self._archiving is not None:
                self._archiving.stop(0)
            process, self._process = self._process, None
            if process is not None:
                # All state is safe at any moment: there is no need to be patient.
                process.stop(STOP_SECONDS)
            if self._gateway is not None and not self._is_guest:
                _forget(self._gateway)
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
        return self._tmp / "gateway"

    @property
    def _tmp(self) -> Path:
        return self._folder / "tmp"

    @property
    def _jars(self) -> list[Path]:
        return [*self._settings.jars, _SPARK_HOME / "jars" / "*"]

    @property
    def _class_list(self) -> Path:
        return self._tmp / "classes"

    @property
    def _jvm_log(self) -> Path:
        return self._folder / "spark-jvm.log"

    def _launch(self) -> None:
        self._tmp.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection_file.unlink(missing_ok=True)
        log4j = self._tmp / "log4j2.properties"
        log4j.write_text(log4j_properties(self._folder / "spark.log"), encoding="utf-8")
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
        endless = self._tmp / "endless"
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
        class_path = [*map(str, self._jars)]
        class_path += [environ[name] for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR") if environ.get(name)]
        return jvm_arguments(
            class_path=class_path,
            memory=self._settings.memory,
            more=[
                *([] if self._archive is None else self._archive.options(self._class_list)),
                *driver_options(self._settings.conf),
            ],
            log4j=log4j,
            temporary=self._tmp,
            master=self._settings.master,
        )

    def _connect(self) -> SparkSession:
        port, secret = self._guest_connection() if self._is_guest else self._wait_for_gateway()
        with _environment(PYSPARK_GATEWAY_PORT=str(port), PYSPARK_GATEWAY_SECRET=secret, PYSPARK_PIN_THREAD="true"):
            self._gateway = launch_gateway()  # type: ignore[no-untyped-call]
        # What an outer spark-submit was told stands in the JVM's system properties, and goes before our own choices.
        conf = SparkConf(loadDefaults=self._is_guest, _jvm=self._gateway.jvm)
        for name, value in self._properties().items():
            if not conf.contains(name):
                conf.set(name, value)
        for name, value in self._settings.conf.items():
            conf.set(name, f"{conf.get(name)},{value}" if name == "spark.jars" and conf.contains(name) else value)
        with _own_interrupt_handler():
            context = SparkContext(conf=conf, gateway=self._gateway)
            context.setLogLevel("WARN")
            return SparkSession(context)

    def _properties(self) -> dict[str, str]:
        properties = {
            "spark.app.name": "pacifictool aggregate",
            "spark.master": self._settings.master,
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.catalogImplementation": "in-memory",
            "spark.sql.warehouse.dir": (self._tmp / "warehouse").as_uri(),
            # Results are small: one reducer needs no second exchange, and plans need not adapt.
            "spark.sql.shuffle.partitions": "1",
            "spark.sql.adaptive.enabled": "false",
            "spark.sql.streaming.stopTimeout": "5s",
            # The other one, which Spark prefers, starts a process (chmod) for every file that it writes: 0.1 s a batch.
            # What it has ahead, a rename that never overwrites, only matters to several writers, whom the lock of our
            # checkpoint keeps out.
            "spark.sql.streaming.checkpointFileManagerClass": (
                "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
            ),
            # Kept per query in the driver's memory and never looked at.
            "spark.sql.streaming.numRecentProgressUpdates": "5",
            "spark.sql.ui.retainedExecutions": "1",
            "spark.ui.retainedJobs": "1",
            "spark.ui.retainedStages": "1",
            "spark.ui.retainedTasks": "10",
        }
        if self._is_guest:
            return properties
        if self._settings.is_on_loopback:
            properties |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
        if self._settings.is_local:
            properties["spark.local.dir"] = str(self._tmp)
        else:
            # Executors fetch them from the driver.
            properties["spark.jars"] = ",".join(str(jar) for jar in self._settings.jars)
        return properties

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
        if self._is_guest:
            return AggregationError(f"Spark did not start: {reason}.", hint="spark-submit's output has its own words.")
        return AggregationError(
            f"Spark did not start with Java from {self._settings.java_home}: {reason}.",
            hint=f"Its own words are in {self._jvm_log} and {self._folder / 'spark.log'}.",
        )


def _forget(gateway: Any) -> None:
    """Lets a later session start a JVM of its own: pyspark's globals still point to the one that ended."""
    with contextlib.suppress(Exception):  # py4j's farewells fail in many ways when the other side is gone
        gateway.close()
    context = SparkContext._active_spark_context  # noqa: SLF001
    if context is not None:
        context._jsc = None  # noqa: SLF001
    SparkContext._active_spark_context = None  # noqa: SLF001
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001
    SparkSession._instantiatedSession = SparkSession._activeSession = None  # noqa: SLF001


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """pyspark takes the address of a running JVM from the environment and from nowhere else."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _own_interrupt_handler() -> Iterator[None]:
    """A new SparkContext puts its own handler for Ctrl-C in place of ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
