"""The second half of the way: counted by the job, posted, readable on the asset."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from pacifictool.analytics.state.checkpoint import has_begun
from pacifictool.analytics.state.lock import is_held
from pacifictool.analytics.state.reader import JobView
from pacifictool.diagnosis.causes import Cause
from pacifictool.diagnosis.faults import SETUP
from pacifictool.diagnosis.hops import Stopped
from pacifictool.errors import AggregationError
from pacifictool.kafka.records import Record
from pacifictool.rest import Asset, Device, Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import Settings
from pacifictool.tools.times import utc_clock

_POLL_SECONDS = 0.1
_LOCK_LOOK_SECONDS = 1.0
_READ_SECONDS = 3.0
_ASSETS_SEARCHED = 200
START_JOB = "pacifictool aggregate"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The reading in Kafka."""

    record: Record
    seen_at: float
    """Monotonic seconds."""

    def zone(self, key: str) -> str | None:
        """What the record names as its zone; None when it is no JSON object with one."""
        try:
            zone = json.loads(self.record.value or b"")[key]
        except (ValueError, KeyError, TypeError):
            return None
        return zone if isinstance(zone, str) else None

    def event_ms(self) -> float:
        """What time it is now on the clock that stamps records (this machine's, where there are no stamps)."""
        if self.record.timestamp_ms is None:
            return time.time() * 1000
        return self.record.timestamp_ms + (monotonic() - self.seen_at) * 1000


