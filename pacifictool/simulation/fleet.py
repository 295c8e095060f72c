"""A fleet of simulated devices: one event loop for all of them, one MQTT connection and one token each."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pacifictool.errors import MqttError, UsageError
from pacifictool.mqtt import TELEMETRY_TOPIC
from pacifictool.mqtt.connection import Failure, failure_of, tls_context
from pacifictool.mqtt.packets import PublishEncoder
from pacifictool.reporting import SILENT, ProgressTask, Reporter
from pacifictool.settings import MqttEndpoint
from pacifictool.simulation.device import Device, State
from pacifictool.simulation.limits import ensure_descriptors, ensure_ports
from pacifictool.simulation.link import Connector, Link
from pacifictool.simulation.loop import EventLoop
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.reading import Outcome, Reading
from pacifictool.simulation.summary import Counters, FleetSummary, milliseconds
from pacifictool.simulation.suspicion import Suspicion, explain

STOP_PATIENCE_SECONDS: Final = 1.5
"""How long open acknowledgements are awaited after a stop."""

_START_ATTEMPTS: Final = 3
"""So many connections refused before the first success: the platform is not there."""
_PROGRESS_SECONDS: Final = 0.25
_RATE_SECONDS: Final = 2.0
_BAR_FOR_CONNECTING: Final = 50
_NAMED_REFUSALS: Final = 5


class _Display:
    """What a person sees of a run: a bar for the readings, and above it one for the connections until all stand."""

    def __init__(self, readings: ProgressTask, connecting: ProgressTask | None, ramp: contextlib.ExitStack) -> None:
        self.readings = readings
        self._connecting = connecting
        self._ramp = ramp
        self._marks: deque[tuple[float, int]] = deque(maxlen=round(_RATE_SECONDS / _PROGRESS_SECONDS) + 1)

    def rate(self, delivered: int) -> float:
        """Readings per second delivered of late."""
        now = time.monotonic()
        self._marks.append((now, delivered))
        began, before = self._marks[0]
        return (delivered - before) / (now - began) if now > began else 0.0

    def show_connected(self, connected: int, *, of: int) -> None:
        if self._connecting is not None:
            self._connecting.update(completed=connected)
            if connected == of:
                self._connecting = None
                self._ramp.close()


class Fleet:
    """Plays devices against the platform until each has taken its readings, or until it is told to stop.

    `on_reading` gets every reading once its way has ended (acknowledged, sent or lost), in the thread of `run`; it
    must be quick, and what it raises ends the run. `snapshot` may be called from any thread.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        devices: Sequence[SimulatedDevice],
        options: FleetOptions | None = None,
        reporter: Reporter = SILENT,
        on_reading: Callable[[Reading], None] | None = None,
    ) -> None:
        """Raises UsageError when there is no device, or two have one name."""
        if not devices:
            raise UsageError("There is no device to simulate.")
        if len({device.name for device in devices}) < len(devices):
            raise UsageError("Two devices to simulate have the same name.")
        self.endpoint = endpoint
        self.options = options or FleetOptions()
        self.counters = Counters()
        self.encoder = PublishEncoder(TELEMETRY_TOPIC, self.options.qos)
        self.seed = secrets.randbelow(2**31) if self.options.seed is None else self.options.seed
        self._plans = devices
        self._reporter = reporter
        self._on_reading = on_reading
        self._devices: list[Device] = []
        self._waiting: dict[Device, None] = {}
        """Devices with readings due, in the order in which they get their turn when there is room."""
        self._failed_starts = 0
        self._fatal: MqttError | None = None
        self._outage = False
        self._started = time.monotonic()
        self._ended: float | None = None

    def run(self, stop: threading.Event | None = None) -> FleetSummary:
        """Runs until all devices have ended; after `stop` is set that takes at most 1.5 s.

        Blocks; everything but the opening of connections happens in the calling thread. A fleet runs once. Raises
        MqttError when the platform cannot be reached at the start, or refuses every device; once a device has had a
        session, outages are waited out and refusals are for the summary.
        """
        if self.endpoint.tls:
            tls_context(self.endpoint)  # files of no use are found before anything is started
        ensure_descriptors(len(self._plans))
        ensure_ports(len(self._plans))
        self._started = time.monotonic()
        self.loop = EventLoop()
        self._connector = Connector(
            self.endpoint,
            self._post_result,
            connect_timeout_seconds=self.options.connect_timeout_seconds,
            keepalive_seconds=self.options.keepalive_seconds,
        )
        try:
            interval = 1 / self.options.ramp_per_second if self.options.ramp_per_second else 0.0
            self._devices = [
                Device(plan, self, connect_at=self._started + index * interval, seed=self.seed)
                for index, plan in enumerate(self._plans)
            ]
            with self._progress() as display:
                self._play(stop or threading.Event(), display)
        except Exception:
            self._on_reading = None  # it may be what failed, and must not keep the connections from being closed
            raise
        finally:
            for device in self._devices:
                device.end("the run was interrupted")
            self._ended = time.monotonic()
            self._connector.close()
            self.loop.close()
        if self._fatal is not None:
            raise self._fatal
        return self.snapshot()

    def snapshot(self) -> FleetSummary:
        """The numbers of this moment."""
        counters = self.counters
        confirmed = self.options.qos > 0
        generated, delivered, lost = counters.generated, counters.delivered, counters.lost
        now = time.monotonic()
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
            target_rate=sum(plan.rate for plan in self._plans),
            achieved_rate=sum(device.achieved_rate(now) for device in self._devices),
            lag_p50_ms=milliseconds(counters.lag.percentile(50)),
            lag_p99_ms=milliseconds(counters.lag.percentile(99)),
            acknowledgement_p50_ms=milliseconds(counters.confirmation.percentile(50)),
            acknowledgement_p99_ms=milliseconds(counters.confirmation.percentile(99)),
            reconnects=counters.reconnects,
            refused=dict(counters.refused),
            interrupted=dict(counters.interrupted),
            losses=tuple(counters.losses),
            seconds=(self._ended or now) - self._started,
            seed=self.seed,
            qos=self.options.qos,
        )

    # The run

    def _play(self, stop: threading.Event, display: _Display) -> None:
        stopping = False
        next_look = 0.0
        while self._fatal is None:
            self.loop.run_once()
            now = self.loop.now
            if stop.is_set() and not stopping:
                stopping = True
                for device in self._devices:
                    device.stop(now, STOP_PATIENCE_SECONDS)
            if now >= next_look or stopping:
                next_look = now + _PROGRESS_SECONDS
                self._let_in(self.room())  # a device that was to use the room may have lost its connection
                self._show(display)
                if self._all_over():
                    return

    def _all_over(self) -> bool:
        waiting = [device for device in self._devices if device.state is not State.ENDED]
        if self.options.count is not None and all(device.is_refused for device in waiting):
            # They may be accepted one day, but nobody else is left to wait for.
            for device in waiting:
                device.end("the platform refuses the device")
            return True
        return not waiting

    @contextlib.contextmanager
    def _progress(self) -> Iterator[_Display]:
        limits = [device.limit for device in self._devices]
        total = sum(limit for limit in limits if limit is not None) if None not in limits else None
        count = len(limits)
        with contextlib.ExitStack() as ramp, contextlib.ExitStack() as run:
            # Below that, connecting is over before a bar could be read.
            connecting = (
                ramp.enter_context(self._reporter.task(f"Connecting {count} devices", total=count, unit="devices"))
                if count >= _BAR_FOR_CONNECTING
                else None
            )
            title = f"Simulating {count} device" + ("s" if count > 1 else "")
            readings = run.enter_context(self._reporter.task(title, total=total, unit="readings"))
            yield _Display(readings, connecting, ramp)

    def _show(self, display: _Display) -> None:
        counters = self.counters
        note = f"{counters.online} online, {display.rate(counters.delivered):.0f}/s, {counters.lost} lost"
        if counters.refused:
            note += f", {len(counters.refused)} refused"
        display.readings.update(completed=counters.delivered + counters.lost, note=note)
        display.show_connected(counters.connected, of=len(self._plans))
        # Of devices whose sessions end again and again that has been said once; it would be said every other second.
        away = sum(device.is_away and device.plan.name not in counters.interrupted for device in self._devices)
        if away and not self._outage:
            self._reporter.warning(f"{away} of {len(self._devices)} devices lost {self.endpoint}; reconnecting.")
        elif self._outage and not away:
            self._reporter.info("All devices are connected again.")
        self._outage = away > 0

    # What devices tell

    def connect(self, device: Device) -> None:
        """Has a connection opened for `device`."""
        self._connector.open(device, device.plan.token)

    def _post_result(self, device: Device, result: Link | MqttError) -> None:
        """Called in a connector's thread."""
        if isinstance(result, Link):
            self.loop.post(lambda: device.connected(result, self.loop.now))
        else:
            self.loop.post(lambda: device.connect_failed(result, self.loop.now))

    def connect_failed(self, device: Device, error: MqttError) -> None:
        """There is no session. Ends the run when this is how it begins."""
        self._reporter.detail(f"{device.plan.name}: {error.message}")
        if self.counters.connected or self.counters.refused:
            return
        # A server that is just starting refuses connections for a moment; all else will not pass by itself.
        passing = isinstance(error.__cause__, ConnectionRefusedError) or failure_of(error) is Failure.CLOSED
        self._failed_starts += 1 if passing else _START_ATTEMPTS
        if self._failed_starts >= _START_ATTEMPTS:
            self._fatal = error

    def accepted(self, device: Device) -> None:
        """`device` has a session."""
        self.counters.online += 1
        if device.ever_online:
            self.counters.reconnects += 1
        else:
            self.counters.connected += 1
        if self.counters.refused.pop(device.plan.name, None) is not None:
            self._reporter.info(f"The platform accepts device {device.plan.name!r} again.")

    def refused(self, device: Device, error: MqttError) -> None:
        """The platform refuses `device`, or what it sends."""
        refused = self.counters.refused
        if device.plan.name not in refused:
            if len(refused) < _NAMED_REFUSALS:
                self._reporter.warning(error.message)
            elif len(refused) == _NAMED_REFUSALS:
                self._reporter.warning("Further devices are refused; the summary names them.")
        refused[device.plan.name] = error.message
        if not self.counters.connected and len(refused) == len(self._plans):
            self._fatal = self._all_refused(error)

    def interrupted(self, device: Device, suspicion: Suspicion) -> None:
        """The platform ends the sessions of `device` again and again; told once a device."""
        interrupted = self.counters.interrupted
        if device.plan.name in interrupted:
            return
        sentence = interrupted[device.plan.name] = explain(suspicion, device.plan.name)
        if len(interrupted) <= _NAMED_REFUSALS:
            self._reporter.warning(sentence)
        elif len(interrupted) == _NAMED_REFUSALS + 1:
            self._reporter.warning("So it goes with further devices; the summary names them.")

    def _all_refused(self, error: MqttError) -> MqttError:
        if len(self._plans) == 1:
            return error
        return MqttError(
            f"The platform refused all {len(self._plans)} devices; the last answer: {error.message}",
            hint=error.hint,
            failure=failure_of(error),
        )

    def room(self) -> int:
        """How many further readings may be on their way; 0 or less: none."""
        counters = self.counters
        return self.options.max_in_flight_of_fleet - counters.generated + counters.delivered + counters.lost

    def wait_for_room(self, device: Device) -> None:
        """Has `device` served when there is room again."""
        self._waiting[device] = None

    def _let_in(self, most: int) -> None:
        while self._waiting and most > 0:
            device = next(iter(self._waiting))
            del self._waiting[device]
            self.loop.soon(device)
            most -= 1

    def delivered(self, readings: Sequence[Reading], outcome: Outcome) -> None:
        """The way of these readings has ended well."""
        self.counters.deliver(readings, outcome, self.loop.now)
        if self._waiting:
            self._let_in(len(readings))
        if self._on_reading is not None:
            for reading in readings:
                self._on_reading(reading)

    def lost(self, reading: Reading, reason: str) -> None:
        """The way of a reading has ended badly."""
        self.counters.lose(reading, reason)
        if self._waiting:
            self._let_in(1)
        if self._on_reading is not None:
            self._on_reading(reading)
