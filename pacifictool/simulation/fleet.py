"""A fleet of simulated devices: one event loop for all of them, one MQTT connection and one token each."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from pacifictool.errors import MqttError, UsageError
from pacifictool.mqtt import TELEMETRY_TOPIC
from pacifictool.mqtt.connection import Failure, failure_of, tls_context
from pacifictool.mqtt.packets import PublishEncoder
from pacifictool.progress import SILENT, Reporter
from pacifictool.settings import MqttEndpoint
from pacifictool.simulation.bottleneck import LoadMeter, bottleneck
from pacifictool.simulation.connection import Connector, DeviceConnection
from pacifictool.simulation.device import RunningDevice
from pacifictool.simulation.device_fleet import DeviceState
from pacifictool.simulation.disconnects import DisconnectCause, explain
from pacifictool.simulation.fleet_progress import RunProgress, run_progress
from pacifictool.simulation.flow_control import FlowControl, WaitingLine
from pacifictool.simulation.histogram import milliseconds
from pacifictool.simulation.intervals import FleetObserver, FleetState
from pacifictool.simulation.limits import ensure_descriptors, ensure_ports
from pacifictool.simulation.loop import EventLoop
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.reading import Outcome, Reading
from pacifictool.simulation.summary import FleetCounters, FleetSummary
from pacifictool.tools.outage import OutageReporter
from pacifictool.tools.pacing import next_show

STOP_TIMEOUT_SECONDS: Final = 1.5
"""How long missing acknowledgements are awaited after a stop."""

_START_ATTEMPTS: Final = 3
"""After this many refused connections without a success, the platform is not there."""
_PROGRESS_SECONDS: Final = 0.25
_NAMED_REFUSALS: Final = 5


def device_word_of(count: int) -> str:
    """What this many devices are called, unless a scenario says otherwise."""
    return "device" if count == 1 else "devices"


class Fleet:
    """Simulates devices against the platform until each has taken its readings, or until it is stopped.

    `on_reading` gets every reading once it has an outcome (acknowledged, sent or lost), in the thread of `run`; it must
    be quick, and an exception that it raises ends the run. `snapshot` may be called from any thread.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        devices: Sequence[SimulatedDevice],
        options: FleetOptions | None = None,
        reporter: Reporter = SILENT,
        on_reading: Callable[[Reading], None] | None = None,
        device_word: Callable[[int], str] = device_word_of,
        observers: Sequence[FleetObserver] = (),
    ) -> None:
        """`device_word` gives what a person calls this many devices, as `Scenario.device_word` does; `observers` follow
        the run.

        Raises UsageError when there are no devices, two have the same name, or an option is not possible for one;
        MqttError when the operating system does not allow as many connections.
        """
        self.options = options or FleetOptions()
        if not devices:
            raise UsageError("There is no device to simulate.")
        if len({device.name for device in devices}) < len(devices):
            raise UsageError("Two devices to simulate have the same name.")
        if self.options.bare or self.options.sequence:
            for device in devices:
                if device.payload is not None:
                    raise UsageError(
                        f"{device.name!r} has a payload of its own, which --bare and --sequence do not change.",
                        hint="Its template can hold {number}, and need not hold {ts}.",
                    )
        ensure_descriptors(len(devices))
        ensure_ports(len(devices), self.options.source_addresses)
        self.endpoint = endpoint
        self._word = device_word
        self.counters = FleetCounters()
        self.encoder = PublishEncoder(TELEMETRY_TOPIC, self.options.qos)
        self.flow = FlowControl(self.options)
        self.seed = secrets.randbelow(2**31) if self.options.seed is None else self.options.seed
        self._plans = devices
        self._reporter = reporter
        self._on_reading = on_reading
        self._observers = list(observers)
        self._meter = LoadMeter()
        self._devices: list[RunningDevice] = []
        self._failed_starts = 0
        self._fatal: MqttError | None = None
        self._outage = OutageReporter(reporter, f"All {device_word(2)} are connected again.")
        self._started = time.monotonic()
        self._ended: float | None = None
        self._stopped = self._finished = False

    def run(self, stop: threading.Event | None = None) -> FleetSummary:
        """Runs until all devices have ended; after `stop` is set that takes at most 1.5 s.

        Blocks; everything but opening connections happens in the calling thread. A fleet runs once. Raises MqttError
        when the platform cannot be reached at the start, or refuses every device; once a device has had a session,
        outages are waited out and refusals are reported in the summary.
        """
        if self.endpoint.tls:
            tls_context(self.endpoint)  # unusable files are found before anything is started
        self._started = time.monotonic()
        self.loop = EventLoop(self.counters.loop_lag)
        self._line = WaitingLine(self.loop, self.flow, self.room)
        self._connector = Connector(
            self.endpoint,
            self._post_result,
            connect_timeout_seconds=self.options.connect_timeout_seconds,
            keepalive_seconds=self.options.keepalive_seconds,
            source_addresses=self.options.source_addresses,
        )
        try:
            interval = 1 / self.options.spawn_rate if self.options.spawn_rate else 0.0
            self._devices = [
                RunningDevice(plan, self, connect_at=self._started + index * interval, seed=self.seed)
                for index, plan in enumerate(self._plans)
            ]
            limits = [device.limit for device in self._devices]
            with run_progress(self._reporter, limits, self._word) as progress:
                self._run_loop(stop or threading.Event(), progress)
        except Exception:
            self._on_reading = None  # it may have failed itself, and must not keep the connections from being closed
            raise
        finally:
            for device in self._devices:
                device.end("the run was interrupted")
            self._ended = time.monotonic()
            self._connector.close()
            self.loop.close()
        if self._fatal is not None:
            raise self._fatal
        self._observe(self._ended, everyone=True)
        return self.snapshot()

    def snapshot(self) -> FleetSummary:
        """The numbers so far."""
        counters = self.counters
        confirmed = self.options.qos > 0
        generated, delivered, lost = counters.generated, counters.delivered, counters.lost
        now = time.monotonic()
        target_rate = sum(part.rate for part in self._devices or self._plans)
        achieved_rate = sum(device.achieved_rate(now) for device in self._devices)
        lag, loop_lag = counters.lag.copy(), counters.loop_lag.percentile(99)
        return FleetSummary(
            devices=len(self._plans),
            connected=counters.connected,
            online=counters.online,
            generated=generated,
            sent=generated if confirmed else delivered,
            acknowledged=delivered if confirmed else 0,
            resent=counters.resent,
            lost=lost,
            unconfirmed=max(0, generated - delivered - lost),
            missed=sum(device.missed for device in self._devices),
            withheld=sum(device.withheld for device in self._devices),
            target_rate=target_rate,
            achieved_rate=achieved_rate,
            lag=lag,
            acknowledgement=counters.confirmation.copy(),
            busy=self._meter.busy,
            loop_lag_p99_ms=milliseconds(loop_lag),
            held_back=self._meter.held_back,
            bottleneck=bottleneck(
                self._meter,
                target_rate=target_rate,
                lag_seconds=lag.percentile(99),
                loop_lag_seconds=loop_lag,
                confirmed=confirmed,
            ),
            reconnects=counters.reconnects,
            refused=dict(counters.refused),
            interrupted=dict(counters.interrupted),
            losses=tuple(counters.losses),
            injections=tuple(injection for device in self._devices for injection in device.injections),
            seconds=(self._ended or now) - self._started,
            seed=self.seed,
            qos=self.options.qos,
            stopped_by="stop" if self._stopped else "end",
        )

    def change_rate(self, scale: float) -> None:
        """Every device takes `scale` times the readings per second of its plan from now on; those that are due are
        missed. For observers."""
        for device in self._devices:
            device.change_rate(device.plan.rate * scale, self.loop.now)

    def finish(self) -> None:
        """Ends the run as a stop does; the summary does not call it stopped. For observers."""
        self._finished = True

    # The run

    def _run_loop(self, stop: threading.Event, progress: RunProgress) -> None:
        stopping = False
        show_at = 0.0
        while self._fatal is None:
            self.loop.run_once()
            now = self.loop.now
            self.flow.update(now, self.counters.delivered)
            if (stop.is_set() or self._finished) and not stopping:
                stopping, self._stopped = True, not self._finished
                for device in self._devices:
                    device.stop(now, STOP_TIMEOUT_SECONDS)
            self._observe(now)
            if now >= show_at:
                self._end_refused()
                self._show(progress, now)
                show_at = next_show(now, _PROGRESS_SECONDS)
            if self.counters.ended == len(self._devices):
                self._show(progress, now)
                return

    def _end_refused(self) -> None:
        """With a number of readings: ends devices that may be accepted later, when no other is left to wait for."""
        if self.options.count is not None and len(self.counters.refused) >= len(self._devices) - self.counters.ended:
            running = [device for device in self._devices if device.state is not DeviceState.ENDED]
            if all(device.is_refused for device in running):
                for device in running:
                    device.end("the platform refuses the device")

    def _observe(self, now: float, *, everyone: bool = False) -> None:
        due = [observer for observer in self._observers if everyone or now >= observer.due_at]
        if due:
            state = self._state(now)
            for observer in due:
                observer.observe(state)

    def _state(self, now: float) -> FleetState:
        counters = self.counters
        return FleetState(
            at=now,
            generated=counters.generated,
            delivered=counters.delivered,
            resent=counters.resent,
            lost=counters.lost,
            online=counters.online,
            acknowledgement=counters.confirmation.copy(),
            lag=counters.lag.copy(),
            loop_lag=counters.loop_lag.copy(),
            busy_seconds=self.loop.busy_seconds,
            is_ending=self._stopped or self._finished or self._ended is not None,
        )

    def _show(self, progress: RunProgress, now: float) -> None:
        counters = self.counters
        taking = held_back = withheld = away = 0
        for device in self._devices:
            withheld += device.withheld
            if device.state is DeviceState.ONLINE:
                taking += not device.is_draining
                held_back += device.is_held_back(now)
            # Without devices whose sessions end again and again: that has been reported, and would repeat every second.
            elif device.is_away and device.plan.name not in counters.interrupted:
                away += 1
        busy = self.loop.busy_seconds
        self._meter.update(now, busy, counters.delivered, held_back=held_back, taking=taking)
        progress.show(
            completed=counters.delivered + counters.lost + withheld,
            delivered=counters.delivered,
            online=counters.online,
            lost=counters.lost,
            refused=len(counters.refused),
        )
        progress.show_connected(counters.connected, total=len(self._plans))
        lost = f"{away} of {len(self._devices)} {self._word(len(self._devices))} lost {self.endpoint}; reconnecting."
        self._outage.update(lost if away else None, kind="devices away")

    # Events of the devices (DeviceFleet)

    def connect(self, device: RunningDevice) -> None:
        """Opens a connection for `device`, on another thread."""
        self._connector.open(device, device.plan.token)

    def _post_result(self, device: RunningDevice, result: DeviceConnection | MqttError) -> None:
        """Called in a thread of the connector."""
        if isinstance(result, DeviceConnection):
            self.loop.call_soon_threadsafe(lambda: device.connected(result, self.loop.now))
        else:
            self.loop.call_soon_threadsafe(lambda: device.connect_failed(result, self.loop.now))

    def connect_failed(self, device: RunningDevice, error: MqttError) -> None:
        """There is no session. Ends the run when no device has had one yet and waiting does not help."""
        self._reporter.detail(f"{device.plan.name}: {error.message}")
        if self.counters.connected or self.counters.refused:
            return
        # A server that is starting refuses connections for a moment; other failures are permanent.
        is_temporary = isinstance(error.__cause__, ConnectionRefusedError) or failure_of(error) is Failure.CLOSED
        self._failed_starts += 1 if is_temporary else _START_ATTEMPTS
        if self._failed_starts >= _START_ATTEMPTS:
            self._fatal = error

    def accepted(self, device: RunningDevice) -> None:
        """`device` has a session."""
        self.counters.online += 1
        if device.ever_online:
            self.counters.reconnects += 1
        else:
            self.counters.connected += 1
        if self.counters.refused.pop(device.plan.name, None) is not None:
            self._reporter.info(f"The platform accepts {self._word(1)} {device.plan.name!r} again.")

    def refused(self, device: RunningDevice, error: MqttError) -> None:
        """The platform refuses `device`, or what it sends."""
        refused = self.counters.refused
        if device.plan.name not in refused:
            if len(refused) < _NAMED_REFUSALS:
                self._reporter.warning(error.message)
            elif len(refused) == _NAMED_REFUSALS:
                self._reporter.warning(f"Further {self._word(2)} are refused; the summary names them.")
        refused[device.plan.name] = error.message
        if not self.counters.connected and len(refused) == len(self._plans):
            self._fatal = self._all_refused(error)

    def interrupted(self, device: RunningDevice, cause: DisconnectCause) -> None:
        """The platform ends the sessions of `device` again and again; reported once for each device."""
        interrupted = self.counters.interrupted
        if device.plan.name in interrupted:
            return
        sentence = interrupted[device.plan.name] = explain(cause, device.plan.name)
        if len(interrupted) <= _NAMED_REFUSALS:
            self._reporter.warning(sentence)
        elif len(interrupted) == _NAMED_REFUSALS + 1:
            self._reporter.warning(f"The same happens to further {self._word(2)}; the summary names them.")

    def _all_refused(self, error: MqttError) -> MqttError:
        if len(self._plans) == 1:
            return error
        count = len(self._plans)
        return MqttError(
            f"The platform refused all {count} {self._word(count)}; the latest error: {error.message}",
            hint=error.hint,
            failure=failure_of(error),
        )

    def room(self) -> int:
        """How many further readings may be in flight; 0 or less: none."""
        counters = self.counters
        return self.flow.max_in_flight - counters.generated + counters.delivered + counters.lost

    def wait_for_room(self, device: RunningDevice) -> None:
        """Runs `device` when there is room again."""
        self._line.add(device)

    def delivered(self, readings: Sequence[Reading], outcome: Outcome) -> None:
        """These readings were delivered."""
        self.counters.deliver(readings, outcome, self.loop.now)
        self.flow.acknowledged(readings, self.loop.now)
        self._line.freed(len(readings))
        if self._on_reading is not None:
            for reading in readings:
                self._on_reading(reading)

    def lost(self, reading: Reading, reason: str) -> None:
        """A reading was lost, for `reason`."""
        self.counters.lose(reading, reason)
        self._line.freed(1)
        if self._on_reading is not None:
            self._on_reading(reading)
