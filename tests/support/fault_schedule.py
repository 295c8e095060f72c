"""Injects random faults into the rig, from a seed, and compares every value of four analytics after each round.

tests/faults/test_random_faults.py runs it for a minute, `make soak MINUTES=30` for as long as you like. As a program it
prints one JSON document: windows and values compared, faults injected by kind, differences. Exit code 1 when there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform as host
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from pacifictool.analytics.state.reader import JobView
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.settings import KafkaEndpoint
from tests.support import faketime, power_cut
from tests.support.faketime import SteppingClock
from tests.support.fault_rig import GARBAGE, TIMEOUT_SECONDS, FaultRig, Job
from tests.support.four_analytics import record
from tests.support.oracle import Comparison
from tests.support.small_disk import SmallDisk
from tests.support.waiting import wait_until

DISK_MEGABYTES = 256
MOST_PARTITIONS = 8
COMPARE_EVERY = 5
"""Faults between two comparisons."""
LATENESS_SECONDS = 60.0
"""The shortest allowed lateness: longer than any outage that holds readings up, so that none is late."""
LATE_SECONDS = 20.0
"""How far late readings lie back, at most."""
CLOCK_STEPS = (-3600, -60, 0, 60, 3600)
"""Seconds by which the job's clock is wrong."""
PLATFORM_FAULTS = (
    ("--access-token-seconds", "3"),
    ("--rest-latency-seconds", "1"),
    ("--rest-failing-share", "0.2"),
)


class FaultSchedule:
    """Random faults on one rig, whose job must survive or continue after a restart."""

    def __init__(
        self,
        rig: FaultRig,
        disk: SmallDisk,
        clock: SteppingClock,
        *,
        seed: int,
        tell: Callable[[str], None],
    ) -> None:
        """The job's checkpoint is on `disk`, its clock is `clock`; `tell` is called with a line for each fault."""
        self._rig = rig
        self._disk = disk
        self._clock = clock
        self._random = random.Random(seed)
        self._tell = tell
        self.injected: Counter[str] = Counter()
        self.corrections = 0
        """Results that were posted once more, because records came after them; known at the end."""
        self._kinds: dict[str, Callable[[], object]] = {
            "job killed": self._kill_job,
            "power cut of the job": self._cut_power,
            "clock step": self._step_clock,
            "job interrupted": self._interrupt_job,
            "job's Java killed": self._kill_java,
            "job frozen": self._freeze_job,
            "disk full": self._fill_disk,
            "broker killed": lambda: rig.restart_broker(pause_seconds=self._seconds(0, 5)),
            "platform killed": lambda: rig.restart_platform(pause_seconds=self._seconds(0, 3)),
            "faulty platform": self._disturb_platform,
            "connections broken": self._break_off,
            "connections half-open": self._swallow,
            "platform refuses": self._refuse,
            "garbage": lambda: rig.publish(*self._random.choices(GARBAGE, k=20)),
            "late readings": self._publish_late,
            "partition added": self._add_partition,
        }

    def run(self, seconds: float, *, besides: tuple[str, ...] = ()) -> Comparison:
        """Injects faults for this long, every kind once before any is repeated, and compares. `besides`: kinds left out.

        Raises AssertionError with the differences, or when the job ends without a cause.
        """
        rig = self._rig
        until = time.monotonic() + seconds
        bag: list[str] = []
        rig.start_job()
        while time.monotonic() < until:
            rig.start_turbines()
            rig.wait_for_posts()
            for _ in range(COMPARE_EVERY):
                if time.monotonic() > until:
                    break
                bag = bag or self._random.sample(kinds := sorted(self._kinds.keys() - set(besides)), len(kinds))
                self._inject(bag.pop())
                time.sleep(self._seconds(0, 3))
            verdict = rig.verify()
            self._tell(f"{verdict.values} values of {verdict.windows} windows compared, no difference")
        verdict = rig.finish()
        self.corrections = corrections_of(rig.checkpoint)
        return verdict

    def _inject(self, kind: str) -> None:
        self._tell(kind)
        self._kinds[kind]()
        self.injected[kind] += 1

    def _seconds(self, least: float, most: float) -> float:
        return self._random.uniform(least, most)

    @property
    def _job(self) -> Job:
        job = self._rig.job
        assert job is not None
        assert job.is_running(), f"the job ended by itself:\n{job.said}"
        return job

    # --- the kinds of faults -------------------------------------------------------------------------------------

    def _restart_job(self) -> None:
        """Sometimes the new job is killed while it starts."""
        while True:
            self._rig.start_job()
            if self._random.random() < 0.6:
                return
            time.sleep(self._seconds(0, 6))
            self._job.kill()
            self.injected["job killed at its start"] += 1

    def _kill_job(self) -> None:
        self._job.kill()
        self._restart_job()

    def _cut_power(self) -> None:
        self._job.cut_power()
        power_cut.tear(self._rig.checkpoint, self._random)
        self._restart_job()

    def _step_clock(self) -> None:
        """The clock that the job and its Java see; it stays wrong until the next step."""
        self._clock.set(self._random.choice([seconds for seconds in CLOCK_STEPS if seconds != self._clock.seconds]))
        self._tell(f"  by now off by {self._clock.seconds} s")
        time.sleep(self._seconds(1, 4))

    def _interrupt_job(self) -> None:
        job = self._job
        job.wait_to_say("Aggregating")  # before, Python itself may still be starting
        outcome = job.interrupt()
        assert outcome.code == 130, outcome.stderr
        self._restart_job()

    def _kill_java(self) -> None:
        job = self._job

        def is_killed() -> bool:
            try:
                job.java().kill()
            except (LookupError, psutil.NoSuchProcess):
                return False
            return True

        wait_until(is_killed, lambda: job.said, TIMEOUT_SECONDS)
        assert job.wait().code == 1, job.said
        self._restart_job()

    def _freeze_job(self) -> None:
        process = psutil.Process(self._job.process.pid)
        family = [process, *process.children(recursive=True)]
        try:
            for member in family:
                _send(member, signal.SIGSTOP)
            time.sleep(self._seconds(1, 6))
        finally:
            for member in family:
                _send(member, signal.SIGCONT)

    def _fill_disk(self) -> None:
        job = self._job
        self._disk.fill(job.process.pid)
        self._rig.publish(b"not a record: has to be kept")
        outcome = job.wait()
        self._disk.free()
        assert outcome.code == 1, job.said
        assert outcome.document["error"]["kind"] == "storage-full", outcome.stdout
        self._restart_job()

    def _disturb_platform(self) -> None:
        self._rig.restart_platform(*self._random.choice(PLATFORM_FAULTS))
        time.sleep(self._seconds(3, 8))
        self._rig.restart_platform()

    @contextmanager
    def _proxy_for(self, seconds: float) -> Iterator[Any]:
        proxy = self._rig.mqtt_proxy if self._rig.sink == "gateway" else self._rig.proxy
        yield proxy
        time.sleep(seconds)
        proxy.heal()

    def _break_off(self) -> None:
        with self._proxy_for(self._seconds(0, 4)) as proxy:
            proxy.break_off()

    def _swallow(self) -> None:
        with self._proxy_for(self._seconds(1, 4)) as proxy:
            proxy.swallow()

    def _refuse(self) -> None:
        # A login that is refused while the job starts ends it, as it should.
        self._rig.wait_for_posts()
        self._rig.proxy.respond(self._random.choice((401, 403, 408, 429, 500, 502, 503)))
        time.sleep(self._seconds(1, 5))
        self._rig.proxy.break_off()  # also the connections to which the proxy itself responded
        self._rig.proxy.heal()

    def _publish_late(self) -> None:
        """Readings of windows that are on the platform already, of all zones and a device of its own."""
        now_ms = round(time.time() * 1000)
        for _ in range(40):
            ts_ms = now_ms - round(1000 * self._seconds(0, LATE_SECONDS))
            zone, speed = f"Zone {self._random.randrange(3)}", self._random.randrange(1_000_000_000)
            self._rig.publish(record(zone, speed, device=self._random.choice(("Late", "Turbine 000")), ts_ms=ts_ms))

    def _add_partition(self) -> None:
        admin = KafkaAdmin(KafkaEndpoint(self._rig.broker.bootstrap))
        partitions = len(admin.offsets(self._rig.topic))
        if partitions < MOST_PARTITIONS:
            admin.add_partitions(self._rig.topic, partitions + 1)


