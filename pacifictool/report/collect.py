"""Collects the facts of a report: results, readings, batches and invalid records of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep, time

from pacifictool.analytics.state.reader import JobIdentity, JobView
from pacifictool.errors import ChecksFailed
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.progress import SILENT, ProgressTask, Reporter
from pacifictool.report.facts import (
    AnalyticsFacts,
    Band,
    GroupFacts,
    InvalidRecords,
    Job,
    RunFacts,
    Series,
    WindowFacts,
)
from pacifictool.report.ranges import range_of
from pacifictool.report.topic import TopicReadings, tolerance
from pacifictool.rest import Asset, Device, EntityAlarm, EntityId, Platform
from pacifictool.rest.alarms import most_urgent_first
from pacifictool.scenario import Aggregate, Analytics, DeviceSpec, Scenario
from pacifictool.settings import KafkaEndpoint

_CATCH_UP_SECONDS = 15.0
"""How long results that differ are read again while the job has something to count or to deliver."""
_POLL_SECONDS = 0.5

MAX_GROUPS = 12
"""Default number of groups of each analytics in a report; `entities` chooses others."""


def collect(
    platform: Platform,
    kafka: KafkaEndpoint,
    scenario: Scenario,
    *,
    job_folder: Path,
    last_seconds: float,
    entities: Sequence[str] = (),
    reporter: Reporter = SILENT,
) -> RunFacts:
    """The facts of the last `last_seconds`, from the start of a window; `entities`: whose groups to show (empty: the
    first of each analytics).

    Raises PlatformError and KafkaError when server or topic cannot be read, AggregationError for a damaged job
    folder, and ChecksFailed when there is nothing to show. A folder without a job is not an error.
    """
    if not scenario.analytics:
        raise ChecksFailed("The scenario has no analytics to report on.", hint="Add a table [[analytics]].")
    view = JobView.open(job_folder)
    try:
        name = scenario.forwarding.topic
        if view is not None and view.identity.topic != name:
            raise ChecksFailed(
                f"The job in {job_folder} reads another topic: {view.identity.topic}, not {name}.",
                hint="Name the checkpoint of the right job with --checkpoint.",
            )
        analytics = [_as_computed(each, view.identity if view is not None else None) for each in scenario.analytics]
        now_ms, step_ms = round(time() * 1000), max(each.slide_ms for each in analytics)
        begin_ms = (now_ms - round(last_seconds * 1000)) // step_ms * step_ms
        batches = [] if view is None else view.batches()
        starts = {} if view is None else view.starting_offsets() or {}
        topic = TopicReadings(scenario.forwarding, analytics, begin_ms, batches, starts)
        admin = KafkaAdmin(kafka)
        with reporter.task("Reading the topic", unit="records") as task:
            ends = _read_on(kafka, name, topic, admin.offsets(name, at=begin_ms), admin.offsets(name), task)
        with reporter.task("Reading the results", unit="groups") as task:
            deadline = monotonic() + _CATCH_UP_SECONDS
            while True:
                now_ms = round(time() * 1000)
                states = [
                    _read_results(platform, scenario, each, view, topic, entities, begin_ms, now_ms)
                    for each in analytics
                ]
                # The topic again after the results: it has the records of all that was posted meanwhile.
                ends = _read_on(kafka, name, topic, ends, admin.offsets(name))
                found = [facts for state in states if (facts := state.facts(scenario, topic)) is not None]
                task.update(completed=sum(len(state.posted) for state in states))
                # What differs because the job is about to correct it is read again.
                differs = any(any(each.differing()) for each in found)
                if not differs or not _is_behind(view, ends) or monotonic() > deadline:
                    break
                sleep(_POLL_SECONDS)
        names = {entity_id: name for state in states for entity_id, name in state.names.items()}
        if not any(series.windows for each in found for series in each.all_series()):
            raise ChecksFailed(
                f"Neither the topic {name} nor the platform has data of this time.",
                hint="Run `pacifictool simulate` first, or choose a longer time with --last.",
            )
        alarms = most_urgent_first(platform.alarms.of_many(list(names), active=True))
        step_ms = min(each.slide_ms for each in analytics)
        return RunFacts(
            server=platform.url,
            topic=name,
            begin_ms=begin_ms,
            end_ms=now_ms,
            readings=_readings(topic, analytics, found),
            analytics=tuple(found),
            job=None if view is None else _job(view, topic, ends, begin_ms, step_ms),
            alarms=tuple(EntityAlarm(alarm, names[alarm.originator]) for alarm in alarms),
        )
    finally:
        if view is not None:
            view.close()


@dataclass(frozen=True, slots=True)
class _PostedResults:
    """The results of one analytics on the platform, as they are now."""

    analytics: Analytics
    groups_left_out: int
    names: Mapping[EntityId, str]
    """Of the entities shown that exist."""
    posted: Mapping[tuple[tuple[str, ...] | None, str], dict[str, dict[int, float]]]
    """By group and entity, key and window end."""

    def facts(self, scenario: Scenario, topic: TopicReadings) -> AnalyticsFacts | None:
        """Together with the topic; None when there is nothing to show."""
        groups = [
            GroupFacts(entity, tuple(_series(scenario, self.analytics, group, topic, values)))
            for (group, entity), values in self.posted.items()
        ]
        if not any(self.posted.values()):
            return None
        return _facts(scenario, self.analytics, groups, self.groups_left_out)


def _read_results(
    platform: Platform,
    scenario: Scenario,
    analytics: Analytics,
    view: JobView | None,
    topic: TopicReadings,
    entities: Sequence[str],
    begin_ms: int,
    now_ms: int,
) -> _PostedResults:
    shown, left_out = _groups_to_show(scenario, analytics, topic, entities)
    holders = {name: _holder(platform, analytics, name) for _, name in shown}
    keys = _keys(platform, scenario, analytics, view, holders.values())
    return _PostedResults(
        analytics=analytics,
        groups_left_out=left_out,
        names={holder.entity_id: name for name, holder in holders.items() if holder is not None},
        posted={
            (group, entity): _posted(platform, analytics, holders[entity], keys, begin_ms, now_ms + analytics.window_ms)
            for group, entity in shown
        },
    )


def _read_on(
    kafka: KafkaEndpoint,
    name: str,
    topic: TopicReadings,
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    task: ProgressTask | None = None,
) -> Mapping[int, int]:
    """Adds the records from `starts` to `ends`, which it returns."""
    for record in read_records(kafka, name, start=starts, end=ends):
        topic.add(record)
        if task is not None:
            task.advance()
    return ends


def _is_behind(view: JobView | None, ends: Mapping[int, int]) -> bool:
    """Whether a running job has records to count or results to deliver."""
    return view is not None and view.is_running and (_lag(view, ends) > 0 or view.due_windows() > 0)


def _lag(view: JobView, ends: Mapping[int, int]) -> int:
    return sum(max(0, end - (view.counted_until(part) or view.starts_at(part))) for part, end in ends.items())


def _as_computed(analytics: Analytics, identity: JobIdentity | None) -> Analytics:
    """With the window of the job, which may be another than the scenario's."""
    known = identity.analytics.get(analytics.name) if identity is not None else None
    if known is None:
        return analytics
    window, slide = int(known["window_ms"]) / 1000, int(known["slide_ms"]) / 1000
    return analytics.model_copy(update={"window": window, "slide": slide})


