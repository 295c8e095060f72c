"""Sends one marked reading and follows it: over MQTT, into the platform, Kafka and the job, to the asset."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from pacifictool.diagnosis.causes import Cause, cause_of
from pacifictool.diagnosis.devices import refused_token
from pacifictool.diagnosis.faults import SETUP, Fault
from pacifictool.diagnosis.hops import LAST_HOP, TITLES, Hop, HopStatus, Stopped, TraceResult
from pacifictool.diagnosis.job_hops import Arrival, JobHops
from pacifictool.diagnosis.marker import Marker, Sending, StorageWatcher, TopicWatcher, marked_value, send
from pacifictool.diagnosis.reasons import Surveyor
from pacifictool.errors import Interrupted, PacificToolError, UsageError
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.rest import Device, ForwardingSpec, Platform
from pacifictool.scenario import Scenario, Turbine
from pacifictool.settings import Secret, Settings
from pacifictool.tools.times import utc_clock

_POLL_SECONDS = 0.02
_FIRST_SURVEY_SECONDS = 1.0
"""A healthy reading is in Kafka after some hundredths of a second; after this long it is worth asking why not."""
_KAFKA_SECONDS = 5.0
_STAMP_TRIES = 20
_SETTLE_SECONDS = 0.3
"""How long a second copy of the record is waited for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds each hop may take before it counts as the one where the way ends."""

    connect: float = 6.0
    acknowledge: float = 2.0
    """A missing acknowledgement is no end yet: the reading may well be stored."""
    store: float = 5.0
    forward: float = 8.0
    """From storing to Kafka; a first message may take a second (docs/servers/1.x.md#forwarding-to-kafka, row 4)."""
    deliver: float = 20.0
    """After the end of the window."""


class Trace:
    """One reading of one device on its way. `run` may be called once."""

    def __init__(
        self,
        settings: Settings,
        scenario: Scenario,
        spec: ForwardingSpec,
        turbine: Turbine,
        *,
        job_folders: Sequence[Path],
        until: str = "asset",
        timeout_seconds: float | None = None,
        patience: Patience = Patience(),
        stop: threading.Event | None = None,
        on_hop: Callable[[str], None] = lambda _title: None,
    ) -> None:
        """`job_folders`: checkpoints in which the job may be, the likeliest first. `timeout_seconds`: for everything
        after the reading was sent; None: a window and a minute. `on_hop` hears the title of each hop as it begins.
        """
        self._settings = settings
        self._scenario = scenario
        self._spec = spec
        self._turbine = turbine
        self._job_folders = job_folders
        self._names = list(TITLES)[: list(TITLES).index(LAST_HOP[until]) + 1]
        self._timeout = scenario.aggregation.window + 60.0 if timeout_seconds is None else timeout_seconds
        self._patience = patience
        self._stop = stop or threading.Event()
        self._on_hop = on_hop
        self._result = TraceResult(device=turbine.name)
        self._sent_at = 0.0
        # Known after `ready`:
        self._platform: Platform
        self._device: Device
        self._token: Secret
        self._topic: TopicInfo
        self._ends: dict[int, int] = {}
        self._marker: Marker
        self._surveyor: Surveyor
        # Known as the reading travels:
        self._sending = Sending()
        self._watcher: TopicWatcher | None = None
        self._storage: StorageWatcher | None = None
        self._arrival: Arrival | None = None
        self._why: list[Fault] = []
        self._job: JobHops | None = None

    def run(self) -> TraceResult:
        """Follows the reading as far as it gets. Raises Interrupted, and UsageError for settings of no use."""
        began = monotonic()
        self._platform = Platform.connect(self._settings, stop=self._stop)
        steps: dict[str, Callable[[], tuple[float | None, str]]] = {
            "ready": self._ready,
            "accepted": self._accepted,
            "stored": self._stored,
            "matched": self._matched,
            "kafka": self._in_kafka,
            "counted": self._counted,
            "posted": self._posted,
            "readable": self._readable,
        }
        try:
            for name in self._names:
                self._on_hop(TITLES[name])
                if not self._walk(name, steps[name]):
                    break
        finally:
            for part in (self._watcher, self._storage, self._job, self._platform):
                if part is not None:
                    part.close()
        self._conclude()
        self._result.seconds = monotonic() - began
        return self._result

    def _walk(self, name: str, step: Callable[[], tuple[float | None, str]]) -> bool:
        """One hop; False when the way ends here."""
        result = self._result
        try:
            seconds, detail = step()
        except Stopped as stopped:
            self._end(name, stopped)
        except UsageError:
            raise
        except PacificToolError as error:
            cause = cause_of(error)
            if cause == Cause.TOKEN_REFUSED:
                # REST has just given that token.
                refused = refused_token(self._settings.mqtt, self._settings.url, self._device.name)
                self._end(name, Stopped(cause, *refused))
            else:
                self._end(name, Stopped(cause, error.message, error.hint))
        else:
            result.hops.append(Hop(name, HopStatus.OK, seconds, detail))
            return True
        return False

    def _end(self, name: str, stopped: Stopped) -> None:
        result = self._result
        result.hops.append(Hop(name, HopStatus.FAILED, self._since_sent(), stopped.sentence))
        rest = self._names[len(result.hops) :]
        result.hops += [Hop(later, HopStatus.SKIPPED) for later in rest]
        result.cause, result.mend, result.also = stopped.cause, stopped.mend, stopped.also

    def _conclude(self) -> None:
        """What only shows later: a late acknowledgement, a second copy in Kafka."""
        if self._watcher is not None and (copies := len(self._watcher.found)) > 1:
            self._result.notes.append(
                f"The reading is {copies} times in Kafka and counts {copies} times: more than one rule or way forwards"
                " it. pacifictool doctor says which."
            )

    # --- on the platform -----------------------------------------------------------------------------------------

    def _ready(self) -> tuple[float | None, str]:
        platform, name = self._platform, self._turbine.name
        generation = platform.generation()
        device = platform.devices.find(name)
        if device is None:
            told = f"The platform has no device {name!r}; names are case-sensitive."
            raise Stopped(Cause.DEVICE_MISSING, told, SETUP)
        self._device, self._token = device, platform.devices.token(device.id)
        self._marker = self._new_marker()
        self._result.value, self._result.ts_ms = self._marker.value, self._marker.ts_ms
        if "kafka" in self._names:
            self._note_topic()
        self._surveyor = Surveyor(
            platform=platform,
            settings=self._settings,
            scenario=self._scenario,
            spec=self._spec,
            turbine=self._turbine,
            device=device,
            sent_ms=platform.session.server_time_ms(),
        )
        where = f", topic {self._topic.name}" if self._ends else ""
        return None, f"platform {self._settings.url} ({generation}), device {name!r}{where}"

    def _new_marker(self) -> Marker:
        """At a time at which the device has no value, and gets none: simulators only go forward."""
        rules = self._scenario.aggregation
        ts_ms = round(time.time() * 1000) - 1000
        for _ in range(_STAMP_TRIES):
            if not self._platform.telemetry.range(self._device, rules.value_key, ts_ms, ts_ms + 1):
                break
            ts_ms -= 1
        return Marker(marked_value(self._turbine, rules), ts_ms, rules.value_key)

    def _note_topic(self) -> None:
        admin = KafkaAdmin(self._settings.kafka, timeout_seconds=_KAFKA_SECONDS)
        admin.check_reachable()
        wanted = self._scenario.kafka.topic
        topic = admin.describe(wanted)
        if topic is None:
            raise Stopped(Cause.TOPIC_MISSING, f"There is no topic {wanted} at {self._settings.kafka}.", SETUP)
        self._topic, self._ends = topic, admin.offsets(wanted)

    def _accepted(self) -> tuple[float | None, str]:
        if self._ends:
            self._watcher = TopicWatcher(self._settings.kafka, self._topic.name, self._ends, self._marker)
        patience = self._patience
        # The session stays open until the end of the forwarding: its acknowledgement may come last of all.
        total = patience.connect + patience.store + patience.forward
        name = self._device.name
        sending = self._sending = send(
            self._settings.mqtt, self._token, name, self._marker.payload(), timeout_seconds=total
        )
        self._wait(sending.connected.is_set, patience.connect)
        if sending.failure is not None:
            raise sending.failure
        if sending.connected_at is None:
            raise Stopped(
                Cause.MQTT_SILENT,
                f"{self._settings.mqtt} took the connection but did not answer the login in {patience.connect:g} s.",
                "Is this a device port of the platform? If it is, the platform may be overloaded or stuck.",
            )
        self._sent_at = sending.connected_at
        self._storage = StorageWatcher(self._platform, self._device, self._marker)
        self._wait(lambda: sending.acknowledged_at is not None or sending.failure is not None, patience.acknowledge)
        if sending.failure is not None:
            raise sending.failure
        if sending.acknowledged_at is None:
            return (
                self._since_sent(),
                f"the login, yes; no acknowledgement of the reading in {patience.acknowledge:g} s",
            )
        detail = f"{self._marker.value:.6f} acknowledged"
        if self._platform.generation() == "1.x" and self._watcher is not None:
            detail += ", after all rules had done their work"
        return sending.acknowledged_at - self._sent_at, detail

    def _stored(self) -> tuple[float | None, str]:
        marker, storage = self._marker, self._storage
        assert storage is not None
        self._wait(
            lambda: storage.seen_at is not None or storage.failure is not None, self._at_most(self._patience.store)
        )
        if storage.failure is not None:
            raise storage.failure
        if storage.seen_at is not None:
            stamp = utc_clock(marker.ts_ms)
            return storage.seen_at - self._sent_at, f"{marker.key} {marker.value:.6f} at {stamp} UTC"
        if self._sending.acknowledged_at is None:
            raise Stopped(
                Cause.PLATFORM_STUCK,
                "The platform lets the device in, but neither acknowledges nor stores its reading: its processing of"
                " messages has stopped.",
                "Restart the platform. On 1.x, more than three rules deleted within a minute lead to this.",
            )
        if (profile := self._surveyor.about_the_profile()) is not None:
            raise Stopped.by([profile])
        raise Stopped(
            Cause.NOT_STORED,
            f"{self._settings.mqtt} acknowledged the reading, but {self._settings.url} does not store it.",
            "On 1.x, the system's telemetry rule must be active; later, the root rule chain must lead Post telemetry to"
            " a node Save Timeseries. It may also be late: trace again.",
        )

    # --- to Kafka ------------------------------------------------------------------------------------------------

    def _matched(self) -> tuple[float | None, str]:
        """Nobody tells that a rule has matched: its record in Kafka does, or what is found out when there is none."""
        self._why = self._reasons_without_record()
        if not self._why:
            return None, "as its record in Kafka shows"
        if self._why[0].after_match:
            return None, "rule and attributes are as they must be"
        raise self._stopped_by_reasons()

    def _in_kafka(self) -> tuple[float | None, str]:
        if self._arrival is None:
            raise self._stopped_by_reasons()
        record = self._arrival.record
        time_of_it = "no time stamp" if record.timestamp_ms is None else f"stamped {utc_clock(record.timestamp_ms)} UTC"
        # A twin of the rule writes its copy right behind.
        self._wait(lambda: False, _SETTLE_SECONDS)
        zone = self._arrival.zone(self._scenario.aggregation.zone_key)
        if zone is not None and zone != self._turbine.zone:
            strays = [fault for fault in self._surveyor.about_attributes() if fault.cause is Cause.ZONE_DIFFERS]
            if strays:
                raise Stopped.by(strays)
        detail = f"{self._topic.name} partition {record.partition} offset {record.offset}, {time_of_it}"
        return self._arrival.seen_at - self._sent_at, detail

    def _reasons_without_record(self) -> list[Fault]:
        """Waits for the record; empty when it came. Asks for reasons early, and once more when patience is over."""
        watcher = self._watcher
        assert watcher is not None
        if not self._wait(lambda: bool(watcher.found), _FIRST_SURVEY_SECONDS):
            reasons = self._surveyor.reasons()
            hopeless = bool(reasons) and reasons[0].certain
            if not self._wait(lambda: bool(watcher.found), 0 if hopeless else self._at_most(self._patience.forward)):
                if not hopeless:
                    reasons = self._surveyor.reasons()
                return reasons or [self._unexplained(watcher)]
        record, seen_at = watcher.found[0]
        self._arrival = Arrival(record, seen_at)
        return []

    def _unexplained(self, watcher: TopicWatcher) -> Fault:
        if watcher.failure is not None:
            return Fault(
                Cause.KAFKA_UNREADABLE,
                "kafka",
                f"Topic {self._topic.name} cannot be read: {watcher.failure}.",
                "Check --kafka and the security settings given with -X: pacifictool doctor",
                after_match=True,
            )
        if self._sending.acknowledged_at is None:
            return Fault(
                Cause.NOT_ACKNOWLEDGED,
                "kafka",
                "The reading is stored, but neither acknowledged nor in Kafka. Rule, plugin and attributes look right:"
                " the platform cannot write to Kafka, or the rule fails on this message.",
                "Check that the platform reaches Kafka at the plugin's bootstrapServers, and look at its log.",
                after_match=True,
            )
        return self._surveyor.filtered() or Fault(
            Cause.NOT_FORWARDED,
            "kafka",
            "The reading is stored and acknowledged, but not in Kafka, and nothing looks wrong from here.",
            "Switch on the debug mode of the rule chain's nodes in the web UI, trace again, and look at their events.",
        )

    def _stopped_by_reasons(self) -> Stopped:
        unacknowledged = self._sending.acknowledged_at is None and self._why[0].cause is not Cause.NOT_ACKNOWLEDGED
        more = " The platform has not acknowledged the reading, either." if unacknowledged else ""
        return Stopped.by(self._why, more=more)

    # --- through the job -----------------------------------------------------------------------------------------

    def _counted(self) -> tuple[float | None, str]:
        self._job = JobHops(
            self._platform,
            self._settings,
            self._scenario,
            self._job_folders,
            topic_id=self._topic.topic_id,
            pause=self._pause,
            deadline=self._sent_at + self._timeout,
            delivery_patience=self._patience.deliver,
        )
        detail = self._job.counted(self._the_arrival())
        return self._since_sent(), detail

    def _posted(self) -> tuple[float | None, str]:
        assert self._job is not None
        detail = self._job.posted(self._the_arrival())
        return self._since_sent(), detail

    def _readable(self) -> tuple[float | None, str]:
        assert self._job is not None
        detail, notes = self._job.readable()
        self._result.notes += notes
        return self._since_sent(), detail

    # --- small things --------------------------------------------------------------------------------------------

    def _the_arrival(self) -> Arrival:
        assert self._arrival is not None
        return self._arrival

    def _since_sent(self) -> float | None:
        return monotonic() - self._sent_at if self._sent_at else None

    def _at_most(self, seconds: float) -> float:
        """`seconds`, unless the time for everything is over before."""
        return max(0.0, min(seconds, self._sent_at + self._timeout - monotonic()))

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Interrupted

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether `condition` came true within `seconds`."""
        until = monotonic() + seconds
        while not condition():
            if monotonic() >= until:
                return False
            self._pause(_POLL_SECONDS)
        return True