class JobHops:
    """Follows one record through the job. Every method raises Stopped where the way ends."""

    def __init__(
        self,
        platform: Platform,
        settings: Settings,
        scenario: Scenario,
        folders: Sequence[Path],
        *,
        topic_id: str,
        pause: Callable[[float], None],
        deadline: float,
        delivery_patience: float,
    ) -> None:
        """`folders`: checkpoints in which the job may be, the most likely first. `deadline` in monotonic seconds,
        `delivery_patience` in seconds after the end of the window.
        """
        self._platform = platform
        self._settings = settings
        self._scenario = scenario
        self._folders = folders
        self._topic_id = topic_id
        self._pause = pause
        self._deadline = deadline
        self._delivery_patience = delivery_patience
        self._view: JobView | None = None
        self._looked_at = 0.0
        self._counted_at = 0.0
        self._zone = ""
        self._window_end_ms = 0

    def close(self) -> None:
        if self._view is not None:
            self._view.close()

    # --- counted -------------------------------------------------------------------------------------------------

    def counted(self, arrival: Arrival) -> str:
        """Waits until the job is past the record; says into which window it was counted."""
        record = arrival.record
        folder = self._find_folder()
        while True:
            self._open(folder)
            if self._view is not None:
                if self._view.starts_at(record.partition) > record.offset:
                    raise Stopped(
                        Cause.JOB_STARTS_LATER,
                        f"The job in {folder} began after this reading, and a new job counts from its start on.",
                        "Trace again, now that the job runs.",
                    )
                if (self._view.counted_until(record.partition) or 0) > record.offset:
                    break
            self._check_running(folder)
            if monotonic() > self._deadline:
                raise self._not_counted_in_time(arrival, folder)
            self._pause(_POLL_SECONDS)
        return self._place(arrival)

    def _not_counted_in_time(self, arrival: Arrival, folder: Path) -> Stopped:
        record, view = arrival.record, self._view
        if view is not None:
            end_ms = self._window_end(arrival, view)
            if arrival.event_ms() < end_ms:
                return _window_open(end_ms, arrival)
        return Stopped(
            Cause.JOB_BEHIND,
            f"The job in {folder} runs, but has not come to offset {record.offset} of partition {record.partition} yet:"
            f" {self._progress(record)}.",
            "Give it more time (--timeout), and look at what `pacifictool aggregate` says.",
        )

    def _window_end(self, arrival: Arrival, view: JobView) -> int:
        """The end of the window that the record counts in; without a time stamp, that is the job's to say."""
        record, window_ms = arrival.record, view.identity.window_ms
        if record.timestamp_ms is None:
            batch = view.batch_with(record.partition, record.offset)
            if batch is not None:
                return view.untimed_window_end_ms(batch)
        stamp_ms = round(arrival.event_ms()) if record.timestamp_ms is None else record.timestamp_ms
        return (stamp_ms // window_ms + 1) * window_ms

    def _place(self, arrival: Arrival) -> str:
        record, view = arrival.record, self._the_view()
        reason = view.invalid_at(view.identity.topic, record.partition, record.offset)
        if reason is not None:
            text = (record.value or b"").decode("utf-8", errors="replace")[:120]
            mend = (
                "Widen `valid` in [aggregation] of the scenario, and start the job with a new checkpoint."
                if " is not within " in reason
                else f"Correct the device's client attributes ({SETUP}) or the template that writes the record."
            )
            told = f"The job rejected the record: {reason}. It is {text!r}."
            raise Stopped(Cause.REJECTED, told, f"{mend} All rejects: pacifictool rejects")
        self._counted_at = monotonic()
        self._zone = arrival.zone(self._scenario.aggregation.zone_key) or ""
        self._window_end_ms = self._window_end(arrival, view)
        start, end = utc_clock(self._window_end_ms - view.identity.window_ms), utc_clock(self._window_end_ms)
        return f"zone {self._zone!r}, window {start} to {end} UTC"

    def _find_folder(self) -> Path:
        """The folder of the job that runs; else of one that has run; else the likeliest."""
        known = [folder for folder in self._folders if has_begun(folder)]
        return next((folder for folder in self._folders if is_held(folder)), (known or list(self._folders))[0])

    def _open(self, folder: Path) -> None:
        """Opens the folder as soon as the job has written down who it is."""
        if self._view is not None:
            return
        view = JobView.open(folder)
        if view is None:
            return
        self._view = view
        wanted, found = self._scenario.kafka.topic, view.identity
        if found.topic != wanted or found.topic_id not in (None, self._topic_id):
            raise Stopped(
                Cause.JOB_OTHER_TOPIC,
                f"The job in {folder} reads another topic: {found.topic} ({found.topic_id}), not {wanted}"
                f" ({self._topic_id}).",
                "Name the checkpoint of the right job with --checkpoint, or start it: pacifictool aggregate",
            )

    def _check_running(self, folder: Path) -> None:
        if monotonic() - self._looked_at < _LOCK_LOOK_SECONDS:
            return
        self._looked_at = monotonic()
        if is_held(folder):
            return
        told = "No job has run" if self._view is None else "The job does not run any more"
        raise Stopped(
            Cause.JOB_NOT_RUNNING,
            f"{told} with the checkpoint {folder}: nobody counts what is in Kafka.",
            f"Start it: {START_JOB} (and name its folder with --checkpoint, if it has one of its own)",
        )

    def _progress(self, record: Record) -> str:
        until = None if self._view is None else self._view.counted_until(record.partition)
        return "it has not counted anything yet" if until is None else f"it is at {until}"

    def _the_view(self) -> JobView:
        if self._view is None:
            raise AggregationError("The job's folder is not open.")
        return self._view

    # --- posted --------------------------------------------------------------------------------------------------

    def posted(self, arrival: Arrival) -> str:
        """Waits until the platform has acknowledged the window's mean."""
        view = self._the_view()
        while True:
            if (reason := view.refusal(self._window_end_ms, self._zone)) is not None:
                raise Stopped(
                    Cause.RESULT_REFUSED,
                    f"The target ({view.identity.target}) will not take the mean of zone {self._zone!r}: {reason}",
                    "Look at the asset of that name on the platform; the device's zone attribute may be unusable.",
                )
            window = view.window(self._window_end_ms, self._zone)
            if window is None or window.count == window.delivered:
                break
            self._stop_waiting(arrival)
            self._pause(_POLL_SECONDS)
        return f"zone {self._zone!r} to {view.identity.target}" + (
            "" if window is None else f", of {window.count} readings"
        )

    def _stop_waiting(self, arrival: Arrival) -> None:
        """Raises Stopped when waiting for the post makes no more sense."""
        view = self._the_view()
        overdue_ms = arrival.event_ms() - self._window_end_ms
        self._check_running(view.folder)
        # A job that is late with counting is not to be blamed for its delivery.
        waited = min(overdue_ms / 1000, monotonic() - self._counted_at)
        if waited > self._delivery_patience or (overdue_ms > 0 and monotonic() > self._deadline):
            away = _no_connection(view.identity.target)
            raise Stopped(
                Cause.DELIVERY_FAILING,
                f"The window is over since {overdue_ms / 1000:.0f} s, but the job could not deliver its mean to"
                f" {view.identity.target}{f': {away}' if away else ''}. It keeps it and goes on trying.",
                "Look at the warnings of `pacifictool aggregate`: it says why. Nothing is lost meanwhile.",
            )
        if monotonic() > self._deadline:
            raise _window_open(self._window_end_ms, arrival)

    # --- readable ------------------------------------------------------------------------------------------------

    def readable(self) -> tuple[str, list[str]]:
        """Reads the mean back; what was seen, and what a person should know."""
        view = self._the_view()
        sink, _, where = view.identity.target.partition(" ")
        if sink not in ("rest", "gateway"):
            raise Stopped(
                Cause.RESULTS_ELSEWHERE,
                f"The job's means go to {view.identity.target}, not to the platform.",
                "Look there, or trace with --until kafka.",
            )
        noun = "asset" if sink == "rest" else "device"
        until = monotonic() + _READ_SECONDS
        while True:
            entity = self._entity(noun)
            mean = None if entity is None else self._mean(entity)
            if entity is not None and mean is not None:
                return f"{mean} on {noun} {entity.name!r}", list(self._notes(entity))
            if monotonic() > until:
                raise self._not_there(noun, entity, where)
            self._pause(_POLL_SECONDS)

    def _entity(self, noun: str) -> Asset | Device | None:
        return self._platform.assets.find(self._zone) if noun == "asset" else self._platform.devices.find(self._zone)

    def _mean(self, entity: Asset | Device) -> float | None:
        key = self._the_view().identity.value_key
        points = self._platform.telemetry.range(entity, key, self._window_end_ms, self._window_end_ms + 1)
        value = points[0].value if points else None
        return float(value) if isinstance(value, int | float) else None

    def _notes(self, entity: Asset | Device) -> Iterator[str]:
        wanted = self._scenario.platform.entity_type
        if entity.type != wanted:
            yield (
                f"The {entity.noun} {entity.name!r} is of the type {entity.type!r}, the scenario's are {wanted!r}: who"
                " looks for that type does not find it. Mend: pacifictool setup, if the scenario names it."
            )

    def _not_there(self, noun: str, entity: Asset | Device | None, where: str) -> Stopped:
        here = self._settings.url
        if noun == "asset" and where != here:
            return Stopped(
                Cause.JOB_OTHER_PLATFORM,
                f"The job posts to {where}; we look at {here}.",
                f"Look there (--url {where}), or start the job with --url {here}.",
            )
        found_on = next(self._who_has_it(), None) if noun == "asset" else None
        if found_on is not None:
            return Stopped(
                Cause.ASSET_RENAMED,
                f"The mean is on the asset {found_on.name!r}: it was called {self._zone!r} when the job began, and"
                " somebody has renamed it.",
                f"Give it its name again, or restart the job: it then posts to an asset {self._zone!r}.",
            )
        if entity is None:
            return Stopped(
                Cause.ASSET_MISSING if noun == "asset" else Cause.DEVICE_MISSING,
                f"The platform took the mean, but has no {noun} {self._zone!r} now: it was deleted or renamed.",
                "The job makes it anew with the next window.",
            )
        return Stopped(
            Cause.NOT_READABLE,
            f"The {noun} {entity.name!r} has no value for the window's end, though the platform took it.",
            "The asset may have been deleted and made anew meanwhile; trace again.",
        )

    def _who_has_it(self) -> Iterator[Asset]:
        """Assets of other names that have a value for just this window."""
        wanted = self._scenario.platform.entity_type
        for asset in islice(self._platform.assets.list(type=wanted), _ASSETS_SEARCHED):
            others = asset.name != self._zone and asset.name not in self._scenario.zones
            if others and self._mean(asset) is not None:
                yield asset


def _window_open(end_ms: int, arrival: Arrival) -> Stopped:
    seconds = (end_ms - arrival.event_ms()) / 1000
    return Stopped(
        Cause.WINDOW_OPEN,
        f"The job waits: the window ends at {utc_clock(end_ms)} UTC, in {seconds:.0f} s, and its mean is posted about"
        " a second later.",
        "Nothing is wrong. Give it more time: --timeout",
    )


def _no_connection(target: str) -> str | None:
    """Why nobody answers at the address in a job's target, in words; None when somebody does, or none is in it."""
    address = urlsplit(target.partition(" ")[2])
    if address.hostname is None:
        return None
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname, port), timeout=_READ_SECONDS).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None
