"""One simulated device: takes readings by its schedule and brings them to the platform through bad times.

The life of a device: offline → connecting (a thread opens the connection) → login (CONNACK awaited) → online, and back
to offline whenever the connection ends, until all readings are taken and accounted for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from pacifictool.errors import MqttError
from pacifictool.models.generators import device_key, uniform_bits, wind_generator
from pacifictool.mqtt.connection import CLOSED_BY_PLATFORM, closed, closed_before_login, no_answer, refused
from pacifictool.simulation.link import Link
from pacifictool.simulation.outbox import Outbox
from pacifictool.simulation.owner import Owner
from pacifictool.simulation.payload import PayloadWriter, StampSequence
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.reading import Outcome, Reading
from pacifictool.simulation.schedule import Schedule, readings_within
from pacifictool.simulation.suspicion import SessionHistory

LAST_CALL_SECONDS: Final = 1.0
"""How long after its duration a device may still take readings that were due before its end."""

_BURST: Final = 128
"""Readings that one device sends before the others get their turn."""
_LONGEST_JITTER_SECONDS: Final = 10.0
_FIRST_BACK_OFF_SECONDS: Final = 0.25
_LONGEST_BACK_OFF_SECONDS: Final = 15.0
_TICKS_PER_KEEPALIVE: Final = 4


class State(Enum):
    """Where a device is in its life."""

    OFFLINE = auto()
    CONNECTING = auto()
    LOGIN = auto()
    ONLINE = auto()
    ENDED = auto()


class Device:
    """The state of one device in a running fleet."""

    __slots__ = (
        "_attempts", "_blocked", "_close_at", "_deadline", "_delivered", "_drain_until", "_ended_at", "_fleet",
        "_history", "_last_delivery", "_link", "_next_tick", "_offline_since", "_outbox", "_phase", "_retry_at",
        "_schedule", "_stamps", "_wind", "_writer", "ever_online", "is_refused", "missed", "plan", "state", "wake_at",
    )  # fmt: skip

    def __init__(self, plan: SimulatedDevice, fleet: Owner, *, connect_at: float, seed: int) -> None:
        options = fleet.options
        self.plan = plan
        self.state = State.OFFLINE
        self.wake_at = math.inf
        self.ever_online = False
        self.is_refused = False
        """Whether the last answer of the platform was a no."""
        self.missed = 0
        """Readings that were due but not taken."""
        self._fleet = fleet
        self._link: Link | None = None
        limits = [] if options.count is None else [options.count]
        self._close_at = math.inf
        if options.duration_seconds is not None:
            limits.append(readings_within(options.duration_seconds, plan.rate))
            self._close_at = connect_at + options.duration_seconds + LAST_CALL_SECONDS
        self._schedule = Schedule(plan.rate, min(limits, default=None))
        fraction = uniform_bits(device_key(seed, plan.name, "jitter"), 0) / 2**64
        self._phase = min(1 / plan.rate, _LONGEST_JITTER_SECONDS) * fraction if options.jitter else 0.0
        self._wind = wind_generator(plan.wind, seed=seed, device=plan.name)
        self._stamps = StampSequence()
        self._writer = PayloadWriter(plan.value_key, bare=options.bare, sequence=options.sequence)
        self._outbox = Outbox()
        self._drain_until: float | None = None  # from the last reading on: how long acknowledgements are awaited
        self._retry_at = connect_at
        self._attempts = 0
        self._history = SessionHistory(qos=options.qos, period_seconds=1 / plan.rate)
        self._deadline = math.inf
        self._next_tick = math.inf
        self._offline_since = connect_at
        self._delivered = 0
        self._last_delivery = 0.0
        self._ended_at: float | None = None
        self._blocked = False
        fleet.loop.wake(self, connect_at)

    @property
    def unconfirmed(self) -> int:
        """Readings that are taken but neither delivered nor lost."""
        return len(self._outbox)

    @property
    def limit(self) -> int | None:
        """Readings in all; None without an end."""
        return self._schedule.limit

    def achieved_rate(self, now: float) -> float:
        """Readings delivered per second, from the first one to the end of the period of the last, or longer where the
        schedule or a delivery goes beyond."""
        schedule = self._schedule
        if schedule.start is None:
            return 0.0
        until = max(self._last_delivery, schedule.start + schedule.number / schedule.rate)
        if not schedule.exhausted:
            planned_end = math.inf if schedule.limit is None else schedule.start + schedule.limit / schedule.rate
            until = max(until, min(now if self._ended_at is None else self._ended_at, planned_end))
        return self._delivered / (until - schedule.start) if until > schedule.start else 0.0

    @property
    def is_away(self) -> bool:
        """Whether it had a session, and is to get it back."""
        return self.ever_online and not self.is_refused and self.state not in (State.ONLINE, State.ENDED)

    @property
    def is_draining(self) -> bool:
        """Whether all readings are taken."""
        return self._drain_until is not None

    def service(self, now: float) -> None:
        """Does what is due. Called by the event loop at the time given to `wake`, and after events."""
        if self.state is State.ENDED:
            return
        self._outbox_by_time(now)
        if self.state is State.ONLINE:
            self._serve_session(now)
        self._end_if_over(now)
        if self.state is State.OFFLINE and now >= self._retry_at:
            self.state = State.CONNECTING
            self._fleet.connect(self)
        elif self.state is State.LOGIN and now >= self._deadline:
            self._drop_link()
            self.connect_failed(no_answer(self._fleet.endpoint), now)
        self._set_alarm(now)

    def stop(self, now: float, patience_seconds: float) -> None:
        """Takes no further readings, and waits at most `patience_seconds` for open acknowledgements."""
        if self.state is State.ENDED:
            return
        if self.state is State.ONLINE and not self.is_draining:
            self._send(now)
        if not self.is_draining:
            self._schedule.limit = self._schedule.due_by(now)
        self._drain_until = now + patience_seconds
        self._fleet.loop.soon(self)

    def end(self, reason: str, *, politely: bool = True) -> None:
        """Ends the device; readings without an acknowledgement are lost, for `reason`."""
        if self.state is State.ENDED:
            return
        for reading in self._outbox.take_all():
            self._fleet.lost(reading, reason)
        if self.state is State.ONLINE:
            self._fleet.counters.online -= 1
        self._drop_link(politely=politely)
        self.state = State.ENDED
        self._ended_at = self._fleet.loop.now
        due = self._schedule.limit if self._schedule.limit is not None else self._schedule.due_by(self._fleet.loop.now)
        self.missed = max(0, due - self._schedule.number) + self._schedule.skipped

    # Readings

    def _serve_session(self, now: float) -> None:
        if now >= self._next_tick and self._link is not None:
            self._next_tick = now + self._fleet.options.keepalive_seconds / _TICKS_PER_KEEPALIVE
            self._link.tick(now, self._fleet.options.keepalive_seconds)
        if self._outbox.spent:
            self._drop_link(politely=True)
            self._go_offline(now, "the platform left thousands of messages unacknowledged")
        if self.state is State.ONLINE:  # the tick may have found the connection dead
            self._send(now)

    def _send(self, now: float) -> None:
        """Sends what is to be repeated, then what is due, as far as the window of unconfirmed readings allows."""
        link = self._link
        outbox = self._outbox
        room = self._window() - outbox.in_flight
        if link is None or room <= 0:
            self._blocked = True
            return
        readings = self._take_again(min(room, _BURST))
        held_back = False
        if len(readings) < room and not self.is_draining and now < self._close_at:
            free = min(room, _BURST) - len(readings)
            self._take(now, min(free, self._fleet.room()), readings)
            held_back = self._schedule.due <= now and self._fleet.room() <= 0
        if readings:
            self._history.last_publish = now
            encode = self._fleet.encoder.encode
            packets = []
            for reading in readings:
                reading.last_sent = now
                packet_id = outbox.next_id()
                outbox.sent(packet_id, reading)
                packets.append(encode(packet_id, reading.payload))
            link.send(packets)
        self._blocked = held_back or len(readings) == room
        if held_back:
            self._fleet.wait_for_room(self)
        if len(readings) == _BURST and not self._blocked:
            self._fleet.loop.soon(self)

    def _take_again(self, most: int) -> list[Reading]:
        """Readings that are to be sent again, at most so many."""
        readings: list[Reading] = []
        while len(readings) < most and (reading := self._outbox.next_again()) is not None:
            reading.resent += 1
            self._fleet.counters.resent += 1
            readings.append(reading)
        return readings

    def _window(self) -> int:
        options = self._fleet.options
        # After a suspicious end the next message goes alone, so that the guilty one is known. Messages without a time
        # stamp collide on the platform when two arrive in one millisecond; one of them is then never acknowledged.
        return 1 if self._history.strikes or (options.bare and options.qos) else options.max_in_flight

    def _take(self, now: float, most: int, readings: list[Reading]) -> None:
        """Appends the readings that are due, at most so many. This and what it calls is what the speed depends on."""
        schedule = self._schedule
        rate = schedule.rate
        name = self.plan.name
        offset = self._fleet.loop.clock_offset
        next_stamp, write, wind = self._stamps.next, self._writer.write, self._wind.value
        lag = self._fleet.counters.lag.record
        taken = 0
        while taken < most and (due := schedule.due) <= now:
            number = schedule.take()
            # Measured when it was due, not when it is sent: the series on the platform shows no bunch after an outage.
            ts_ms = next_stamp(int((due + offset) * 1000))
            value = wind(number, number / rate)
            readings.append(Reading(name, number, ts_ms, value, write(ts_ms, value, number), now))
            lag(now - due)
            taken += 1
        self._fleet.counters.generated += taken

    def _outbox_by_time(self, now: float) -> None:
        """Marks readings for repetition whose acknowledgement is overdue, and gives up those that are too old."""
        options = self._fleet.options
        if options.qos:
            self._outbox.repeat_overdue(now - options.ack_timeout_seconds)
        for reading in self._outbox.take_older(now - options.give_up_after_seconds):
            self._fleet.lost(reading, f"not acknowledged within {options.give_up_after_seconds:g} s")

    def _end_if_over(self, now: float) -> None:
        options = self._fleet.options
        if not self.is_draining and (self._schedule.exhausted or now >= self._close_at):
            self._drain_until = now + options.ack_timeout_seconds
        if self._drain_until is not None:
            if not self._outbox:
                self.end("")
            elif now >= self._drain_until:
                self.end("not acknowledged before the end of the run")
        elif (
            options.count is not None
            and self.state is State.OFFLINE
            and now - self._offline_since >= options.give_up_after_seconds
        ):
            self.end(f"offline for {options.give_up_after_seconds:g} s")

    def _set_alarm(self, now: float) -> None:
        """Asks to be called when the next thing is due."""
        if self.state is State.ENDED:
            return
        when = self._close_at if self._drain_until is None else self._drain_until
        if self.state is State.OFFLINE:
            when = min(when, self._retry_at)
        elif self.state is State.LOGIN:
            when = min(when, self._deadline)
        elif self.state is State.ONLINE:
            when = min(when, self._next_tick)
            oldest = self._outbox.oldest_transmission
            if oldest is not None and self._fleet.options.qos:
                when = min(when, oldest + self._fleet.options.ack_timeout_seconds)
            if not self._blocked and not self.is_draining:
                when = min(when, self._schedule.due)
        self._fleet.loop.wake(self, max(when, now))

    # What the link tells (LinkOwner)

    def link_answered(self, connack: int) -> None:
        now = self._fleet.loop.now
        if connack == 0:
            self._go_online(now)
        elif connack == 3:
            self.connect_failed(refused(self._fleet.endpoint, connack, self.plan.name), now)
        else:
            self.is_refused = True
            self._fleet.refused(self, refused(self._fleet.endpoint, connack, self.plan.name))
            self._retry_later(now, at_least=self._fleet.options.refused_retry_seconds)
        self._fleet.loop.soon(self)

    def link_acknowledged(self, packet_ids: Sequence[int]) -> None:
        readings = self._outbox.acknowledged(packet_ids)
        if readings:
            self._attempts = 0
            self._delivered_now(readings, Outcome.ACKNOWLEDGED)

    def link_written(self, count: int) -> None:
        if not self._fleet.options.qos:
            self._delivered_now(self._outbox.written(count), Outcome.SENT)

    def _delivered_now(self, readings: Sequence[Reading], outcome: Outcome) -> None:
        self._history.delivered(len(readings))
        self._delivered += len(readings)
        self._last_delivery = self._fleet.loop.now
        self._fleet.delivered(readings, outcome)
        if self._blocked or self.is_draining:
            self._fleet.loop.soon(self)

    def link_closed(self, reason: str) -> None:
        now = self._fleet.loop.now
        was = self.state
        if self._link is not None:
            self._fleet.loop.remove(self._link)
            self._link = None
        if was is State.LOGIN:
            self.connect_failed(closed_before_login(self._fleet.endpoint, self.plan.name, reason), now)
        elif was is State.ONLINE:
            self._go_offline(now, reason)
        self._fleet.loop.soon(self)

    # Connection

    def connected(self, link: Link, now: float) -> None:
        """The connection stands and CONNECT is on its way."""
        if self.state is not State.CONNECTING:
            link.close(politely=False)
            return
        self._link = link
        self.state = State.LOGIN
        self._deadline = now + self._fleet.options.connect_timeout_seconds
        self._fleet.loop.add(link)
        link.adopt(self, self._fleet.loop.wants_flush)
        self._set_alarm(now)

    def connect_failed(self, error: MqttError, now: float) -> None:
        """There is no session, for a reason that may pass."""
        if self.state is State.ENDED:
            return
        self._fleet.connect_failed(self, error)
        self._retry_later(now)
        self._set_alarm(now)

    def _go_online(self, now: float) -> None:
        options = self._fleet.options
        self.state = State.ONLINE
        self._history.begin(now)
        self._next_tick = now + self._fleet.options.keepalive_seconds / _TICKS_PER_KEEPALIVE
        self._blocked = False
        if self._schedule.start is None:
            self._schedule.start = now + self._phase
            if options.duration_seconds is not None:
                self._close_at = self._schedule.start + options.duration_seconds + LAST_CALL_SECONDS
        elif now - self._offline_since > options.give_up_after_seconds:
            self._schedule.skip_before(now - options.give_up_after_seconds)
        self._fleet.accepted(self)
        self.ever_online = True
        self.is_refused = False

    def _go_offline(self, now: float, reason: str) -> None:
        options = self._fleet.options
        self._fleet.counters.online -= 1
        suspicion = self._history.end(now, by_platform=reason == CLOSED_BY_PLATFORM, in_flight=self._outbox.in_flight)
        if suspicion is not None:
            self._fleet.interrupted(self, suspicion)
        self._offline_since = now
        for reading in self._outbox.connection_lost(repeat=options.qos > 0):
            self._fleet.lost(reading, f"{reason} before it was sent")
        if not self._history.is_poisoned():
            self._retry_later(now)
            return
        error = closed(
            self._fleet.endpoint,
            self.plan.name,
            f"{reason} right after a message, {self._history.strikes} times in a row; it seems to refuse the payload",
        )
        self.is_refused = True
        self._fleet.refused(self, error)
        self.state = State.OFFLINE
        self.end(error.message)

    def _retry_later(self, now: float, at_least: float = 0.0) -> None:
        # A QoS 0 session proves itself by lasting, a QoS 1 session by its first acknowledgement.
        if not self._fleet.options.qos and self._history.has_lasted(now):
            self._attempts = 0
        self.state = State.OFFLINE
        delay = min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * 2 ** min(self._attempts, 10))
        self._attempts += 1
        # Spread, so that a fleet does not come back in one moment.
        self._retry_at = now + max(delay, at_least) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _drop_link(self, *, politely: bool = False) -> None:
        if self._link is not None:
            self._fleet.loop.remove(self._link)
            self._link.close(politely=politely)
            self._link = None
