"""The second half of a trace: counted by the job, posted, readable on the entities that get the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from pacifictool.analytics.state.checkpoint import has_begun
from pacifictool.analytics.state.fitting import WantedJob
from pacifictool.analytics.state.lock import is_held
from pacifictool.analytics.state.reader import JobView, identity_of
from pacifictool.analytics.windows import join_group
from pacifictool.errors import AggregationError
from pacifictool.problems import SETUP, ProblemCode
from pacifictool.rest import Asset, Device, Platform
from pacifictool.scenario import Scenario
from pacifictool.scenario.names import plural
from pacifictool.settings import Settings
from pacifictool.tools.connections import connection_error
from pacifictool.tools.times import utc_clock
from pacifictool.trace.hops import TraceStopped
from pacifictool.trace.windows import Arrival, ResultWindow, result_words, taking

_POLL_SECONDS = 0.1
_LOCK_CHECK_SECONDS = 1.0
_READ_SECONDS = 3.0
_MAX_ASSETS = 200
START_JOB = "pacifictool aggregate"


@dataclass(slots=True)
class JobHops:
    """Follows one record through the job. Every method raises TraceStopped where the record does not get further."""

    platform: Platform
    settings: Settings
    scenario: Scenario
    folders: Sequence[Path]
    """Possible checkpoints of the job, the most likely first."""
    key: str
    """Of the reading."""
    topic_id: str
    pause: Callable[[float], None]
    deadline: float
    """Monotonic seconds."""
    delivery_timeout: float
    """Seconds after the end of the window."""
    _view: JobView | None = field(default=None, init=False)
    _lock_checked_at: float = field(default=0.0, init=False)
    _counted_at: float = field(default=0.0, init=False)
    _windows: list[ResultWindow] = field(default_factory=list, init=False)
    """Those that end before the deadline; the first of all if none does."""
    _later: list[ResultWindow] = field(default_factory=list, init=False)

    def close(self) -> None:
        if self._view is not None:
            self._view.close()

    # --- counted -------------------------------------------------------------------------------------------------

    def counted(self, arrival: Arrival) -> str:
        """Waits until the job has read past the record; returns the windows that it counts in."""
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
                    return self._counted_in(arrival)
            self._check_running(folder)
            if monotonic() > self.deadline:
                raise self._not_counted_in_time(arrival, folder)
            self.pause(_POLL_SECONDS)

    def _not_counted_in_time(self, arrival: Arrival, folder: Path) -> TraceStopped:
        record, progress = arrival.record, "it has not counted anything yet"
        if self._view is not None:
            windows = self._windows_of(arrival)
            if windows and arrival.event_ms() < windows[0].end_ms:
                return _window_open(windows[0], arrival)
            if (until := self._view.counted_until(record.partition)) is not None:
                progress = f"it is at {until}"
        return TraceStopped(
            ProblemCode.JOB_BEHIND,
            f"The job in {folder} runs, but has not reached offset {record.offset} of partition {record.partition} yet:"
            f" {progress}.",
            f"Give it more time (--timeout), and see the messages of `{START_JOB}`.",
        )

    def _event_ms(self, arrival: Arrival) -> int:
        """The record's time as the job has it, which decides it for a record without timestamp."""
        record, view = arrival.record, self._require_view()
        if self.scenario.forwarding.event_time == "reading" and (reading_ms := arrival.reading_ms()) is not None:
            return reading_ms
        if record.timestamp_ms is not None:
            return record.timestamp_ms
        batch = view.batch_with(record.partition, record.offset)
        return round(arrival.event_ms()) if batch is None else view.untimed_event_ms(batch)

    def _windows_of(self, arrival: Arrival) -> list[ResultWindow]:
        """The first window of each analytics of the job that the record counts in, in the order of their ends."""
        event_ms, computed = self._event_ms(arrival), self._require_view().identity.analytics
        found = []
        for each in taking(self.scenario.analytics, self.key):
            group = arrival.group(each)
            if each.name not in computed or group is None:
                continue
            slide_ms, window_ms = (int(computed[each.name][name]) for name in ("slide_ms", "window_ms"))
            end_ms = (event_ms // slide_ms + 1) * slide_ms
            word, result = self.scenario.group_word(each), self.scenario.result_word(each)
            found.append(ResultWindow(each, group, end_ms, window_ms, word, result))
        return sorted(found, key=lambda window: window.end_ms)

    def _counted_in(self, arrival: Arrival) -> str:
        record, view = arrival.record, self._require_view()
        reason = view.invalid_at(view.identity.topic, record.partition, record.offset)
        if reason is not None:
            fix = f"Correct the device's attributes ({SETUP}) or the template that writes the record."
            valid = view.identity_document().get("records", {}).get("valid", {}).get(self.key, {})
            if arrival.is_outside(valid.get("min", -math.inf), valid.get("max", math.inf), self.key):
                fix = "Widen `valid` in [forwarding] of the scenario, and start the job with a new checkpoint."
            value = (record.value or b"").decode("utf-8", errors="replace")[:120]
            text = f"The record is invalid for the job: {reason}. It is {value!r}."
            raise TraceStopped(ProblemCode.REJECTED, text, f"{fix} All invalid records: pacifictool rejects")
        windows = self._windows_of(arrival)
        if not windows:
            raise TraceStopped(
                ProblemCode.JOB_OTHER_ANALYTICS,
                f"The job in {view.folder} counted the record, but computes nothing of {self.key!r} for its group: it"
                f" computes {', '.join(view.identity.analytics)}.",
                f"Start a job with these analytics: {START_JOB}",
            )
        self._counted_at = monotonic()
        now_ms = arrival.event_ms()
        in_time = [each for each in windows if each.end_ms - now_ms <= (self.deadline - monotonic()) * 1000]
        self._windows = in_time or windows[:1]
        self._later = [each for each in windows if each not in self._windows]
        return self._joined(windows, lambda each: f"{each.name}, window {each.times}")

    def _joined(self, windows: Sequence[ResultWindow], text: Callable[[ResultWindow], str]) -> str:
        """One text per window, with the name of its analytics where there are several."""
        several = len(self._windows) + len(self._later) > 1
        return "; ".join(f"{each.analytics.name}: {text(each)}" if several else text(each) for each in windows)

    def _find_folder(self) -> Path:
        """The folder of the job that runs for this scenario and platform; else of one that runs on the topic; else of
        one that has run; else the most likely."""
        wanted = WantedJob.from_scenario(self.scenario, self.settings.url, self.settings.mqtt)
        running = [folder for folder in self.folders if is_held(folder)]
        fitting = [
            folder
            for folder in running
            if (identity := identity_of(folder)) is not None
            and identity.topic == wanted.topic
            and wanted.refusal(identity, self.topic_id) is None
        ]
        known = [folder for folder in self.folders if has_begun(folder)]
        return (fitting or running or known or list(self.folders))[0]

    def _open(self, folder: Path) -> None:
        """Opens the folder as soon as the job has noted its identity."""
        if self._view is not None:
            return
        self._view = JobView.open(folder)
        if self._view is None:
            return
        wanted, found = self.scenario.forwarding.topic, self._view.identity
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
        """Waits until the platform has acknowledged the results of each window that ends in time."""
        target = self._require_view().identity.target
        counts = {each.analytics.name: self._delivered(each, arrival) for each in self._windows}

        def text(window: ResultWindow) -> str:
            count = counts[window.analytics.name]
            return f"{window.name} to {target}" + ("" if count is None else f", of {count} readings")

        return self._joined(self._windows, text)

    def _delivered(self, wanted: ResultWindow, arrival: Arrival) -> int | None:
        """Waits for one window; returns its number of readings, None when the job has forgotten it already."""
        view, group = self._require_view(), join_group(wanted.group)
        target = view.identity.target
        while True:
            if (reason := view.refusal(wanted.analytics.name, group, wanted.end_ms)) is not None:
                raise TraceStopped(
                    ProblemCode.RESULT_REFUSED,
                    f"The target ({target}) refuses the {wanted.result} of {wanted.name}: {reason}",
                    f"Check the {wanted.analytics.entity_kind} of that name on the platform; the device's attributes"
                    " may be unusable.",
                )
            window = view.window(wanted.analytics.name, group, wanted.end_ms)
            if window is None:
                return None
            if window.count == window.delivered:
                return window.count
            self._check_delivery(wanted, arrival)
            self.pause(_POLL_SECONDS)

    def _check_delivery(self, wanted: ResultWindow, arrival: Arrival) -> None:
        """Raises TraceStopped when the results should have been delivered, or the time is over."""
        view = self._require_view()
        overdue = (arrival.event_ms() - wanted.end_ms) / 1000
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
                f"The window ended {overdue:.0f} s ago, but the job could not deliver its {wanted.result} to"
                f" {view.identity.target}{f': {reason}' if reason else ''}. The job keeps the {wanted.result} and"
                " retries.",
                f"See the warnings of `{START_JOB}` for the reason. Nothing is lost.",
            )
        if monotonic() > self.deadline:
            raise _window_open(wanted, arrival)

    # --- readable ------------------------------------------------------------------------------------------------

    def readable(self) -> tuple[str, list[str]]:
        """Reads the results back; returns what was read, and what a person should know."""
        target = self._require_view().identity.target
        sink, _, where = target.partition(" ")
        if sink not in ("rest", "gateway"):
            words = plural(result_words(self.scenario, self.key))
            raise TraceStopped(
                ProblemCode.RESULTS_ELSEWHERE,
                f"The job's {words} go to {target}, not to the platform.",
                "Look there, or trace with --until kafka.",
            )
        texts, notes = {}, []
        for each in self._windows:
            texts[each.analytics.name], more = self._read(each, sink, where)
            notes += more
        notes += [
            f"{each.analytics.name}: the window of {each.name} ends at {utc_clock(each.end_ms)} UTC, which was not"
            " waited for; --timeout waits longer."
            for each in self._later
        ]
        return self._joined(self._windows, lambda each: texts[each.analytics.name]), notes

    def _read(self, wanted: ResultWindow, sink: str, where: str) -> tuple[str, list[str]]:
        if wanted.analytics.function is not None and (without := self._without_results(wanted)) is not None:
            return without, []
        is_asset = sink == "rest" and wanted.analytics.entity_kind == "asset"
        until = monotonic() + _READ_SECONDS
        for reads in count(1):
            resource = self.platform.assets if is_asset else self.platform.devices
            entity: Asset | Device | None = resource.find(wanted.entity)
            if entity is not None and (value := self._value(wanted, entity)) is not None:
                return f"{value} on {entity.noun} {entity.name!r}", list(self._notes(wanted, entity))
            # Twice at least, as a single read may take all the time:
            # docs/servers/1.x.md#telemetry-over-rest, row 10
            if reads > 1 and monotonic() > until:
                raise self._not_readable(wanted, entity, sink, where)
            self.pause(_POLL_SECONDS)
        raise AssertionError("unreachable: the loop ends with a value or an error")

    def _without_results(self, wanted: ResultWindow) -> str | None:
        """Why the function gave no result for the group's entity; None when it did, or when that is not known any more.

        Raises TraceStopped when it failed.
        """
        view, function = self._require_view(), wanted.analytics.function
        outcome = view.outcome(wanted.analytics.name, join_group(wanted.group), wanted.end_ms)
        if outcome is None or outcome.own:
            return None
        if outcome.failure is not None:
            raise TraceStopped(
                ProblemCode.FUNCTION_FAILED,
                f"There is no result of {wanted.name}: {outcome.failure}",
                "Correct the function, and start the job again. `pacifictool rejects` shows the traceback, and"
                " `pacifictool analytics test` calls the function without a job.",
            )
        return f"none: {function} returned no result for {wanted.entity!r}"

    def _keys(self, wanted: ResultWindow) -> list[str]:
        """Those of the results that depend on the reading."""
        if wanted.analytics.function is None:
            return [key for key, each in wanted.analytics.telemetry.items() if each.depends_on(self.key)]
        view = self._require_view()
        outcome = view.outcome(wanted.analytics.name, join_group(wanted.group), wanted.end_ms)
        return list(outcome.own or ()) if outcome is not None else view.function_keys(wanted.analytics.name)

    def _value(self, wanted: ResultWindow, entity: Asset | Device) -> float | None:
        """The first result of the window that depends on the reading and is defined."""
        for key in self._keys(wanted):
            points = self.platform.telemetry.range(entity, key, wanted.ts_ms, wanted.ts_ms + 1)
            if points and isinstance(points[0].value, int | float):
                return float(points[0].value)
        return None

    def _notes(self, wanted: ResultWindow, entity: Asset | Device) -> Iterator[str]:
        kind = self.scenario.entity_type(wanted.analytics.entity_kind)
        if entity.type != kind and not isinstance(entity, Device):
            yield (
                f"The {entity.noun} {entity.name!r} has the type {entity.type!r}, those of the scenario {kind!r}:"
                f" whoever searches for that type does not find it. Fix: {SETUP}, if the scenario names it."
            )

    def _not_readable(self, wanted: ResultWindow, entity: Asset | Device | None, sink: str, where: str) -> TraceStopped:
        here, name, result = self.settings.url, wanted.entity, wanted.result
        noun = "asset" if sink == "rest" and wanted.analytics.entity_kind == "asset" else "device"
        if sink == "rest" and where != here:
            return TraceStopped(
                ProblemCode.JOB_OTHER_PLATFORM,
                f"The job posts to {where}, but this trace reads from {here}.",
                f"Look there (--url {where}), or start the job with --url {here}.",
            )
        renamed = next(self._assets_with_result(wanted), None) if noun == "asset" else None
        if renamed is not None:
            return TraceStopped(
                ProblemCode.ASSET_RENAMED,
                f"The {result} is on the asset {renamed.name!r}, whose name was {name!r} when the job began.",
                f"Rename it back, or restart the job: it then posts to an asset {name!r}.",
            )
        if entity is None:
            return TraceStopped(
                ProblemCode.ASSET_MISSING if noun == "asset" else ProblemCode.DEVICE_MISSING,
                f"The platform accepted the {result}, but has no {noun} {name!r} now: it was deleted or renamed.",
                "The job creates it again with the next window.",
            )
        return TraceStopped(
            ProblemCode.NOT_READABLE,
            f"The {noun} {entity.name!r} has no value for the window's end, though the platform accepted it.",
            f"The {noun} may have been deleted and created again meanwhile; trace again.",
        )

    def _assets_with_result(self, wanted: ResultWindow) -> Iterator[Asset]:
        """Assets of other names that have a value for exactly this window."""
        known = self.scenario.entities("asset")
        for asset in islice(self.platform.assets.list(type=self.scenario.asset_type), _MAX_ASSETS):
            is_other = asset.name != wanted.entity and asset.name not in known
            if is_other and self._value(wanted, asset) is not None:
                yield asset


def _window_open(window: ResultWindow, arrival: Arrival) -> TraceStopped:
    seconds = (window.end_ms - arrival.event_ms()) / 1000
    return TraceStopped(
        ProblemCode.WINDOW_OPEN,
        f"The job waits: the window ends at {utc_clock(window.end_ms)} UTC, in {seconds:.0f} s, and its {window.result}"
        " is posted about a second later.",
        "Nothing is wrong. Give it more time: --timeout",
    )
