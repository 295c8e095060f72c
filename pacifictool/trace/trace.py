"""Sends the probe and follows it: over MQTT, through the platform, Kafka and the job, to the results."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from time import monotonic

from pacifictool.errors import Interrupted, PacificToolError, UsageError
from pacifictool.kafka.records import Record
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.problems import SETUP, Problem, ProblemCode, code_of, refused_token
from pacifictool.rest import Device, ForwardingSpec, Platform
from pacifictool.scenario import DeviceSpec, Scenario
from pacifictool.settings import Secret, Settings
from pacifictool.tools.times import utc_clock
from pacifictool.trace.hops import LAST_HOP, TITLES, HopStatus, TraceHop, TraceResult, TraceStopped, hop_title
from pacifictool.trace.job import JobHops
from pacifictool.trace.probe import Probe, ProbeConsumer, Sending, poll_storage, probe_value, send
from pacifictool.trace.reasons import ReasonFinder
from pacifictool.trace.windows import Arrival, result_words, taking

_POLL_SECONDS = 0.02
_EARLY_SECONDS = 1.0
"""A probe usually reaches Kafka within some hundredths of a second; after this long, reasons are searched for."""
_KAFKA_SECONDS = 5.0
_TIMESTAMP_TRIES = 20
_SETTLE_SECONDS = 0.3
"""How long to wait for a second copy of the record."""
_LONGEST_EXTENSION_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class HopTimeouts:
    """How many seconds each hop may take before the trace stops there."""

    connect: float = 6.0
    acknowledge: float = 2.0
    """A missing acknowledgement does not stop the trace: the reading may be stored nevertheless."""
    store: float = 5.0
    forward: float = 8.0
    """From storing to Kafka; a first message may take a second (docs/servers/1.x.md#forwarding-to-kafka, row 4)."""
    deliver: float = 20.0
    """After the end of the window."""

    def of_slow_server(self, seconds: float) -> HopTimeouts:
        """For a platform that took `seconds` to respond to the look-ups before: each hop may take as much longer."""
        more = min(seconds, _LONGEST_EXTENSION_SECONDS)
        return HopTimeouts(*(getattr(self, each.name) + more for each in fields(self)))


@dataclass(kw_only=True)
class Trace:
    """One probe of one device. `run` may be called once."""

    settings: Settings
    scenario: Scenario
    spec: ForwardingSpec
    device: DeviceSpec
    """As in the scenario."""
    key: str
    """The key of telemetry that the probe has."""
    job_folders: Sequence[Path]
    """Possible checkpoints of the job, the most likely first."""
    until: str = "result"
    timeout_seconds: float | None = None
    """For everything after sending; None: until the first window ends, and a minute."""
    timeouts: HopTimeouts = HopTimeouts()
    stop: threading.Event = field(default_factory=threading.Event)
    on_hop: Callable[[str], None] = lambda _title: None
    """Called with the title of each hop as it begins."""

    def __post_init__(self) -> None:
        self._names = list(TITLES)[: list(TITLES).index(LAST_HOP[self.until]) + 1]
        self._words = result_words(self.scenario, self.key)
        shortest = min((each.slide_ms for each in taking(self.scenario.analytics, self.key)), default=0) / 1000
        self._timeout = shortest + 60.0 if self.timeout_seconds is None else self.timeout_seconds
        self._result = TraceResult(device=self.device.name, key=self.key)
        self._opened = ExitStack()
        self._sent_at = 0.0
        # Set by `ready`:
        self._platform: Platform
        self._entity: Device
        self._token: Secret
        self._topic: TopicInfo
        self._ends: dict[int, int] = {}
        self._probe: Probe
        self._finder: ReasonFinder
        # Set as the probe passes the hops:
        self._sending = Sending()
        self._storage: Future[float]
        self._consumer: ProbeConsumer
        self._copies: list[tuple[Record, float]] = []
        self._arrival: Arrival | None = None
        self._reasons: list[Problem] = []
        self._job: JobHops

    def run(self) -> TraceResult:
        """Follows the probe as far as it gets. Raises Interrupted, and UsageError for unusable settings."""
        if self._names[-1] == "readable" and not taking(self.scenario.analytics, self.key):
            raise UsageError(
                f"No analytics of the scenario computes anything of {self.key!r}.",
                hint="Trace it with --until kafka, or another key with --key.",
            )
        began = monotonic()
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
        with self._opened:
            self._platform = Platform.connect(self.settings, stop=self.stop)
            self._opened.callback(self._platform.close)
            for name in self._names:
                self.on_hop(hop_title(name, self._words))
                if not self._passes(name, steps[name]):
                    break
        if (copies := len(self._copies)) > 1:
            self._result.notes.append(
                f"The reading is {copies} times in Kafka and counts {copies} times: more than one rule or rule chain"
                " forwards it. pacifictool doctor shows which."
            )
        self._result.seconds = monotonic() - began
        return self._result

    def _passes(self, name: str, step: Callable[[], tuple[float | None, str]]) -> bool:
        """Records the outcome of one hop; False when the trace stops here."""
        try:
            seconds, detail = step()
        except TraceStopped as stopped:
            self._end(name, stopped)
        except UsageError:
            raise
        except PacificToolError as error:
            code, text, fix = code_of(error), error.message, error.hint
            if code == ProblemCode.TOKEN_REFUSED:
                text, fix = refused_token(self.settings.mqtt, self.settings.url, self._entity.name)
            self._end(name, TraceStopped(code, text, fix))
        else:
            self._result.hops.append(TraceHop(name, HopStatus.OK, seconds, detail, self._words))
            return True
        return False

    def _end(self, name: str, stopped: TraceStopped) -> None:
        result = self._result
        result.hops.append(TraceHop(name, HopStatus.FAILED, self._since_sent(), stopped.text, self._words))
        later_names = self._names[len(result.hops) :]
        result.hops += [TraceHop(later, HopStatus.SKIPPED, result=self._words) for later in later_names]
        result.code, result.fix, result.also = stopped.code, stopped.fix, stopped.also

    # --- on the platform -----------------------------------------------------------------------------------------

    def _ready(self) -> tuple[float | None, str]:
        platform, name = self._platform, self.device.name
        generation = platform.generation()
        began = monotonic()
        device = platform.devices.find(name)
        if device is None:
            text = f"The platform has no device {name!r}; names are case-sensitive."
            raise TraceStopped(ProblemCode.DEVICE_MISSING, text, SETUP)
        self._entity, self._token = device, platform.devices.token(device.id)
        self._probe = self._new_probe()
        self.timeouts = self.timeouts.of_slow_server(monotonic() - began)
        self._result.value, self._result.ts_ms = self._probe.value, self._probe.ts_ms
        text = f"platform {self.settings.url} ({generation}), device {name!r}"
        if "kafka" in self._names:
            self._topic, self._ends = self._find_topic()
            text += f", topic {self._topic.name}"
        self._finder = ReasonFinder(
            platform=platform,
            settings=self.settings,
            scenario=self.scenario,
            spec=self.spec,
            described=self.device,
            device=device,
            sent_ms=platform.session.server_time_ms(),
        )
        return None, text

    def _new_probe(self) -> Probe:
        """With a time at which the device has no value, and gets none: simulators only go forward."""
        ts_ms = round(time.time() * 1000) - 1000
        for _ in range(_TIMESTAMP_TRIES):
            if not self._platform.telemetry.range(self._entity, self.key, ts_ms, ts_ms + 1):
                break
            ts_ms -= 1
        value = probe_value(self.device, self.key, self.scenario.forwarding.bounds(self.key))
        return Probe(value, ts_ms, self.key)

    def _find_topic(self) -> tuple[TopicInfo, dict[int, int]]:
        """The topic, and the present end of each partition."""
        admin = KafkaAdmin(self.settings.kafka, timeout_seconds=_KAFKA_SECONDS)
        admin.check_reachable()
        wanted = self.scenario.forwarding.topic
        topic = admin.describe(wanted)
        if topic is None:
            text = f"Topic {wanted} does not exist at {self.settings.kafka}."
            raise TraceStopped(ProblemCode.TOPIC_MISSING, text, SETUP)
        return topic, admin.offsets(wanted)

    def _accepted(self) -> tuple[float | None, str]:
        if self._ends:
            self._consumer = ProbeConsumer(self.settings.kafka, self._topic.name, self._ends, self._probe)
            self._opened.callback(self._consumer.close)
            self._copies = self._consumer.found
        timeouts, mqtt = self.timeouts, self.settings.mqtt
        # The session stays open until the end of the forwarding: the acknowledgement may come after everything else.
        total = timeouts.connect + timeouts.store + timeouts.forward
        sending = send(mqtt, self._token, self._entity.name, self._probe.payload(), timeout_seconds=total)
        self._sending = sending
        self._wait(sending.connected.is_set, timeouts.connect)
        if sending.failure is not None:
            raise sending.failure
        if sending.connected_at is None:
            raise TraceStopped(
                ProblemCode.MQTT_SILENT,
                f"{mqtt} accepted the connection but did not respond to the login within {timeouts.connect:g} s.",
                "Is this a device port of the platform? If it is, the platform may be overloaded or stuck.",
            )
        self._sent_at = sending.connected_at
        closed = threading.Event()
        self._opened.callback(closed.set)
        self._storage = poll_storage(self._platform, self._entity, self._probe, closed)
        self._wait(lambda: sending.acknowledged_at is not None or sending.failure is not None, timeouts.acknowledge)
        if sending.failure is not None:
            raise sending.failure
        if sending.acknowledged_at is None:
            return self._since_sent(), f"logged in; no acknowledgement of the reading within {timeouts.acknowledge:g} s"
        detail = f"{self._probe.value:.6f} acknowledged"
        if self._platform.generation() == "1.x" and self._ends:
            detail += ", after all rules had finished"
        return sending.acknowledged_at - self._sent_at, detail

    def _stored(self) -> tuple[float | None, str]:
        probe, storage = self._probe, self._storage
        if self._wait(storage.done, self._at_most(self.timeouts.store)):
            detail = f"{probe.key} {probe.value:.6f} at {utc_clock(probe.ts_ms)} UTC"
            return storage.result() - self._sent_at, detail
        if self._sending.acknowledged_at is None:
            raise TraceStopped(
                ProblemCode.PLATFORM_STUCK,
                "The platform accepts the login of the device, but neither acknowledges nor stores its reading: its"
                " processing of messages has stopped.",
                "Restart the platform. On 1.x, more than three rules deleted within a minute lead to this.",
            )
        if (profile := self._finder.profile()) is not None:
            raise TraceStopped.by([profile])
        raise TraceStopped(
            ProblemCode.NOT_STORED,
            f"{self.settings.mqtt} acknowledged the reading, but {self.settings.url} does not store it.",
            "On 1.x, the system's telemetry rule must be active; later, the root rule chain must lead Post telemetry to"
            " a node Save Timeseries. It may also be late: trace again.",
        )

    # --- to Kafka ------------------------------------------------------------------------------------------------

    def _matched(self) -> tuple[float | None, str]:
        """A platform does not report that a rule has matched; the record in Kafka shows it, or the reasons found."""
        if self._arrives():
            return None, "as its record in Kafka shows"
        if self._reasons[0].after_match:
            return None, "rule and attributes are as in the scenario"
        raise self._stopped_by_reasons()

    def _in_kafka(self) -> tuple[float | None, str]:
        if self._arrival is None:
            raise self._stopped_by_reasons()
        record = self._arrival.record
        ts_ms = record.timestamp_ms
        self._wait(lambda: False, _SETTLE_SECONDS)
        if self._arrival.differs(self.device):
            differs = [each for each in self._finder.attributes() if each.code is ProblemCode.ZONE_DIFFERS]
            if differs:
                raise TraceStopped.by(differs)
        timestamp = "no timestamp" if ts_ms is None else f"timestamp {utc_clock(ts_ms)} UTC"
        detail = f"{self._topic.name} partition {record.partition} offset {record.offset}, {timestamp}"
        return self._arrival.seen_at - self._sent_at, detail

    def _arrives(self) -> bool:
        """Waits for the record. Searches for reasons early, and again when the time is over."""
        if not self._wait(lambda: bool(self._copies), _EARLY_SECONDS):
            self._reasons = self._finder.reasons()
            is_certain = bool(self._reasons) and self._reasons[0].certain
            if not self._wait(lambda: bool(self._copies), 0 if is_certain else self._at_most(self.timeouts.forward)):
                if not is_certain:
                    self._reasons = self._finder.reasons() or [self._unexplained()]
                return False
        self._arrival = Arrival(*self._copies[0])
        return True

    def _unexplained(self) -> Problem:
        if self._consumer.failure is not None:
            return Problem(
                ProblemCode.KAFKA_UNREADABLE,
                "kafka",
                f"Topic {self._topic.name} cannot be read: {self._consumer.failure}.",
                "Check --kafka and the security settings given with -X: pacifictool doctor",
                after_match=True,
            )
        if self._sending.acknowledged_at is None:
            return Problem(
                ProblemCode.NOT_ACKNOWLEDGED,
                "kafka",
                "The reading is stored, but neither acknowledged nor in Kafka. Rule, plugin and attributes are correct:"
                " the platform cannot write to Kafka, or the rule fails on this message.",
                "Check that the platform reaches Kafka at the plugin's bootstrapServers, and see its log.",
                after_match=True,
            )
        return self._finder.filtered() or Problem(
            ProblemCode.NOT_FORWARDED,
            "kafka",
            "The reading is stored and acknowledged, but not in Kafka, and no problem can be found from here.",
            "Switch on the debug mode of the rule chain's nodes in the web UI, trace again, and check their events.",
        )

    def _stopped_by_reasons(self) -> TraceStopped:
        reasons = self._reasons
        unacknowledged = self._sending.acknowledged_at is None and reasons[0].code is not ProblemCode.NOT_ACKNOWLEDGED
        more = " The platform has not acknowledged the reading, either." if unacknowledged else ""
        return TraceStopped.by(reasons, more=more)

    # --- through the job -----------------------------------------------------------------------------------------

    def _counted(self) -> tuple[float | None, str]:
        self._job = JobHops(
            platform=self._platform,
            settings=self.settings,
            scenario=self.scenario,
            folders=self.job_folders,
            key=self.key,
            topic_id=self._topic.topic_id,
            pause=self._pause,
            deadline=self._sent_at + self._timeout,
            delivery_timeout=self.timeouts.deliver,
        )
        self._opened.callback(self._job.close)
        detail = self._job.counted(self._require_arrival())
        return self._since_sent(), detail

    def _posted(self) -> tuple[float | None, str]:
        detail = self._job.posted(self._require_arrival())
        return self._since_sent(), detail

    def _readable(self) -> tuple[float | None, str]:
        detail, notes = self._job.readable()
        self._result.notes += notes
        return self._since_sent(), detail

    def _require_arrival(self) -> Arrival:
        assert self._arrival is not None, "the hop `kafka` comes first"
        return self._arrival

    # --- time ----------------------------------------------------------------------------------------------------

    def _since_sent(self) -> float | None:
        return monotonic() - self._sent_at if self._sent_at else None

    def _at_most(self, seconds: float) -> float:
        """`seconds`, or what is left of the total time."""
        return max(0.0, min(seconds, self._sent_at + self._timeout - monotonic()))

    def _pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Interrupted

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether `condition` came true within `seconds`."""
        until = monotonic() + seconds
        while not condition():
            if monotonic() >= until:
                return False
            self._pause(_POLL_SECONDS)
        return True
