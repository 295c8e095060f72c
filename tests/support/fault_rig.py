"""A broker, a platform behind a proxy, turbines and the job as a user runs it; each can be made to fail and recover.

Every fault test ends with `FaultRig.verify`, which waits until nothing changes and compares every value.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import psutil
from confluent_kafka import Producer

from pacifictool.cli.environment import Environment
from pacifictool.cli.main import run
from pacifictool.errors import KafkaError
from pacifictool.kafka.records import Record, read_records
from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.provisioning.entities import look_up_tokens
from pacifictool.rest import Platform
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.scenario import Scenario, load_scenario
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Sources, resolve
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import choose_devices, plan_devices
from pacifictool.simulation.reading import Reading
from pacifictool.simulation.summary import FleetSummary
from tests.support.alarm_oracle import alarm_differences, wanted_alarms
from tests.support.command_line import Outcome, kept_variables
from tests.support.faulty_proxy import FaultyProxy
from tests.support.four_analytics import FUNCTION_FILE, MEAN_KEY, document_of, four_analytics
from tests.support.oracle import (
    Comparison,
    Position,
    Posted,
    compare_values,
    expected_of,
    read_alarms,
    read_platform,
    result_keys,
)
from tests.support.random_scenarios import Expected, Place
from tests.support.waiting import wait_until

TIMEOUT_SECONDS = 240.0
"""How long anything may take before a test fails: many times what it takes on an idle machine."""

GARBAGE = (
    b"no JSON",
    b"",
    b"[]",
    b'{"geoZone":"Zone 0"}',
    b'{"geoZone":"Zone 0", "windSpeed":31}',
    b'{"geoZone":"Zone 0", "windSpeed":-1}',
    b"\xff\xfe",
)
"""Invalid records; one of them lacks only its device, so that it counts where results are not by device."""


class Job:
    """The aggregation job in its own process."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr, log.with_suffix(".out").open("wb") as stdout:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=dict(environ)
            )

    @property
    def said(self) -> str:
        """Its messages so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_to_say(self, text: str, seconds: float = TIMEOUT_SECONDS, *, times: int = 1) -> None:
        """Returns when its messages contain `text` this many times."""

        def has_said() -> bool:
            was_running = self.is_running()
            found = self.said.count(text) >= times
            assert found or was_running, f"the job ended by itself:\n{self.said}"
            return found

        wait_until(has_said, lambda: f"{text!r} in\n{self.said}", seconds)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> Outcome:
        """Waits for its end."""
        code = self.process.wait(seconds)
        return Outcome(code, self._log.with_suffix(".out").read_text(encoding="utf-8"), self.said)

    def kill(self) -> None:
        """kill -9 of the program only; its child processes have to end by themselves."""
        self.process.kill()
        self.process.wait(60)

    def cut_power(self) -> None:
        """kill -9 of the program and all its descendants."""
        family = [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]
        members = [psutil.Process(pid) for pid in family if psutil.pid_exists(pid)]
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait(60)
        psutil.wait_procs(members, timeout=10)

    def interrupt(self) -> Outcome:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(30)

    def java(self) -> psutil.Process:
        """The process of Spark. Raises LookupError before there is one."""
        return java_below(self.process.pid)


class Turbines:
    """A fleet that publishes until it is stopped."""

    def __init__(
        self, mqtt: MqttEndpoint, scenario: Scenario, tokens: Mapping[str, Any], options: FleetOptions
    ) -> None:
        self.readings: list[Reading] = []
        """Those whose way has ended, well or not."""
        devices = plan_devices(choose_devices(scenario), tokens.__getitem__)
        self.fleet = Fleet(mqtt, devices, options, on_reading=self.readings.append)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="turbines")
        self._done: Future[FleetSummary] = self._pool.submit(self.fleet.run, self._stop)

    def wait_for(self, condition: Callable[[FleetSummary], bool], seconds: float = TIMEOUT_SECONDS) -> None:
        """Returns when the fleet's numbers are as wanted."""

        def holds() -> bool:
            found = condition(self.fleet.snapshot())
            assert found or not self._done.done(), self._done.exception() or self._done.result()
            return found

        wait_until(holds, self.fleet.snapshot, seconds)

    def stop(self) -> FleetSummary:
        self._stop.set()
        self._pool.shutdown()
        return self._done.result()


