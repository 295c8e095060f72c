"""The gateway sink: the tutorial's Analytics Gateway, one MQTT session that publishes for one virtual device an entity.

`v1/gateway/connect` once per entity and session makes the device with its type, `v1/gateway/telemetry` carries the
means of many entities in one message (docs/servers/1.x.md#gateway, docs/servers/4.x.md#gateway).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile
from typing import Final

from pacifictool.analytics.sinks.base import DeliveryCallback, Sink, by_entity
from pacifictool.analytics.sinks.gateway_messages import Message, Packer, connects
from pacifictool.analytics.sinks.stored import StoredResults
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import MqttError, PacificToolError, PlatformError
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.mqtt.pipeline import PipelinedSession
from pacifictool.scenario import MAX_NAME_LENGTH
from pacifictool.settings import MqttEndpoint, Secret

ACKNOWLEDGEMENT_SECONDS: Final = 15.0
"""A silence of this length with messages in flight is a failure. A busy 1.x server responds within two seconds."""
MESSAGES_IN_FLIGHT: Final = 4
"""Each holds some 600 entities: enough to keep a server busy while acknowledgements travel."""
CONNECTS_IN_FLIGHT: Final = 100
"""Each may create a device; a 4.3.1 server makes some 50 a second (docs/servers/4.x.md#devices-and-assets, row 11)."""

KEEPALIVE_SECONDS: Final = 10
"""A dead connection is noticed after at most twice this time, which is soon after the delivery's own timeout."""
STORED_SECONDS: Final = 10.0
"""When no acknowledged result has become readable for this long, the delivery fails."""
RESEND_SECONDS: Final = 60.0
"""A result that was acknowledged is sent again when it still cannot be read after this time. A busy server has stored
half a minute after its PUBACK; sending again would only make its queue longer."""

_Key = tuple[str, str, str, tuple[str, ...], int]
"""What tells results apart: entity and its kind, analytics, group and window end."""

_POLL_SECONDS: Final = 0.1
_FIRST_READ_PAUSE_SECONDS: Final = 0.05
_LONGEST_READ_PAUSE_SECONDS: Final = 0.8
_CLOSE_SECONDS: Final = 1.0
_NAMED: Final = 3


class GatewaySink(Sink):
    """Publishes `{entity: [{"ts": …, "values": {…}}], …}` through a gateway device; results of assets, too.

    A message that the platform does not acknowledge says nothing about which of its entities is to blame. Its entities
    become questionable: they come last, with one message in flight and ever fewer entities in it, until each is either
    acknowledged or alone. So an entity that the platform cannot take holds up others for some minutes at most.

    From 2.0 on a PUBACK says that a message is in the server's queue, which may be lost with the server. There a result
    is accepted when it can be read back. One that was acknowledged is not sent again while it may still be in the
    queue: as long as the session lasts, since a server that was restarted has ended it, and for up to `RESEND_SECONDS`.
    """

    name = "gateway"

    def __init__(
        self,
        endpoint: MqttEndpoint,
        token: Callable[[], Secret],
        *,
        device: str,
        entity_type: str,
        acks_per_device: bool | None,
        stored: StoredResults | None,
        acknowledgement_seconds: float = ACKNOWLEDGEMENT_SECONDS,
        stored_seconds: float = STORED_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
        keepalive_seconds: int = KEEPALIVE_SECONDS,
    ) -> None:
        """Connects with the first delivery.

        `token` looks up the access token of `device`, the gateway; it is called again when the platform refuses the
        last one. `entity_type` is the type of virtual devices that have to be made. `acks_per_device`: whether the
        server sends a PUBACK for each device in a message (1.x) or one for the message (4.3); None, not known: there
        is one device in each message. `stored` reads results back; None: what is acknowledged is stored (1.x).
        """
        self.target = gateway_target(endpoint, device)
        self._endpoint = endpoint
        self._look_up_token = token
        self._device = device
        self._entity_type = entity_type
        self._acks_per_device = acks_per_device
        self._stored = stored
        self._acknowledgement_seconds = acknowledgement_seconds
        self._stored_seconds = stored_seconds
        self._resend_seconds = resend_seconds
        self._keepalive_seconds = keepalive_seconds
        self._token: Secret | None = None
        self._session: PipelinedSession | None = None
        self._connected: set[str] = set()
        """Entities whose device is connected in this session."""
        self._questionable: dict[str, int] = {}
        """How many entities may share the next message with this one; in the order of their last failure."""
        self._queued: dict[_Key, tuple[Mapping[str, float], float]] = {}
        """Values, and monotonic seconds of the PUBACK, by `_key`: acknowledged in this session, not read
        back yet."""
        self._lock = threading.Lock()
        """Held by whoever uses the session: a delivery, or the thread that keeps it alive between deliveries."""
        self._closed = threading.Event()
        self._keep_alive: threading.Thread | None = None

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        entities: dict[str, list[WindowResult]] = {}
        for entity, batch in by_entity(results).items():
            reason = unfit_name(entity)
            if reason is None:
                entities[entity] = batch
            else:
                callback.refused(batch, reason)
        with self._lock:
            try:
                failure: PacificToolError | None = self._deliver(self._unqueued(entities), callback)
                if self._stored is not None:
                    unread = self._read_back(self._stored, entities, callback)
                    failure = failure or unread
            except BaseException:
                self._drop_session()
                raise
        if failure is not None:
            raise failure

    def close(self) -> None:
        self._closed.set()
        # A running delivery notices soon, and drops the session itself.
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            self._drop_session(politely=True)
            self._lock.release()
        if self._keep_alive is not None:
            self._keep_alive.join(_CLOSE_SECONDS)

    def _deliver(self, entities: Mapping[str, list[WindowResult]], callback: DeliveryCallback) -> MqttError | None:
        trusted = {entity: results for entity, results in entities.items() if entity not in self._questionable}
        failure = self._send(trusted, callback) if trusted else None
        for group in self._questionable_groups(entities):
            if failure is None:
                failure = self._send({entity: entities[entity] for entity in group}, callback, alone=True)
        return failure

    def _questionable_groups(self, entities: Iterable[str]) -> list[list[str]]:
        present = set(entities)
        groups: list[list[str]] = []
        for entity, limit in self._questionable.items():
            if entity in present:
                if groups and len(groups[-1]) < limit == self._questionable[groups[-1][0]]:
                    groups[-1].append(entity)
                else:
                    groups.append([entity])
        return groups

    def _send(
        self, entities: Mapping[str, list[WindowResult]], callback: DeliveryCallback, *, alone: bool = False
    ) -> MqttError | None:
        """Connects and publishes, `alone` with one message in flight. Returns the failure of single messages.

        Raises MqttError when there is no session or it ended, PacificToolError when the sink is closed.
        """
        session = self._open_session()
        new = connects([entity for entity in entities if entity not in self._connected], self._entity_type)
        failure = self._exchange(
            session,
            lambda: next(new, None),
            lambda message: self._connected.update(message.entities),
            at_once=1 if alone else CONNECTS_IN_FLIGHT,
        )
        connected = {entity: results for entity, results in entities.items() if entity in self._connected}
        unknown = self._acks_per_device is None
        packer = Packer(connected, entities_per_message=1 if unknown else None)
        at_once = CONNECTS_IN_FLIGHT if unknown else MESSAGES_IN_FLIGHT

        def accept(message: Message) -> None:
            if self._stored is None:
                callback.accepted(message.results)
            else:
                now = time.monotonic()
                self._queued |= {_key(result): (result.values, now) for result in message.results}
            for entity in message.entities:
                self._questionable.pop(entity, None)
            packer.confirmed(message)

        telemetry = self._exchange(session, packer.next, accept, at_once=1 if alone else at_once)
        return failure or telemetry

    def _exchange(
        self,
        session: PipelinedSession,
        next_message: Callable[[], Message | None],
        on_confirmed: Callable[[Message], None],
        *,
        at_once: int,
    ) -> MqttError | None:
        """Publishes until there is no next message and all are confirmed, with `at_once` in flight.

        Returns the failure when some were not acknowledged. Raises MqttError when the session ended, PacificToolError
        when the sink is closed.
        """
        in_flight: dict[int, Message] = {}
        began = time.monotonic()
        try:
            while True:
                while len(in_flight) < at_once and (message := next_message()) is not None:
                    acknowledgements = len(message.entities) if self._acks_per_device else 1
                    in_flight[session.publish(message.topic, message.payload, acknowledgements=acknowledgements)] = (
                        message
                    )
                if not in_flight:
                    return None
                for packet_id in session.poll(_POLL_SECONDS):
                    # Those that an earlier exchange gave up may still be confirmed.
                    if (message := in_flight.pop(packet_id, None)) is not None:
                        on_confirmed(message)
                if self._closed.is_set():
                    raise PacificToolError("The delivery was stopped.")
                if time.monotonic() - max(session.heard_at, began) > self._acknowledgement_seconds:
                    # The session stays: whether it is dead, the keep-alive finds out.
                    self._mark_questionable(in_flight.values())
                    return self._unconfirmed(in_flight.values())
        except MqttError:
            self._mark_questionable(in_flight.values())
            raise

    def _unqueued(self, entities: Mapping[str, list[WindowResult]]) -> dict[str, list[WindowResult]]:
        """What has to be sent: of each entity the first result that is not queued already, and those behind it."""
        since = time.monotonic() - self._resend_seconds

        def is_queued(result: WindowResult) -> bool:
            values, at = self._queued.get(_key(result), (None, 0.0))
            return values == result.values and at > since

        unqueued = {entity: list(dropwhile(is_queued, results)) for entity, results in entities.items()}
        return {entity: results for entity, results in unqueued.items() if results}

    def _read_back(
        self, stored: StoredResults, entities: Mapping[str, list[WindowResult]], callback: DeliveryCallback
    ) -> PacificToolError | None:
        """Accepts what was acknowledged as soon as it can be read. Returns the failure when some of it cannot.

        Raises MqttError when the session ended, PacificToolError when the sink is closed.
        """
        waiting = [result for results in entities.values() for result in results if _key(result) in self._queued]
        session = self._open_session() if waiting else None
        began, pause = time.monotonic(), _FIRST_READ_PAUSE_SECONDS
        while session is not None and waiting:
            try:
                found = _stored(stored, waiting)
            except PlatformError as error:
                # What is queued in this session is only read the next time, not sent.
                return error
            if found:
                callback.accepted(found)
                done = {_key(result) for result in found}
                waiting = [result for result in waiting if _key(result) not in done]
                for key in done:
                    self._queued.pop(key, None)
                began, pause = time.monotonic(), _FIRST_READ_PAUSE_SECONDS
            if not waiting:
                break
            if time.monotonic() - began > self._stored_seconds:
                return self._not_stored(waiting)
            self._wait(session, pause)
            pause = min(2 * pause, _LONGEST_READ_PAUSE_SECONDS)
        return None

    def _wait(self, session: PipelinedSession, seconds: float) -> None:
        """Keeps the session alive meanwhile. Raises MqttError when it ended, PacificToolError when we are closed."""
        until = time.monotonic() + seconds
        while True:
            session.poll(max(0.0, min(_POLL_SECONDS, until - time.monotonic())))
            if self._closed.is_set():
                raise PacificToolError("The delivery was stopped.")
            if time.monotonic() >= until:
                return

    def _not_stored(self, results: Iterable[WindowResult]) -> MqttError:
        entities = list(by_entity(results))
        # Somebody may have deleted the device: it is connected, and so made, once more.
        self._connected.difference_update(entities)
        return MqttError(
            f"The platform acknowledged what gateway {self._device!r} sent for {_named(entities)}, but does not show "
            f"it {self._stored_seconds:g} s later.",
            hint="A queue that is long takes its time. If it lasts, look at the rule chain of these devices' profile: "
            'it must save what "Post telemetry" brings, with the values as they were sent.',
            failure=Failure.UNCONFIRMED,
            device=self._device,
        )

    def _mark_questionable(self, messages: Iterable[Message]) -> None:
        for message in messages:
            for entity in message.entities:
                # To the end, behind entities that have waited longer.
                self._questionable.pop(entity, None)
                self._questionable[entity] = max(1, len(message.entities) // 2)

    def _unconfirmed(self, messages: Iterable[Message]) -> MqttError:
        entities = [entity for message in messages for entity in message.entities]
        return MqttError(
            f"The platform did not acknowledge what gateway {self._device!r} sent for {_named(entities)} "
            f"within {self._acknowledgement_seconds:g} s.",
            hint="It says nothing when it cannot make a device of that name, when a rule fails, or when the gateway "
            "was not a gateway at its last CONNECT.",
            failure=Failure.UNCONFIRMED,
            device=self._device,
        )

    def _open_session(self) -> PipelinedSession:
        if self._closed.is_set():
            raise PacificToolError("The delivery was stopped.")
        if self._session is not None:
            return self._session
        if self._token is None:
            self._token = self._look_up_token()
        try:
            session = PipelinedSession(
                self._endpoint, self._token, device=self._device, keepalive_seconds=self._keepalive_seconds
            )
        except MqttError as error:
            if failure_of(error) is Failure.TOKEN_REFUSED:
                # The device may have got another token, or have been created again.
                self._token = None
            raise
        self._session = session
        if self._keep_alive is None:
            self._keep_alive = threading.Thread(target=self._keep_session_alive, name="gateway-keep-alive", daemon=True)
            self._keep_alive.start()
        return session

    def _drop_session(self, *, politely: bool = False) -> None:
        self._connected.clear()
        # The server may have been restarted, and its queue be lost.
        self._queued.clear()
        if self._session is not None:
            self._session.close(politely=politely)
            self._session = None

    def _keep_session_alive(self) -> None:
        """Keeps the session between deliveries, and notices its end, so that the next delivery opens another."""
        while not self._closed.wait(self._keepalive_seconds / 6):
            # While a delivery has the lock, it does the same.
            if self._lock.acquire(blocking=False):
                try:
                    if self._session is not None:
                        self._session.poll(0)
                except MqttError:
                    self._drop_session()
                finally:
                    self._lock.release()


def _key(result: WindowResult) -> _Key:
    return result.entity, result.entity_kind, result.analytics, result.group, result.window_end_ms


def _stored(stored: StoredResults, results: Sequence[WindowResult]) -> list[WindowResult]:
    """Those that can be read back. Of several that write one key at one time, as functions of two groups may, the last
    one's value is what there is to read."""
    written: dict[tuple[str, int], dict[str, float]] = {}
    for result in results:
        written.setdefault((result.entity, result.ts_ms), {}).update(result.values)
    last = {
        _key(result): replace(result, values={key: written[result.entity, result.ts_ms][key] for key in result.values})
        for result in results
    }
    found = {_key(result) for result in stored.among(list(last.values()))}
    return [result for result in results if _key(result) in found]


def _named(entities: Sequence[str]) -> str:
    named = ", ".join(repr(entity) for entity in entities[:_NAMED])
    return f"{named} and {len(entities) - _NAMED} more" if len(entities) > _NAMED else named


def gateway_target(endpoint: MqttEndpoint, device: str) -> str:
    """Where the results go: "gateway mqtt://localhost:1883 as Analytics Gateway"."""
    return f"gateway {endpoint} as {device}"


def unfit_name(entity: str) -> str | None:
    """Why no device can be called like this entity; None when one can."""
    if not entity:
        return "a device without a name is impossible"
    if len(entity) > MAX_NAME_LENGTH:
        return f"names of devices have at most {MAX_NAME_LENGTH} characters, this one has {len(entity)}"
    try:
        entity.encode()
    except UnicodeEncodeError:
        # A surrogate: the platform would replace it, and two entities would share a device.
        return "the name is not valid Unicode"
    return None
