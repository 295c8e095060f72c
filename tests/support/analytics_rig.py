"""A worked case of docs/your-analytics.md as a user runs it, with shorter windows, next to a broker of other tests: a
platform of its own, the job and the simulation as processes, which can be killed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pacifictool.kafka.records import read_records
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import AlarmInfo, Platform
from pacifictool.scenario import load_scenario
from pacifictool.settings import KafkaEndpoint, Sources, resolve
from tests.support.command_line import Outcome, kept_variables
from tests.support.documents import ROOT
from tests.support.fault_rig import TIMEOUT_SECONDS, Job
from tests.support.worked_cases import Reading, reading_of_record

EXAMPLES = ROOT / "examples"
LAST_MS = 99_999_999_999_999

Values = dict[tuple[str, str, str, int], float]
"""By kind and name of the entity, key, and timestamp."""


class AnalyticsRig:
    """One example of `examples/` with a platform of the given generation."""

    def __init__(self, folder: Path, bootstrap: str, name: str, generation: str, replace: Mapping[str, str]) -> None:
        """`replace`: texts of the scenario, such as lengths of windows, and what stands there instead; each must be
        there."""
        self.folder = folder
        self._bootstrap = bootstrap
        for path in EXAMPLES.glob(f"{name}.*"):
            shutil.copy(path, folder / path.name)
        self.scenario_path = folder / f"{name}.toml"
        text = self.scenario_path.read_text(encoding="utf-8")
        topic = load_scenario(self.scenario_path).forwarding.topic
        for old, new in {f'topic = "{topic}"': f'topic = "{topic}-{generation}-{folder.name}"', **replace}.items():
            assert old in text, old
            text = text.replace(old, new)
        self.scenario_path.write_text(text, encoding="utf-8")
        self.scenario = load_scenario(self.scenario_path)
        self.platform = SandboxProcess(folder / "platform", options=("--generation", generation))
        self.job: Job | None = None
        self._processes: list[Job] = []

    def __enter__(self) -> Self:
        self.platform.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.is_running():
                process.cut_power()
        self.platform.kill()

    @property
    def environ(self) -> dict[str, str]:
        """How commands find the rig."""
        return {
            **kept_variables(),
            "PACIFICTOOL_URL": self.platform.url,
            "PACIFICTOOL_MQTT": f"127.0.0.1:{self.platform.mqtt_port}",
            "PACIFICTOOL_KAFKA": self._bootstrap,
            "PACIFICTOOL_SCENARIO": str(self.scenario_path),
            "PACIFICTOOL_STATE": str(self.folder / "state"),
            "PACIFICTOOL_OUTPUT": "json",
        }

    def start(self, *arguments: str) -> Job:
        """Starts a command."""
        log = self.folder / f"{arguments[0]}-{len(self._processes)}.log"
        process = Job((sys.executable, "-m", "pacifictool", *arguments), self.environ, log)
        self._processes.append(process)
        return process

    def run(self, *arguments: str) -> Outcome:
        """Runs a command to its end, which must be a good one."""
        outcome = self.start(*arguments).wait()
        assert outcome.code == 0, outcome.stderr + outcome.stdout
        return outcome

    def start_job(self, *options: str) -> Job:
        """Starts the job, which counts from the topic's first record."""
        self.job = self.start("aggregate", "--starting-offsets", "earliest", *options)
        return self.job

    def crash(self) -> None:
        """kill -9 of the job with all its processes, and of the platform, which comes back on the same ports."""
        assert self.job is not None
        self.job.cut_power()
        self.platform.kill()
        self.platform.start()

    def readings(self) -> list[Reading]:
        """Everything that the topic holds, each with the time by which it counts as `ts`."""
        by_reading = self.scenario.forwarding.event_time == "reading"
        return [
            reading_of_record(record.value or b"", None if by_reading else record.timestamp_ms)
            for record in read_records(KafkaEndpoint(self._bootstrap), self.scenario.forwarding.topic)
        ]

    def client(self) -> Platform:
        """A REST client."""
        sources = Sources(
            flags={}, environ=self.environ, folder=self.folder, user_file=self.folder / "none.toml", read_stdin=str
        )
        return Platform.connect(resolve(sources))

    def values(self, wanted: Mapping[tuple[str, str, str, int], Any]) -> Values:
        """The values on the platform of the entities and keys that these are of."""
        found: Values = {}
        with self.client() as platform:
            for kind, name, key in sorted({place[:3] for place in wanted}):
                entities = platform.devices if kind == "device" else platform.assets
                if (entity := entities.find(name)) is not None:
                    for point in platform.telemetry.range(entity, key, 1, LAST_MS):
                        found[kind, name, key, point.ts_ms] = float(str(point.value))
        return found

    def alarms(self, kind: str, name: str) -> list[AlarmInfo]:
        """All alarms of an entity, of which there may be none."""
        with self.client() as platform:
            entities = platform.devices if kind == "device" else platform.assets
            entity = entities.find(name)
            found = [] if entity is None else platform.alarms.list(entity)
        active = [alarm.type for alarm in found if alarm.is_active]
        assert len(active) == len(set(active)), f"two alarms of one type are active on {name}: {found}"
        return found


__all__ = ["TIMEOUT_SECONDS", "AnalyticsRig", "Values"]
