"""A real Spark standalone cluster on the loopback interface: one master, and workers that can be lost."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil
import pyspark
import requests

from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.java import find_java, spark_java_home
from pacifictool.runtime.ports import free_ports
from pacifictool.runtime.processes import ManagedProcess
from tests.support.waiting import wait_until

START_SECONDS = 120.0


class Worker:
    """One worker machine: everything that it runs is in one process group."""

    def __init__(self, process: ManagedProcess, folder: Path) -> None:
        self._process = process
        self.folder = folder

    def executors(self) -> list[psutil.Process]:
        """The JVMs that do the work of applications."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [child for child in children if "CoarseGrainedExecutorBackend" in " ".join(child.cmdline())]

    def programs(self) -> list[psutil.Process]:
        """All that run on it, without the supervisor at the top."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def applications(self) -> set[str]:
        """Those that have had executors here."""
        return {app.name for app in self.folder.glob("work/app-*")}

    def log_beyond(self, others: set[str]) -> str:
        """What executors of other applications than `others` have written here."""
        logs = [log for log in self.folder.glob("work/app-*/*/stderr") if log.parents[1].name not in others]
        return "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)

    def kill(self) -> None:
        """kill -9 of the worker and its executors at once, as a machine that loses its power."""
        self._process.stop(0)


class SparkCluster:
    """The master and its workers, from the installed pyspark.

    Workers have another SPARK_HOME than the driver, and no program on their PATH but `rm`. All of its processes and
    those of its applications must have `secret`.
    """

    def __init__(self, folder: Path, *, workers: int = 2, memory: str = "600m") -> None:
        self.folder = folder
        self._port, self._web_port = free_ports(2)
        self.home = folder / "spark"
        self.home.mkdir(parents=True)
        (self.home / "jars").symlink_to(Path(pyspark.__file__).parent / "jars")
        (self.home / "bin").mkdir()
        (self.home / "bin" / "rm").symlink_to(shutil.which("rm") or "/bin/rm")
        self.secret = secrets.token_hex(16)
        self.properties = self.home / "conf" / "spark-defaults.conf"
        self.properties.parent.mkdir()
        self.properties.write_text(
            "spark.authenticate true\n"
            f"spark.authenticate.secret {self.secret}\n"
            "spark.master.rest.enabled false\n",  # it knows no secret, and a master that wants one refuses to offer it
            encoding="utf-8",
        )
        self.properties.chmod(0o600)
        self._java = spark_java_home(find_java(os.environ), default_cache_dir(os.environ)) / "bin" / "java"
        self._master: ManagedProcess | None = None
        self._count = workers
        self._memory = memory
        self.workers: list[Worker] = []

    @property
    def url(self) -> str:
        return f"spark://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        try:
            self._master = self._start(
                "master", "master.Master", "--port", str(self._port), "--webui-port", str(self._web_port)
            )
            self._wait_for_port(self._port)
            for number in range(1, self._count + 1):
                place = self.folder / f"worker-{number}"
                process = self._start(
                    place.name, "worker.Worker", "--webui-port", "0", "--cores", "1", "--memory", self._memory,
                    "--work-dir", str(place / "work"), self.url,
                )  # fmt: skip
                self.workers.append(Worker(process, place))
            self.wait_for(lambda state: state["aliveworkers"] == self._count)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
        if self._master is not None:
            self._master.stop(0)

    def applications(self) -> set[str]:
        """Those that any worker has had executors of."""
        return {app for worker in self.workers for app in worker.applications()}

    def state(self) -> Mapping[str, Any]:
        """The master's own description of its state."""
        response = requests.get(f"http://127.0.0.1:{self._web_port}/json/", timeout=60)
        state: Mapping[str, Any] = response.json()
        return state

    def wait_for(self, condition: Any, seconds: float = START_SECONDS) -> None:
        """Returns when the master's state is as wanted."""
        state: Any = "no response"

        def holds() -> bool:
            nonlocal state
            try:
                state = self.state()
                return bool(condition(state))
            except requests.RequestException:
                return False  # not there yet, or responding before its page is

        wait_until(holds, lambda: state, seconds)

    def _start(self, name: str, program: str, *arguments: str) -> ManagedProcess:
        place = self.folder / name
        place.mkdir()
        command = [
            str(self._java), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
            f"-Djava.io.tmpdir={place}", "-cp", f"{self.home}/jars/*",
            f"org.apache.spark.deploy.{program}", "--host", "127.0.0.1", *arguments,
        ]  # fmt: skip
        environ = {
            "PATH": str(self.home / "bin"),
            "JAVA_HOME": str(self._java.parent.parent),
            "SPARK_HOME": str(self.home),
            "SPARK_SCALA_VERSION": "2.13",  # as Spark's own scripts do
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(place),
            "LC_ALL": "C.UTF-8",
        }
        return ManagedProcess(command, log_path=place / "log", environ=environ, cwd=place)

    def _wait_for_port(self, port: int) -> None:
        def listens() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
            return True

        wait_until(listens, "the master", START_SECONDS)
