"""A fleet in several processes: each simulates a part of the devices, with an event loop and open files of its own.

The processes are fresh ones, which get their part over a pipe: tokens are neither in arguments nor in the environment.
They end with the pipe, so that none outlives a command that was killed.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from pacifictool.errors import PacificToolError, UsageError
from pacifictool.progress import SILENT, Reporter, SilentReporter
from pacifictool.settings import MqttEndpoint
from pacifictool.simulation.fleet import Fleet, device_word_of
from pacifictool.simulation.fleet_progress import RunProgress, run_progress
from pacifictool.simulation.intervals import FleetState
from pacifictool.simulation.limits import ensure_ports
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.shards import Shard
from pacifictool.simulation.summary import FleetSummary
from pacifictool.tools.pacing import next_show

_STATE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 10.0


class FleetProcesses:
    """A fleet like `Fleet`, simulated by `count` processes together. `snapshot` may be called from any thread.

    A part whose process fails is reported to `reporter`, and makes the summary incomplete; the others go on.
    """

    def __init__(
        self,
        count: int,
        endpoint: MqttEndpoint,
        devices: Sequence[SimulatedDevice],
        options: FleetOptions,
        reporter: Reporter = SILENT,
        device_word: Callable[[int], str] = device_word_of,
    ) -> None:
        """Raises UsageError and MqttError as `Fleet` does, and UsageError for fewer devices than processes."""
        if len(devices) < count:
            raise UsageError(
                f"--processes: {count} are too many for {len(devices)} {device_word(len(devices))}.",
                hint="At most one for each.",
            )
        ensure_ports(len(devices), options.source_addresses)  # which all processes share
        seed = secrets.randbelow(2**31) if options.seed is None else options.seed
        self._options = replace(
            options,
            seed=seed,
            spawn_rate=None if options.spawn_rate is None else options.spawn_rate / count,
            max_in_flight_of_fleet=math.ceil(options.max_in_flight_of_fleet / count),
        )
        self._endpoint = endpoint
        self._devices = devices
        self._parts = [Shard(number, count).part_of(devices) for number in range(1, count + 1)]
        self._reporter = reporter
        self._word = device_word
        self._summaries = [Fleet(endpoint, part, self._options).snapshot() for part in self._parts]
        self._errors: list[PacificToolError] = []

    def snapshot(self) -> FleetSummary:
        """The numbers so far; those of a running part are a second old."""
        return FleetSummary.joined(self._summaries)

    def run(self, stop: threading.Event | None = None) -> FleetSummary:
        """Runs until all parts have ended. Raises the error of the first part when every part failed."""
        context = multiprocessing.get_context("spawn")
        words = (self._word(1), self._word(2))
        running: dict[Connection, int] = {}
        processes = []
        try:
            with _without_interrupts():
                for index, part in enumerate(self._parts):
                    ours, theirs = context.Pipe()
                    process = context.Process(
                        target=_simulate, args=(theirs, self._endpoint, part, self._options, words), daemon=True
                    )
                    process.start()
                    theirs.close()
                    processes.append(process)
                    running[ours] = index
            limits = [device.schedule(self._options).limit for device in self._devices]
            with run_progress(self._reporter, limits, self._word) as progress:
                self._follow(running, stop or threading.Event(), progress)
        finally:
            for pipe in running:
                pipe.close()
            for process in processes:
                process.join(_END_SECONDS)
                process.kill()
        if len(self._errors) == len(self._parts):
            raise self._errors[0]
        return self.snapshot()

    def _follow(self, running: dict[Connection, int], stop: threading.Event, progress: RunProgress) -> None:
        is_stopping = False
        while running:
            for pipe in wait(list(running), _POLL_SECONDS):
                assert isinstance(pipe, Connection)
                if not self._receive(pipe, running[pipe]):
                    del running[pipe]
                    pipe.close()
            if stop.is_set() and not is_stopping:
                is_stopping = True
                for pipe in running:
                    with contextlib.suppress(OSError):
                        pipe.send(None)
            summary = self.snapshot()
            delivered = summary.acknowledged if summary.qos else summary.sent
            progress.show(
                completed=delivered + summary.lost + summary.withheld,
                delivered=delivered,
                online=summary.online,
                lost=summary.lost,
                refused=len(summary.refused),
            )
            progress.show_connected(summary.connected, total=summary.devices)

    def _receive(self, pipe: Connection, index: int) -> bool:
        """Takes a message of a part; returns whether the part goes on."""
        try:
            kind, content = pipe.recv()
        except (EOFError, OSError):
            kind, content = "died", None
        if kind in ("state", "end"):
            self._summaries[index] = content
            return bool(kind == "state")
        if kind in ("info", "detail", "warning"):
            getattr(self._reporter, kind)(content)
            return True
        self._summaries[index] = replace(self._summaries[index], online=0, stopped_by="stop")
        which = f"Part {index + 1} of {len(self._parts)} of the fleet"
        if isinstance(content, PacificToolError):
            self._errors.append(content)
            self._reporter.warning(f"{which}: {content.message}")
        else:
            self._reporter.warning(f"{which} ended unexpectedly: the summary has what it had done until then.")
        return False


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started meanwhile get no SIGINT: Ctrl-C reaches the main process, too, which then stops the parts."""
    resource_tracker.ensure_running()  # else the first process starts it, which unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Sender(SilentReporter):
    """Sends messages and summaries of a part to the main process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.snapshot: Callable[[], FleetSummary] | None = None
        self.due_at = -math.inf

    def send(self, kind: str, content: Any) -> None:
        with self._lock, contextlib.suppress(OSError):  # without the main process, the part is about to stop
            self._pipe.send((kind, content))

    def info(self, message: str) -> None:
        self.send("info", message)

    def detail(self, message: str) -> None:
        self.send("detail", message)

    def warning(self, message: str) -> None:
        self.send("warning", message)

    def observe(self, state: FleetState) -> None:
        if self.snapshot is not None:
            began = time.monotonic()
            self.send("state", self.snapshot())
            self.due_at = next_show(began, _STATE_SECONDS)


def _simulate(
    pipe: Connection,
    endpoint: MqttEndpoint,
    devices: Sequence[SimulatedDevice],
    options: FleetOptions,
    words: tuple[str, str],
) -> None:
    """What the process of a part does."""
    stop = threading.Event()
    threading.Thread(target=_await_stop, args=(pipe, stop), daemon=True).start()
    sender = _Sender(pipe)
    try:
        fleet = Fleet(
            endpoint, devices, options, sender, device_word=lambda count: words[count != 1], observers=[sender]
        )
        sender.snapshot = fleet.snapshot
        sender.send("end", fleet.run(stop))
    except PacificToolError as error:
        sender.send("failed", error)


def _await_stop(pipe: Connection, stop: threading.Event) -> None:
    with contextlib.suppress(EOFError, OSError):  # the main process has ended
        pipe.recv()
    stop.set()
