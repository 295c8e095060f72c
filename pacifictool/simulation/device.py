"""One simulated device: takes readings by its schedule and delivers them, whatever happens to its connection.

The states of a device: offline → connecting (a thread opens the connection) → login (CONNACK awaited) → online, and
back to offline whenever the connection ends, until all readings are taken and have an outcome.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from pacifictool.errors import MqttError
from pacifictool.models.generators import device_key, uniform_bits
from pacifictool.mqtt.connection import CLOSED_BY_PLATFORM, closed, closed_before_login, no_response, refused
from pacifictool.simulation.connection import DeviceConnection
from pacifictool.simulation.device_fleet import DeviceFleet, DeviceState
from pacifictool.simulation.disconnects import SessionHistory
from pacifictool.simulation.disturbances import Disturbances, Injection
from pacifictool.simulation.flow_control import DeviceFlowControl
from pacifictool.simulation.outbox import Outbox
from pacifictool.simulation.payload import payload_writer
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.reading import Outcome, Reading, ReadingSource
from pacifictool.tools.backoff import Backoff

LATE_SECONDS: Final = 1.0
"""How long after its duration a device may still take readings that were due before the end of it."""

_BURST: Final = 128
"""Readings that one device sends before the others get their turn."""
_MAX_JITTER_SECONDS: Final = 10.0
_RECONNECT: Final = Backoff(0.25, 15.0, jitter=0.5)
"""Jitter, so that the devices of a fleet do not reconnect at the same moment."""
_TICKS_PER_KEEPALIVE: Final = 4


class RunningDevice:
    """The state of one device in a running fleet. All methods must be called in the event loop's thread."""

    __slots__ = (
        "_blocked", "_close_at", "_connection", "_deadline", "_delivered", "_disturbances", "_drain_until", "_ended_at",
        "_failures", "_fleet", "_flow", "_history", "_last_delivery", "_next_tick", "_offline_since", "_outbox",
        "_phase", "_retry_at", "_schedule", "_source", "_writer", "ever_online", "is_refused", "is_waiting", "missed",
        "plan", "state", "wake_at",
    )  # fmt: skip

    def __init__(
        self, plan: SimulatedDevice, fleet: DeviceFleet[RunningDevice], *, connect_at: float, seed: int
    ) -> None:
        options = fleet.options
        self.plan = plan
        self.state = DeviceState.OFFLINE
        self.wake_at = math.inf
        self.ever_online = self.is_waiting = False
        self.is_refused = False
        """Whether the platform refused the latest attempt."""
        self.missed = 0
        """Readings that were due but not taken."""
        self._fleet = fleet
        self._connection: DeviceConnection | None = None
        seconds = math.inf if options.duration_seconds is None else options.duration_seconds
        self._close_at = connect_at + seconds + LATE_SECONDS
        self._schedule = plan.schedule(options)
        fraction = uniform_bits(device_key(seed, plan.name, "jitter"), 0) / 2**64
        has_jitter = options.jitter and self._schedule.times_ms is None
        self._phase = min(1 / self.rate, _MAX_JITTER_SECONDS) * fraction if has_jitter else 0.0
        self._writer = payload_writer(
            plan.name, plan.telemetry.keys(), plan.payload, bare=options.bare, sequence=options.sequence
        )
        is_disturbed = plan.anomalies or plan.dropouts
        self._disturbances = Disturbances(plan.name, plan.anomalies, plan.dropouts) if is_disturbed else None
        self._source = ReadingSource(plan.name, self._schedule, plan.generators(seed), self._writer, self._disturbances)
        self._outbox = Outbox()
        self._flow = DeviceFlowControl(fleet.flow)
        self._drain_until: float | None = None  # set with the last reading: how long acknowledgements are awaited
        self._retry_at = self._offline_since = connect_at
        self._failures = 0  # attempts in a row that led to no delivery
        self._history = SessionHistory(qos=options.qos, period_seconds=1 / self.rate)
        self._deadline = self._next_tick = math.inf
        self._delivered, self._last_delivery = 0, 0.0
        self._ended_at: float | None = None
        self._blocked = False
        fleet.loop.call_at(self, connect_at)

    def achieved_rate(self, now: float) -> float:
        """Readings delivered per second, from the first one to the end of the period of the last, or longer where the
        schedule or a delivery goes beyond."""
        seconds = self._schedule.seconds_until(self._last_delivery, now if self._ended_at is None else self._ended_at)
        return self._delivered / seconds if seconds else 0.0

    @property
    def rate(self) -> float:
        """Readings per second by the schedule."""
        return self._schedule.rate

    @property
    def limit(self) -> int | None:
        """How many readings are to be taken; None: no limit."""
        return self._schedule.limit

    @property
    def withheld(self) -> int:
        """Readings that were due and had no value to send."""
        return self._source.withheld

    @property
    def injections(self) -> Sequence[Injection]:
        """The drop-outs and anomalies so far."""
        return () if self._disturbances is None else self._disturbances.injections

    @property
    def is_away(self) -> bool:
        """Whether it had a session and is to reconnect."""
        has_no_session = self.state not in (DeviceState.ONLINE, DeviceState.ENDED)
        return self.ever_online and not self.is_refused and has_no_session

    @property
    def is_draining(self) -> bool:
        """Whether all readings are taken."""
        return self._drain_until is not None

    def is_held_back(self, now: float) -> bool:
        """Whether readings are due that must wait for acknowledgements."""
        return self._blocked and self.state is DeviceState.ONLINE and self._schedule.due <= now < self._close_at

    def run(self, now: float) -> None:
        """Does what is due. Called by the event loop when a timer of the device has expired, and after events."""
        if self.state is DeviceState.ENDED:
            return
        if self._outbox:
            self._expire_readings(now)
        if self.state is DeviceState.ONLINE:
            self._run_session(now)
        self._end_if_over(now)
        if self.state is DeviceState.OFFLINE and now >= self._retry_at:
            self.state = DeviceState.CONNECTING
            self._fleet.connect(self)
        elif self.state is DeviceState.LOGIN and now >= self._deadline:
            self._close_connection()
            self.connect_failed(no_response(self._fleet.endpoint), now)
        self._set_timer(now)

    def stop(self, now: float, timeout_seconds: float) -> None:
        """Takes no further readings, and waits up to `timeout_seconds` for missing acknowledgements."""
        if self.state is DeviceState.ENDED:
            return
        if self.state is DeviceState.ONLINE and not self.is_draining:
            self._send(now)
        if not self.is_draining:
            self._schedule.limit = self._schedule.due_by(now)
        self._drain_until = now + timeout_seconds
        self._fleet.loop.call_soon(self)

    def change_rate(self, rate: float, now: float) -> None:
        """Takes `rate` readings per second from now on; those that are due and were not taken are missed."""
        if self.state is not DeviceState.ENDED and not self.is_draining:
            self._phase *= min(1 / rate, _MAX_JITTER_SECONDS) / min(1 / self.rate, _MAX_JITTER_SECONDS)
            self._schedule.change_rate(rate, now, self._phase)
            self._fleet.loop.call_soon(self)

    def end(self, reason: str, *, politely: bool = True) -> None:
        """Ends the device; readings without an acknowledgement are lost, for `reason`."""
        if self.state is DeviceState.ENDED:
            return
        for reading in self._outbox.take_all():
            self._fleet.lost(reading, reason)
        if self.state is DeviceState.ONLINE:
            self._fleet.counters.online -= 1
        self._close_connection(politely=politely)
        self.state = DeviceState.ENDED
        self._fleet.counters.ended += 1
        self._ended_at = self._fleet.loop.now
        self.missed = self._schedule.missed(self._fleet.loop.now)

    # Readings

    def _run_session(self, now: float) -> None:
        if now >= self._next_tick and self._connection is not None:
            self._next_tick = now + self._fleet.options.keepalive_seconds / _TICKS_PER_KEEPALIVE
            self._connection.tick(now, self._fleet.options.keepalive_seconds)
        if self._outbox.is_exhausted:
            self._close_connection(politely=True)
            self._go_offline(now, "the platform left thousands of messages unacknowledged")
        if self.state is DeviceState.ONLINE:  # the tick may have found the connection dead
            self._send(now)

    def _send(self, now: float) -> None:
        """Sends the readings to send again, then those that are due, as far as the in-flight limits allow."""
        connection = self._connection
        outbox, fleet, schedule = self._outbox, self._fleet, self._schedule
        resend_room, room = self._flow.room(self._max_in_flight(), outbox.in_flight)
        if connection is None or room <= 0:
            self._blocked = True
            return
        readings: list[Reading] = []
        resends, held_back = 0, False
        if outbox.waiting:
            wanted = min(resend_room, outbox.waiting, _BURST)
            readings = outbox.take_resends(fleet.flow.take_resends(wanted))
            resends = len(readings)
            fleet.counters.resent += resends
            held_back = resends < wanted
        if (due := schedule.due) <= now < self._close_at and resends < room and self._drain_until is None:
            if now - due > fleet.options.give_up_after_seconds:
                schedule.skip_before(now - fleet.options.give_up_after_seconds)
            fleet_room = fleet.room()
            limit = min(room, _BURST, fleet_room + resends) - resends
            taken = self._source.take(now, limit, fleet.loop.clock_offset, fleet.counters.lag.record)
            fleet.counters.generated += len(taken)
            readings += taken
            held_back = held_back or (len(taken) >= fleet_room and schedule.due <= now)
        if readings:
            if fleet.options.qos and not (outbox or resends):
                # All before was acknowledged: the session was alive, and needs no tick between two readings.
                self._next_tick = now + fleet.options.keepalive_seconds / 2
            self._flow.sent(now, resends, len(readings) - resends)
            self._history.last_publish = now
            encode = fleet.encoder.encode
            packets = []
            for reading in readings:
                reading.last_sent = now
                packet_id = outbox.next_id()
                outbox.sent(packet_id, reading)
                packets.append(encode(packet_id, reading.payload))
            connection.send(packets)
        self._blocked = held_back or len(readings) == room
        if held_back:
            fleet.wait_for_room(self)
        if len(readings) == _BURST and not self._blocked:
            fleet.loop.call_soon(self)

    def _max_in_flight(self) -> int:
        # After sessions that ended right after a message, one message at a time, so that a poison message can be
        # identified. Messages without a timestamp collide on the platform when two arrive in one millisecond; one of
        # them is then never acknowledged.
        options = self._fleet.options
        is_single = self._history.ends_after_message or (options.qos and not self._writer.has_time)
        return 1 if is_single else options.max_in_flight

    def _expire_readings(self, now: float) -> None:
        """Queues readings to be sent again whose acknowledgement is overdue, and gives up those that are too old."""
        options = self._fleet.options
        if options.qos:
            last_sent = self._outbox.resend_overdue(now - self._flow.timeout_seconds)
            if last_sent is not None:
                self._flow.timed_out(now, last_sent)
        for reading in self._outbox.take_older(now - options.give_up_after_seconds):
            self._fleet.lost(reading, f"not acknowledged within {options.give_up_after_seconds:g} s")

    def _end_if_over(self, now: float) -> None:
        options = self._fleet.options
        if self._drain_until is None and (self._schedule.exhausted or now >= self._close_at):
            self._drain_until = now + self._fleet.flow.timeout_seconds
        if self._drain_until is not None:
            if not self._outbox:
                self.end("")
            elif now >= self._drain_until:
                self.end("not acknowledged before the end of the run")
        elif (
            options.count is not None
            and self.state is DeviceState.OFFLINE
            and now - self._offline_since >= options.give_up_after_seconds
        ):
            self.end(f"offline for {options.give_up_after_seconds:g} s")

    def _set_timer(self, now: float) -> None:
        """Sets the timer for whatever is due next."""
        if self.state is DeviceState.ENDED:
            return
        when = self._close_at if self._drain_until is None else self._drain_until
        if self.state is DeviceState.OFFLINE:
            when = min(when, self._retry_at)
        elif self.state is DeviceState.LOGIN:
            when = min(when, self._deadline)
        elif self.state is DeviceState.ONLINE:
            oldest = self._outbox.oldest_transmission
            overdue = when if oldest is None or not self._fleet.options.qos else oldest + self._flow.timeout_seconds
            due = when if self._blocked or self._drain_until is not None else self._schedule.due
            when = min(when, self._next_tick, overdue, due)
        self._fleet.loop.call_at(self, max(when, now))

    # Events of the connection (ConnectionListener)

    def on_connack(self, connack: int) -> None:
        now = self._fleet.loop.now
        if connack == 0:
            self._go_online(now)
        elif connack == 3:
            self.connect_failed(refused(self._fleet.endpoint, connack, self.plan.name), now)
        else:
            self.is_refused = True
            self._fleet.refused(self, refused(self._fleet.endpoint, connack, self.plan.name))
            self._retry_later(now, at_least=self._fleet.options.refused_retry_seconds)
        self._fleet.loop.call_soon(self)

    def on_pubacks(self, packet_ids: Sequence[int]) -> None:
        readings = self._outbox.acknowledged(packet_ids)
        if readings:
            self._failures = 0
            if self._flow.recover():
                self._fleet.loop.call_soon(self)
            self._on_delivered(readings, Outcome.ACKNOWLEDGED)

    def on_written(self, count: int) -> None:
        if not self._fleet.options.qos:
            self._on_delivered(self._outbox.written(count), Outcome.SENT)

    def on_closed(self, reason: str) -> None:
        now = self._fleet.loop.now
        state = self.state
        if self._connection is not None:
            self._fleet.loop.remove(self._connection)
            self._connection = None
        if state is DeviceState.LOGIN:
            self.connect_failed(closed_before_login(self._fleet.endpoint, self.plan.name, reason), now)
        elif state is DeviceState.ONLINE:
            self._go_offline(now, reason)
        self._fleet.loop.call_soon(self)

    def _on_delivered(self, readings: Sequence[Reading], outcome: Outcome) -> None:
        self._history.delivered(len(readings))
        self._delivered += len(readings)
        self._last_delivery = self._fleet.loop.now
        self._fleet.delivered(readings, outcome)
        # A device that waits for room of the fleet is run when it is its turn.
        if (self._blocked and not self.is_waiting) or (self.is_draining and not self._outbox):
            self._fleet.loop.call_soon(self)

    # Connection

    def connected(self, connection: DeviceConnection, now: float) -> None:
        """The connection is open and CONNECT is on its way."""
        if self.state is not DeviceState.CONNECTING:
            connection.close(politely=False)
            return
        self._connection = connection
        self.state = DeviceState.LOGIN
        self._deadline = now + self._fleet.options.connect_timeout_seconds
        self._fleet.loop.add(connection)
        connection.attach(self, self._fleet.loop.flush_soon)
        self._set_timer(now)

    def connect_failed(self, error: MqttError, now: float) -> None:
        """There is no session, for a reason that may be temporary."""
        if self.state is DeviceState.ENDED:
            return
        self._fleet.connect_failed(self, error)
        self._retry_later(now)
        self._set_timer(now)

    def _go_online(self, now: float) -> None:
        options = self._fleet.options
        self.state = DeviceState.ONLINE
        self._history.begin(now)
        self._flow.recover()
        self._next_tick = now + options.keepalive_seconds / _TICKS_PER_KEEPALIVE
        self._blocked = False
        if self._schedule.start is None:
            self._schedule.start = now + self._phase
            seconds = math.inf if options.duration_seconds is None else options.duration_seconds
            self._close_at = self._schedule.start + seconds + LATE_SECONDS
        elif now - self._offline_since > options.give_up_after_seconds:
            self._schedule.skip_before(now - options.give_up_after_seconds)
        self._fleet.accepted(self)
        self.ever_online = True
        self.is_refused = False

    def _go_offline(self, now: float, reason: str) -> None:
        options = self._fleet.options
        self._fleet.counters.online -= 1
        cause = self._history.end(now, by_platform=reason == CLOSED_BY_PLATFORM, in_flight=self._outbox.in_flight)
        if cause is not None:
            self._fleet.interrupted(self, cause)
        self._offline_since = now
        for reading in self._outbox.connection_lost(resend=options.qos > 0):
            self._fleet.lost(reading, f"{reason} before it was sent")
        if not self._history.is_poisoned():
            self._retry_later(now)
            return
        reason += f" right after a message, {self._history.ends_after_message} times in a row"
        error = closed(self._fleet.endpoint, self.plan.name, f"{reason}; it seems to refuse the payload")
        self.is_refused = True
        self._fleet.refused(self, error)
        self.state = DeviceState.OFFLINE
        self.end(error.message)

    def _retry_later(self, now: float, at_least: float = 0.0) -> None:
        # A QoS 0 session counts as a success once it has lasted, a QoS 1 session at its first acknowledgement.
        if not self._fleet.options.qos and self._history.has_lasted(now):
            self._failures = 0
        self.state = DeviceState.OFFLINE
        self._failures += 1
        self._retry_at = now + _RECONNECT.seconds(self._failures, at_least=at_least)

    def _close_connection(self, *, politely: bool = False) -> None:
        if self._connection is not None:
            self._fleet.loop.remove(self._connection)
            self._connection.close(politely=politely)
            self._connection = None