@contextmanager
def scheduled(
    folder: Path, *, seed: int, sink: str = "rest", tell: Callable[[str], None] = lambda _: None
) -> Iterator[FaultSchedule]:
    """Its own rig, set up, with the job's checkpoint on a small disk."""
    with (
        SmallDisk(folder / "disk", megabytes=DISK_MEGABYTES) as disk,
        FaultRig(folder, sink=sink, event_time="reading", lateness=LATENESS_SECONDS) as rig,
    ):
        rig.checkpoint = disk.folder / "job"
        clock = SteppingClock(folder / "clock")
        rig.launcher = (sys.executable, faketime.__file__, str(clock.file))
        rig.set_up(*(["--gateway"] if sink == "gateway" else []))
        yield FaultSchedule(rig, disk, clock, seed=seed, tell=tell)


def corrections_of(checkpoint: Path) -> int:
    """How many results all runs of a job have corrected."""
    view = JobView(checkpoint)
    try:
        return view.counters().get("corrections", 0)
    finally:
        view.close()


def _send(member: psutil.Process, number: signal.Signals) -> None:
    """Signals a process of a job; some of them end by themselves at any time."""
    with contextlib.suppress(psutil.NoSuchProcess):
        member.send_signal(number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sink", choices=("rest", "gateway"), default="rest")
    arguments = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:7.1f} s  {line}\n")

    differences: list[str] = []
    verdict: Comparison | None = None
    with (
        tempfile.TemporaryDirectory(prefix="pacifictool-soak-") as name,
        scheduled(Path(name), seed=arguments.seed, sink=arguments.sink, tell=tell) as schedule,
    ):
        try:
            verdict = schedule.run(60 * arguments.minutes)
        except AssertionError as error:
            differences = str(error).splitlines()
            tell(str(error))
    document = {
        "ok": verdict is not None,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "seed": arguments.seed,
        "sink": arguments.sink,
        "windows_compared": verdict.windows if verdict else 0,
        "values_compared": verdict.values if verdict else 0,
        "corrections": schedule.corrections,
        "records": verdict.records if verdict else 0,
        "rejected": verdict.rejected if verdict else 0,
        "faults_injected": schedule.injected.total(),
        "faults_by_kind": dict(sorted(schedule.injected.items())),
        "differences": len(differences),
        "first_differences": differences[:10],
        "machine": {"python": host.python_version(), "cpus": os.cpu_count(), "load": os.getloadavg()[0]},
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0 if verdict is not None else 1


if __name__ == "__main__":
    sys.exit(main())