def _groups_to_show(
    scenario: Scenario, analytics: Analytics, topic: TopicReadings, entities: Sequence[str]
) -> tuple[list[tuple[tuple[str, ...] | None, str]], int]:
    """The groups with the names of their entities, and how many are left out."""
    known: dict[str, tuple[str, ...]] = {}
    for group in [*scenario.groups(analytics), *topic.groups(analytics)]:
        known.setdefault(analytics.entity_name(group), group)
    if entities:
        chosen = [
            (known.get(name, analytics.group_of_entity(name)), name)
            for name in entities
            if name in known or analytics.group_of_entity(name) is not None
        ]
        return chosen, len(known.keys() - set(entities))
    return [(group, name) for name, group in list(known.items())[:MAX_GROUPS]], max(0, len(known) - MAX_GROUPS)


def _holder(platform: Platform, analytics: Analytics, name: str) -> Asset | Device | None:
    """What has the results of the group with this entity; the gateway sink makes it a device."""
    entity: Asset | Device | None = None
    if analytics.entity_kind == "asset":
        entity = platform.assets.find(name)
    return entity or platform.devices.find(name)


def _keys(
    platform: Platform,
    scenario: Scenario,
    analytics: Analytics,
    view: JobView | None,
    holders: Iterable[Asset | Device | None],
) -> tuple[str, ...]:
    """The keys of the results; those of a function as the job and the platform know them."""
    found: dict[str, None] = {}
    if analytics.function is not None:
        found |= dict.fromkeys(view.function_keys(analytics.name) if view is not None else ())
        for entity in holders:
            found |= dict.fromkeys(sorted(platform.telemetry.keys(entity)) if entity is not None else ())
    return scenario.keys_of(analytics, found)