class FaultRig:
    """Everything from a turbine to the results of its zone, its own, and those of all (four_analytics.py).

    The job's REST goes through `proxy`, its MQTT through `mqtt_proxy`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        turbines: int = 6,
        zones: int = 3,
        rate: float = 10.0,
        lateness: float = 10.0,
        event_time: Literal["kafka", "reading"] = "kafka",
        partitions: int = 2,
        topic: str = "winds",
        sink: str = "rest",
    ) -> None:
        """`lateness`: the shortest allowed lateness. `sink`, "rest" or "gateway": where the job delivers, and where
        results are read."""
        self.folder = folder
        self.sink = sink
        self.topic = topic
        stack = LocalStack(folder / "stack", cache_dir=default_cache_dir(os.environ), environ=os.environ, shared=True)
        self.broker, self.platform = stack.broker, stack.platform
        self.proxy: FaultyProxy
        self.mqtt_proxy: FaultyProxy
        self._times: dict[str, Any] = {"lateness": lateness, "event_time": event_time}
        self.scenario_path = self.write_scenario(
            "scenario.toml", turbines=turbines, zones=zones, rate=rate, partitions=partitions
        )
        self.scenario = load_scenario(self.scenario_path)
        self._expected: tuple[list[Record], str, Expected] | None = None
        self.checkpoint = folder / "job"
        self.launcher: Sequence[str] = (sys.executable, "-m", "pacifictool")
        """The program that runs the jobs of this rig."""
        self.job: Job | None = None
        self._turbines: Turbines | None = None
        self._jobs = 0

    def write_scenario(
        self, name: str, *, turbines: int, zones: int, rate: float, partitions: int = 2, prefix: str = ""
    ) -> Path:
        """The same analytics with these turbines."""
        devices = [
            (f"{prefix}Turbine {number:03d}", f"{prefix}Zone {number % zones}", rate) for number in range(turbines)
        ]
        path = self.folder / name
        text = four_analytics(self.topic, partitions=partitions, devices=devices, function=True, **self._times)
        path.write_text(text, encoding="utf-8")
        (self.folder / "swings.py").write_text(FUNCTION_FILE, encoding="utf-8")
        return path

    def __enter__(self) -> Self:
        with ThreadPoolExecutor(2) as pool:
            try:
                for start in [pool.submit(self.broker.start), pool.submit(self.platform.start)]:
                    start.result()
                self.proxy = FaultyProxy(self.platform.http_port)
                self.mqtt_proxy = FaultyProxy(self.platform.mqtt_port)
                self.proxy.__enter__()
                self.mqtt_proxy.__enter__()
            except BaseException:
                self.platform.kill()
                self.broker.stop(graceful=False)
                raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._turbines is not None:
                self.stop_turbines()
        finally:
            if self.job is not None and self.job.is_running():
                self.job.kill()
            self.platform.kill()
            self.broker.stop(graceful=False)
            self.proxy.__exit__()
            self.mqtt_proxy.__exit__()

    # --- the command line ----------------------------------------------------------------------------------------

    @property
    def environ(self) -> dict[str, str]:
        """How commands find this rig."""
        return {
            **kept_variables(),
            "PACIFICTOOL_URL": f"http://127.0.0.1:{self.proxy.port}",
            "PACIFICTOOL_MQTT": f"127.0.0.1:{self.mqtt_proxy.port}",
            "PACIFICTOOL_KAFKA": self.broker.bootstrap,
            "PACIFICTOOL_SCENARIO": str(self.scenario_path),
            "PACIFICTOOL_STATE": str(self.folder / "state"),
            "PACIFICTOOL_OUTPUT": "json",
        }

    def call(self, *arguments: str) -> Outcome:
        """Runs a short command in this process."""
        stdout, stderr = io.StringIO(), io.StringIO()
        environment = Environment(
            stdin=io.StringIO(),
            stdout=stdout,
            stderr=stderr,
            environ=self.environ,
            folder=self.folder,
            user_file=self.folder / "no-config.toml",
        )
        return Outcome(int(run(arguments, environment)), stdout.getvalue(), stderr.getvalue())

    def set_up(self, *arguments: str) -> None:
        """`pacifictool setup`."""
        outcome = self.call("setup", *arguments)
        assert outcome.code == 0, outcome.stderr

    def aggregate(
        self,
        *options: str,
        checkpoint: Path | None = None,
        launcher: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Job:
        """Starts `pacifictool aggregate` next to the job of this rig.

        `launcher`: another program that runs it. `environ`: further variables of its environment.
        """
        self._jobs += 1
        command = [
            *(launcher or self.launcher),
            "aggregate",
            "--sink",
            self.sink,
            "--checkpoint",
            str(checkpoint or self.checkpoint),
        ]
        command += options
        return Job(command, {**self.environ, **(environ or {})}, self.folder / f"job-{self._jobs}.log")

    def start_job(self, *options: str, **more: Any) -> Job:
        """Starts the job of this rig, which counts from the topic's first record."""
        assert self.job is None or not self.job.is_running()
        self.job = self.aggregate("--starting-offsets", "earliest", *options, **more)
        return self.job

    # --- turbines and other writers ------------------------------------------------------------------------------

    def start_turbines(self, *, scenario: Scenario | None = None, **options: Any) -> Turbines:
        """Lets the turbines of the scenario publish; all are connected when it returns. Options: as FleetOptions."""
        assert self._turbines is None
        chosen = scenario or self.scenario
        environ = {
            **self.environ,
            "PACIFICTOOL_URL": self.platform.url,
            "PACIFICTOOL_MQTT": f"127.0.0.1:{self.platform.mqtt_port}",
        }
        settings = resolve(Sources({}, environ, self.folder, self.folder / "no-config.toml", lambda: ""))
        with Platform.connect(settings) as platform:
            tokens = look_up_tokens(platform, [turbine.name for turbine in chosen.devices])
        defaults = {"seed": 1, "jitter": True, "ack_timeout_seconds": 3.0}
        self._turbines = Turbines(settings.mqtt, chosen, tokens, FleetOptions(**{**defaults, **options}))
        self._turbines.wait_for(lambda summary: summary.online == len(tokens) and summary.acknowledged > 0)
        return self._turbines

    def stop_turbines(self) -> FleetSummary:
        """Stops the turbines and returns what became of their readings."""
        assert self._turbines is not None
        turbines, self._turbines = self._turbines, None
        return turbines.stop()

    def publish(self, *values: bytes, topic: str | None = None, timestamp_ms: int | None = None) -> None:
        """Writes records straight to the topic."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        for value in values:
            if timestamp_ms is None:
                producer.produce(topic or self.topic, value)
            else:
                producer.produce(topic or self.topic, value, timestamp=timestamp_ms)
        assert producer.flush(60) == 0

    # --- faults --------------------------------------------------------------------------------------------------

    def restart_platform(self, *options: str, pause_seconds: float = 0.0) -> None:
        """kill -9 of the platform; it comes back on its ports, with other options if given."""
        self.platform.kill()
        time.sleep(pause_seconds)
        old = self.platform
        self.platform = SandboxProcess(old.data_dir, old.http_port, old.mqtt_port, options=options)
        self.platform.start()

    def restart_broker(self, *, pause_seconds: float = 0.0) -> None:
        """kill -9 of the broker; it comes back on its port."""
        self.broker.stop(graceful=False)
        time.sleep(pause_seconds)
        self.broker.start()

    # --- the comparison ------------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """Everything that the topic holds."""
        return list(read_records(KafkaEndpoint(self.broker.bootstrap), self.topic))

    def rejects(self, checkpoint: Path | None = None) -> dict[Position, str]:
        """What `pacifictool rejects` lists: the reason by partition and offset."""
        outcome = self.call("rejects", "--all", "--checkpoint", str(checkpoint or self.checkpoint))
        assert outcome.code == 0, outcome.stderr
        listed = outcome.document["rejects"]
        assert all(letter["topic"] == self.topic for letter in listed)
        return {(letter["partition"], letter["offset"]): letter["reason"] for letter in listed}

    def posted(self) -> Posted:
        """Every result that the platform shows."""
        return self._read(result_keys(self._document()))

    def _document(self) -> dict[str, Any]:
        """The scenario as the oracle knows it."""
        document = document_of(self.scenario_path.read_text(encoding="utf-8"))
        if self.sink == "gateway":
            # A gateway has devices only.
            for each in document["analytics"]:
                each["entity_kind"] = "device"
        return document

    def means(self) -> set[tuple[str, int]]:
        """Zone and window end in ms of the zones' means that the platform shows."""
        kind = "device" if self.sink == "gateway" else "asset"
        return {(entity, end) for _, entity, _, end in self._read({kind: {MEAN_KEY}}).values}

    def _read(self, keys: Mapping[str, Collection[str]]) -> Posted:
        # Turbines have telemetry of their own, which is not a result.
        return read_platform(self.platform.url, keys, without=[device.name for device in self.scenario.devices])

    def wait_for_posts(self, more: int = 1, seconds: float = TIMEOUT_SECONDS) -> None:
        """Returns when that many more means of zones are on the platform than now."""
        wanted = len(self.means()) + more

        def are_posted() -> bool:
            found = len(self.means()) >= wanted
            assert found or self.job is None or self.job.is_running(), f"the job ended by itself:\n{self.job.said}"
            return found

        wait_until(are_posted, lambda: f"posts of\n{self.job.said if self.job else ''}", seconds)

    def compare(self, besides: Mapping[Place, float] | None = None) -> Comparison:
        """The comparison as of now; whatever may still be on its way counts as a difference.

        `besides`: values whose records are no longer in the topic, or that were there before.
        """
        records = self.records()
        if self._expected is None or self._expected[:2] != (records, self.sink):
            self._expected = (records, self.sink, expected_of(self._document(), records))
        wanted = self._expected[2]
        found = compare_values(records, wanted, self.rejects(), self.posted(), besides=besides)
        alarms = alarm_differences(wanted_alarms(self._document(), wanted), read_alarms(self.platform.url))
        return replace(found, differences=(*found.differences, *alarms))

    def verify(self, *, seconds: float = TIMEOUT_SECONDS, besides: Mapping[Place, float] | None = None) -> Comparison:
        """Stops the turbines and returns when the platform shows the expected values, and those of `besides`.

        Raises AssertionError with the differences when it does not get there, or when the job ends by itself.
        """
        if self._turbines is not None:
            self.stop_turbines()
        until = time.monotonic() + seconds
        while True:
            try:
                verdict = self.compare(besides)
            except KafkaError:
                if time.monotonic() > until:
                    raise
            else:
                if not verdict.differences and verdict.windows:
                    return verdict
                if self.job is not None and not self.job.is_running() and self.job.process.returncode != 0:
                    raise AssertionError(f"the job ended by itself:\n{self.job.said}")
                if time.monotonic() > until:
                    raise AssertionError(
                        "\n".join([*verdict.differences[:30], "" if self.job is None else self.job.said[-5000:]])
                    )
            time.sleep(1)  # each comparison reads the whole topic and all results

    def finish(self) -> Comparison:
        """Verifies, ends the job with Ctrl-C and verifies again that nothing has changed."""
        self.verify()
        assert self.job is not None
        outcome = self.job.interrupt()
        assert outcome.code == 130, outcome.stderr
        summary = outcome.document
        assert (summary["open_windows"], summary["stopped_by"]) == (0, "stop"), json.dumps(summary)
        verdict = self.compare()
        assert verdict.differences == ()
        return verdict


def java_below(pid: int) -> psutil.Process:
    """The Java process that a program runs. Raises LookupError."""
    for process in psutil.Process(pid).children(recursive=True):
        if process.name().startswith("java"):
            return process
    raise LookupError(f"process {pid} runs no Java")
