"""The data flow from devices to results as hops with flows between them, and a verdict on whether the data moves."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pacifictool.scenario.names import capitalised
from pacifictool.watch.described import Description
from pacifictool.watch.model import AnalyticsView, FlowView, GroupView, HopView, PlatformState, Verdict
from pacifictool.watch.model import VerdictCode as Code
from pacifictool.watch.states import WAITING, JobState, WatchedTopicState

FLOWING, STILL, UNKNOWN = "flowing", "still", "unknown"
BEHIND_SECONDS: Final = 30.0
"""A job with a lag of more than this many seconds of records (and one window) does not keep up."""
_TO_THE_TOPIC_SECONDS: Final = 3.0
"""A reading that the platform has had for this long is in the topic, if readings are forwarded."""


def hops_of(
    platform: PlatformState,
    topic: WatchedTopicState,
    job: JobState,
    lag: int | None,
    *,
    now_ms: int,
    words: Description,
) -> tuple[HopView, ...]:
    """Devices, platform, topic, job, results."""
    return (
        _devices(platform, words),
        _platform(platform),
        _topic(topic),
        _job(job, lag, words),
        _results(platform, now_ms, words),
    )


def flows_of(
    platform: PlatformState, topic: WatchedTopicState, job: JobState, *, now_ms: int, words: Description
) -> tuple[FlowView, ...]:
    """The flow from each hop to the next."""
    # Counted on the platform, so that the rate is also known for a job on another machine.
    results, is_estimate = 0.0, False
    for each in platform.analytics:
        span_ms = max(60_000, 3 * each.described.slide_ms)
        share = each.groups_total / len(each.groups) if each.groups else 1.0
        found = sum(group.results_since(now_ms - span_ms) for group in each.fresh(now_ms))
        results += found * share * 60_000 / span_ms
        is_estimate |= share > 1
    return (
        FlowView(platform.rate, "readings/s", platform.is_estimate),
        FlowView(topic.rate, "records/s"),
        FlowView(job.rate, "records/s"),
        FlowView(None if platform.unknown is not None else results, f"{words.results}/min", is_estimate),
    )


def _devices(platform: PlatformState, words: Description) -> HopView:
    title = capitalised(words.devices)
    if platform.reporting is None:
        return HopView("devices", title, "?", "readings are counted on the platform", UNKNOWN, platform.unknown)
    about = "≈ " if platform.is_estimate else ""
    figure = f"{about}{platform.reporting:,} of {platform.devices_total:,}"
    return HopView("devices", title, figure, "publish readings", FLOWING if platform.reporting else STILL)


def _platform(platform: PlatformState) -> HopView:
    place = urlsplit(platform.url).netloc
    if platform.unknown is not None:
        return HopView("platform", "Platform", "?", place, UNKNOWN, platform.unknown)
    figure = platform.generation or "?"
    return HopView("platform", "Platform", figure, place, FLOWING if platform.rate else STILL)


def _topic(topic: WatchedTopicState) -> HopView:
    if topic.unknown is not None:
        return HopView("topic", "Kafka topic", "?", topic.name, UNKNOWN, topic.unknown)
    figure = _short(sum(topic.ends.values()))
    return HopView("topic", "Kafka topic", figure, topic.name, FLOWING if topic.rate else STILL)


def _job(job: JobState, lag: int | None, words: Description) -> HopView:
    if job.unknown is not None:
        return HopView("job", "Spark job", "?", f"windowed {words.results}", UNKNOWN, job.unknown)
    parts = ["lag not known" if lag is None else f"lag {lag:,}"]
    rejects = sum(job.rejects.values())
    parts.append(f"{rejects:,} invalid record{'' if rejects == 1 else 's'}")
    if job.function_failures:
        parts.append(f"{job.function_failures:,} function failure{'' if job.function_failures == 1 else 's'}")
    return HopView(
        "job",
        "Spark job",
        "starting" if _is_starting(job, lag) else job.state,
        " · ".join(parts),
        FLOWING if job.is_running else STILL,
    )


def _results(platform: PlatformState, now_ms: int, words: Description) -> HopView:
    title = capitalised(words.entities)
    if platform.unknown is not None:
        group = words.analytics[0].group if len(words.analytics) == 1 else "group"
        return HopView("results", title, "?", f"one {words.result} per {group} and window", UNKNOWN, platform.unknown)
    fresh = platform.fresh(now_ms)
    figure = f"{fresh:,} of {platform.groups:,}"
    return HopView("results", title, figure, f"{words.groups} have a fresh {words.result}", FLOWING if fresh else STILL)


def verdict_of(
    platform: PlatformState,
    topic: WatchedTopicState,
    job: JobState,
    lag: int | None,
    *,
    now_ms: int,
    words: Description,
) -> Verdict:
    """Whether the data flows from end to end; if not, the first place where it stops, and the command that helps."""
    has_fresh = platform.fresh(now_ms) > 0
    rate = topic.rate or 0.0
    if platform.unknown == WAITING:
        return Verdict(Code.WAITING, "Waiting for the first response …")
    if platform.unknown is not None:
        return Verdict(Code.PLATFORM_UNKNOWN, "The platform does not respond.")
    if not platform.devices_total:
        text = f"There are no {words.devices} on the platform; `pacifictool setup` creates them."
        return Verdict(Code.NO_DEVICES, text)
    if not platform.rate:
        return Verdict(Code.NO_READINGS, f"No {words.device} publishes; `pacifictool simulate` starts them.")
    if topic.unknown is not None:
        return Verdict(Code.TOPIC_UNKNOWN, "Readings reach the platform; the rest of the data flow is not known.")
    # Rates are means over seconds: when the last reading has come, one of them falls to zero before the other.
    if topic.rate == 0 and topic.still_seconds > platform.silent_seconds + _TO_THE_TOPIC_SECONDS:
        text = "Readings reach the platform, but not the Kafka topic; `pacifictool trace` finds out why."
        return Verdict(Code.NOT_FORWARDED, text)
    if job.is_running is False:
        text = "Readings reach the Kafka topic, but the job has stopped; `pacifictool aggregate` continues it."
        return Verdict(Code.JOB_STOPPED, text)
    if _is_starting(job, lag):
        return Verdict(Code.JOB_STARTING, "The job is starting: Spark takes some seconds before it reads the topic.")
    if not words.analytics:
        return Verdict(Code.FLOWING, "Readings reach the Kafka topic; the scenario has no analytics.")
    if job.is_running is None and not has_fresh:
        return Verdict(Code.NO_RESULTS, f"Readings reach the Kafka topic, but no {words.result} comes back.")
    shortest_seconds = min(each.slide_ms for each in words.analytics) / 1000
    if lag and rate and lag > rate * (BEHIND_SECONDS + shortest_seconds):
        return Verdict(Code.JOB_BEHIND, f"The job is behind: {lag:,} records wait to be counted.")
    if not has_fresh:
        text = f"The job counts; the first {words.results} come with the end of the window."
        return Verdict(Code.FIRST_WINDOW, text)
    stale = [(each, group) for each in platform.analytics for group in _stale(each, now_ms)]
    if stale:
        view, first = stale[0]
        more = f" and {len(stale) - 1:,} more" if len(stale) > 1 else ""
        owner = f" of {view.described.name}" if len(words.analytics) > 1 else ""
        text = f"Data moves from end to end, but {first.name}{more} has no fresh {view.described.result}{owner}."
        return Verdict(Code.GROUPS_STALE, text)
    return Verdict(Code.FLOWING, "Data moves from end to end.")


def _is_starting(job: JobState, lag: int | None) -> bool:
    """Whether records wait for a job that has not read the topic yet."""
    return job.is_starting and lag != 0


def _stale(view: AnalyticsView, now_ms: int) -> list[GroupView]:
    """The groups without a recent result; none of an analytics whose first window has not ended yet."""
    if not any(group.results for group in view.groups):
        return []
    return [
        group
        for group in view.groups
        if group.unknown != WAITING and not group.is_fresh(now_ms, view.described, view.round_ms)
    ]


def _short(number: int) -> str:
    """A short form, for example 4,711 or 47.1 k or 4.7 M."""
    for limit, size, unit in ((10_000, 1, ""), (1_000_000, 1_000, " k"), (10**9, 10**6, " M")):
        if number < limit:
            return f"{number:,}" if size == 1 else f"{number / size:.1f}{unit}"
    return f"{number / 10**9:.1f} G"
