"""The second half of a trace: counted by the job, posted, readable on the asset."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from pacifictool.analytics.state.checkpoint import has_begun
from pacifictool.analytics.state.lock import is_held
from pacifictool.analytics.state.reader import JobView
from pacifictool.errors import AggregationError
from pacifictool.kafka.records import Record
from pacifictool.problems import SETUP, ProblemCode
from pacifictool.rest import Asset, Device, Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import Settings
from pacifictool.tools.connections import connection_error
from pacifictool.tools.times import utc_clock
from pacifictool.trace.hops import TraceStopped

_POLL_SECONDS = 0.1
_LOCK_CHECK_SECONDS = 1.0
_READ_SECONDS = 3.0
_MAX_ASSETS = 200
START_JOB = "pacifictool aggregate"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The probe in Kafka."""

    record: Record
    seen_at: float
    """Monotonic seconds."""

    def zone(self, key: str) -> str | None:
        """The zone that the record names; None when it is not a JSON object with one."""
        zone = self._field(key)
        return zone if isinstance(zone, str) else None

    def is_outside(self, low: float, high: float, key: str) -> bool:
        """Whether the record's value is a number outside these limits."""
        value = self._field(key)
        try:
            return isinstance(value, str | int | float) and not low <= float(value) <= high
        except ValueError:
            return False

    def event_ms(self) -> float:
        """The present time by the clock of the records' timestamps (this machine's if the record has none)."""
        if self.record.timestamp_ms is None:
            return time.time() * 1000
        return self.record.timestamp_ms + (monotonic() - self.seen_at) * 1000

    def _field(self, key: str) -> object:
        try:
            return json.loads(self.record.value or b"")[key]
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(slots=True)
class JobHops:
    """Follows one record through the job. Every method raises TraceStopped where the record does not get further."""

    platform: Platform
    settings: Settings
    scenario: Scenario
    folders: Sequence[Path]
    """Possible checkpoints of the job, the most likely first."""
    topic_id: str
    pause: Callable[[float], None]
    deadline: float
    """Monotonic seconds."""
    delivery_timeout: float
    """Seconds after the end of the window."""
    _view: JobView | None = field(default=None, init=False)
    _lock_checked_at: float = field(default=0.0, init=False)
    _counted_at: float = field(default=0.0, init=False)
    _zone: str = field(default="", init=False)
    _window_end_ms: int = field(default=0, init=False)

    def close(self) -> None:
        if self._view is not None:
            self._view.close()

    # --- counted -------------------------------------------------------------------------------------------------

    def counted(self, arrival: Arrival) -> str:
        """Waits until the job has read past the record; returns the window that it counts in."""
        partition, offset = arrival.record.partition, arrival.record.offset
        folder = self._find_folder()
        while True:
            self._open(folder)
            if self._view is not None:
                if self._view.starts_at(partition) > offset:
                    raise TraceStopped(
                        ProblemCode.JOB_STARTS_LATER,
                        f"The job in {folder} began after this reading, and a new job counts only what comes later.",
                        "Trace again, now that the job runs.",
                    )
                if (self._view.counted_until(partition) or 0) > offset:
                    return self._window(arrival)
            self._check_running(folder)
            if monotonic() > self.deadline:
                raise self._not_counted_in_time(arrival, folder)
            self.pause(_POLL_SECONDS)

    def _not_counted_in_time(self, arrival: Arrival, folder: Path) -> TraceStopped:
        record, progress = arrival.record, "it has not counted anything yet"
        if self._view is not None:
            end_ms = self._window_end(arrival)
            if arrival.event_ms() < end_ms:
                return _window_open(end_ms, arrival)
            if (until := self._view.counted_until(record.partition)) is not None:
                progress = f"it is at {until}"
        return TraceStopped(
            ProblemCode.JOB_BEHIND,
            f"The job in {folder} runs, but has not reached offset {record.offset} of partition {record.partition} yet:"
            f" {progress}.",
            f"Give it more time (--timeout), and see the messages of `{START_JOB}`.",
        )

    def _window_end(self, arrival: Arrival) -> int:
        """The end of the window that the record counts in; the job decides it for a record without timestamp."""
        record, view = arrival.record, self._require_view()
        if record.timestamp_ms is None:
            batch = view.batch_with(record.partition, record.offset)
            if batch is not None:
                return view.untimed_window_end_ms(batch)
        event_ms = round(arrival.event_ms()) if record.timestamp_ms is None else record.timestamp_ms
        return (event_ms // view.identity.window_ms + 1) * view.identity.window_ms

    def _window(self, arrival: Arrival) -> str:
        record, view = arrival.record, self._require_view()
        reason = view.invalid_at(view.identity.topic, record.partition, record.offset)
        if reason is not None:
            fix = f"Correct the device's client attributes ({SETUP}) or the template that writes the record."
            low, high = view.identity_document().get("valid", (-math.inf, math.inf))
            if arrival.is_outside(low, high, view.identity.value_key):
                fix = "Widen `valid` in [aggregation] of the scenario, and start the job with a new checkpoint."
            value = (record.value or b"").decode("utf-8", errors="replace")[:120]
            text = f"The record is invalid for the job: {reason}. It is {value!r}."
            raise TraceStopped(ProblemCode.REJECTED, text, f"{fix} All invalid records: pacifictool rejects")
        self._counted_at = monotonic()
        self._zone = arrival.zone(self.scenario.aggregation.zone_key) or ""
        self._window_end_ms = self._window_end(arrival)
        start, end = utc_clock(self._window_end_ms - view.identity.window_ms), utc_clock(self._window_end_ms)
        return f"zone {self._zone!r}, window {start} to {end} UTC"

    def _find_folder(self) -> Path:
        """The folder of the job that runs; else of one that has run; else the most likely."""
        known = [folder for folder in self.folders if has_begun(folder)]
        return next((folder for folder in self.folders if is_held(folder)), (known or list(self.folders))[0])

    def _open(self, folder: Path) -> None:
        """Opens the folder as soon as the job has noted its identity."""
        if self._view is not None:
            return
        self._view = JobView.open(folder)
        if self._view is None:
            return
        wanted, found = self.scenario.kafka.topic, self._view.identity
        if found.topic != wanted or found.topic_id not in (None, self.topic_id):
            raise TraceStopped(
                ProblemCode.JOB_OTHER_TOPIC,
                f"The job in {folder} reads another topic: {found.topic} ({found.topic_id}), not {wanted}"
                f" ({self.topic_id}).",
                f"Name the checkpoint of the right job with --checkpoint, or start it: {START_JOB}",
            )

    def _check_running(self, folder: Path) -> None:
        if monotonic() - self._lock_checked_at < _LOCK_CHECK_SECONDS:
            return
        self._lock_checked_at = monotonic()
        if not is_held(folder):
            state = "has run" if self._view is None else "is running any more"
            raise TraceStopped(
                ProblemCode.JOB_NOT_RUNNING,
                f"No job {state} with the checkpoint {folder}: the records in Kafka are not counted.",
                f"Start it: {START_JOB} (and name its folder with --checkpoint, if it has one of its own)",
            )

    def _require_view(self) -> JobView:
        if self._view is None:
            raise AggregationError("The job's folder is not open.")
        return self._view

    # --- posted --------------------------------------------------------------------------------------------------

    def posted(self, arrival: Arrival) -> str:
        """Waits until the platform has acknowledged the window's mean."""
        view = self._require_view()
        target = view.identity.target
        while True:
            if (reason := view.refusal(self._window_end_ms, self._zone)) is not None:
                raise TraceStopped(
                    ProblemCode.RESULT_REFUSED,
                    f"The target ({target}) refuses the mean of zone {self._zone!r}: {reason}",
                    "Check the asset of that name on the platform; the device's zone attribute may be unusable.",
                )
            window = view.window(self._window_end_ms, self._zone)
            if window is None:
                return f"zone {self._zone!r} to {target}"
            if window.count == window.delivered:
                return f"zone {self._zone!r} to {target}, of {window.count} readings"
            self._check_delivery(arrival)
            self.pause(_POLL_SECONDS)

    def _check_delivery(self, arrival: Arrival) -> None:
        """Raises TraceStopped when the mean should have been delivered, or the time is over."""
        view = self._require_view()
        overdue = (arrival.event_ms() - self._window_end_ms) / 1000
        self._check_running(view.folder)
        # A job that counted the record late has had less time to deliver.
        waited = min(overdue, monotonic() - self._counted_at)
        if waited > self.delivery_timeout or (overdue > 0 and monotonic() > self.deadline):
            target = urlsplit(view.identity.target.partition(" ")[2])
            port, reason = target.port or (443 if target.scheme == "https" else 80), None
            if target.hostname is not None:
                reason = connection_error(target.hostname, port, _READ_SECONDS)
            raise TraceStopped(
                ProblemCode.DELIVERY_FAILING,
                f"The window ended {overdue:.0f} s ago, but the job could not deliver its mean to"
                f" {view.identity.target}{f': {reason}' if reason else ''}. The job keeps the mean and retries.",
                f"See the warnings of `{START_JOB}` for the reason. Nothing is lost.",
            )
        if monotonic() > self.deadline:
            raise _window_open(self._window_end_ms, arrival)

    # --- readable ------------------------------------------------------------------------------------------------

    def readable(self) -> tuple[str, list[str]]:
        """Reads the mean back; returns what was read, and what a person should know."""
        target = self._require_view().identity.target
        sink, _, where = target.partition(" ")
        if sink not in ("rest", "gateway"):
            raise TraceStopped(
                ProblemCode.RESULTS_ELSEWHERE,
                f"The job's means go to {target}, not to the platform.",
                "Look there, or trace with --until kafka.",
            )
        until = monotonic() + _READ_SECONDS
        while True:
            resource = self.platform.assets if sink == "rest" else self.platform.devices
            entity: Asset | Device | None = resource.find(self._zone)
            if entity is not None and (mean := self._mean(entity)) is not None:
                return f"{mean} on {entity.noun} {entity.name!r}", list(self._notes(entity))
            if monotonic() > until:
                raise self._not_readable("asset" if sink == "rest" else "device", entity, where)
            self.pause(_POLL_SECONDS)

    def _mean(self, entity: Asset | Device) -> float | None:
        key = self._require_view().identity.value_key
        points = self.platform.telemetry.range(entity, key, self._window_end_ms, self._window_end_ms + 1)
        value = points[0].value if points else None
        return float(value) if isinstance(value, int | float) else None

    def _notes(self, entity: Asset | Device) -> Iterator[str]:
        wanted = self.scenario.platform.entity_type
        if entity.type != wanted:
            yield (
                f"The {entity.noun} {entity.name!r} has the type {entity.type!r}, those of the scenario {wanted!r}:"
                f" whoever searches for that type does not find it. Fix: {SETUP}, if the scenario names it."
            )

    def _not_readable(self, noun: str, entity: Asset | Device | None, where: str) -> TraceStopped:
        here = self.settings.url
        if noun == "asset" and where != here:
            return TraceStopped(
                ProblemCode.JOB_OTHER_PLATFORM,
                f"The job posts to {where}, but this trace reads from {here}.",
                f"Look there (--url {where}), or start the job with --url {here}.",
            )
        renamed = next(self._assets_with_mean(), None) if noun == "asset" else None
        if renamed is not None:
            return TraceStopped(
                ProblemCode.ASSET_RENAMED,
                f"The mean is on the asset {renamed.name!r}, whose name was {self._zone!r} when the job began.",
                f"Rename it back, or restart the job: it then posts to an asset {self._zone!r}.",
            )
        if entity is None:
            return TraceStopped(
                ProblemCode.ASSET_MISSING if noun == "asset" else ProblemCode.DEVICE_MISSING,
                f"The platform accepted the mean, but has no {noun} {self._zone!r} now: it was deleted or renamed.",
                "The job creates it again with the next window.",
            )
        return TraceStopped(
            ProblemCode.NOT_READABLE,
            f"The {noun} {entity.name!r} has no value for the window's end, though the platform accepted it.",
            f"The {noun} may have been deleted and created again meanwhile; trace again.",
        )

    def _assets_with_mean(self) -> Iterator[Asset]:
        """Assets of other names that have a value for exactly this window."""
        wanted = self.scenario.platform.entity_type
        for asset in islice(self.platform.assets.list(type=wanted), _MAX_ASSETS):
            is_other = asset.name != self._zone and asset.name not in self.scenario.zones
            if is_other and self._mean(asset) is not None:
                yield asset


def _window_open(end_ms: int, arrival: Arrival) -> TraceStopped:
    seconds = (end_ms - arrival.event_ms()) / 1000
    return TraceStopped(
        ProblemCode.WINDOW_OPEN,
        f"The job waits: the window ends at {utc_clock(end_ms)} UTC, in {seconds:.0f} s, and its mean is posted about"
        " a second later.",
        "Nothing is wrong. Give it more time: --timeout",
    )