def _posted(
    platform: Platform,
    analytics: Analytics,
    entity: Asset | Device | None,
    keys: Sequence[str],
    begin_ms: int,
    end_ms: int,
) -> dict[str, dict[int, float]]:
    """By key and window end: the results."""
    found: dict[str, dict[int, float]] = {key: {} for key in keys}
    if entity is None:
        return found
    shift_ms = analytics.window_ms if analytics.ts == "start" else 0
    for key, values in found.items():
        for point in platform.telemetry.range(entity, key, begin_ms + 1 - shift_ms, end_ms + 1):
            if isinstance(point.value, int | float):
                values[point.ts_ms + shift_ms] = float(point.value)
    return found


def _series(
    scenario: Scenario,
    analytics: Analytics,
    group: tuple[str, ...] | None,
    topic: TopicReadings,
    posted: Mapping[str, Mapping[int, float]],
) -> Iterator[Series]:
    windows = dict(topic.windows(analytics, group)) if group is not None else {}
    devices = scenario.groups(analytics).get(group, []) if group is not None else []
    for key in posted:
        aggregate = analytics.telemetry.get(key)
        found = []
        for end in sorted(windows.keys() | posted[key].keys()):
            readings, value = windows.get(end), posted[key].get(end)
            if readings is None:
                found.append(WindowFacts(end, value, 0, None, None, None))
                continue
            if aggregate is None:
                found.append(WindowFacts(end, value, readings.count, None, None, None))
                continue
            low, high = (_is_like_readings(aggregate) and readings.extent(aggregate.key)) or (None, None)
            computed = readings.result(aggregate)
            found.append(WindowFacts(end, value, readings.count, low, high, computed, tolerance(aggregate)))
        of_key = aggregate.key if aggregate is not None and _is_like_readings(aggregate) else None
        bands = bands_of(devices, of_key) if of_key is not None else ()
        title = scenario.result_title(analytics, key)
        yield Series(key, title, bands, tuple(found), is_recomputed=aggregate is not None)


def _is_like_readings(aggregate: Aggregate) -> bool:
    """Whether a result lies between the lowest and the highest of its readings."""
    return aggregate.function in ("mean", "min", "max", "first", "last") or aggregate.percentile is not None


def _facts(scenario: Scenario, analytics: Analytics, groups: Sequence[GroupFacts], left_out: int) -> AnalyticsFacts:
    return AnalyticsFacts(
        name=analytics.name,
        group=scenario.group_word(analytics),
        groups_word=scenario.group_word(analytics, 2),
        result=scenario.result_word(analytics),
        results_word=scenario.result_word(analytics, 2),
        window_ms=analytics.window_ms,
        slide_ms=analytics.slide_ms,
        groups=tuple(groups),
        groups_left_out=left_out,
    )


def _readings(topic: TopicReadings, analytics: Sequence[Analytics], found: Sequence[AnalyticsFacts]) -> int:
    """Records that count in the groups shown; those of the analytics that shows most of them."""
    counts = []
    for each in analytics:
        shown = {group.name for facts in found if facts.name == each.name for group in facts.groups}
        slides = topic.slides[each.name]
        counts.append(
            sum(
                readings.count
                for group, parts in slides.items()
                if each.entity_name(group) in shown
                for readings in parts.values()
            )
        )
    return max(counts, default=0)


def _job(view: JobView, topic: TopicReadings, ends: Mapping[int, int], begin_ms: int, step_ms: int) -> Job:
    counts: Counter[tuple[int, str]] = Counter()
    for record in view.invalid_records():
        if record.timestamp_ms is not None and record.timestamp_ms >= begin_ms:
            counts[(record.timestamp_ms // step_ms + 1) * step_ms, record.reason] += 1
    return Job(
        folder=str(view.folder),
        target=view.identity.target,
        running=view.is_running,
        lag=_lag(view, ends),
        batches=topic.batches(),
        rejects=tuple(InvalidRecords(end, reason, count) for (end, reason), count in sorted(counts.items())),
        skipped_until_ms=topic.skipped_until_ms,
    )


def bands_of(devices: Iterable[DeviceSpec], key: str) -> tuple[Band, ...]:
    """One band per device that sends `key`. Devices with the same range share one band, named after the first."""
    names: dict[tuple[float, float], list[str]] = {}
    for device in devices:
        if key in device.telemetry and (extent := range_of(device.telemetry[key], key)) is not None:
            names.setdefault(extent, []).append(device.name)
    return tuple(
        Band(some[0] if len(some) == 1 else f"{some[0]} and {len(some) - 1} more", low, high)
        for (low, high), some in names.items()
    )
