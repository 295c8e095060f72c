"""The data flow from turbine to asset as hops with flows between them, and a verdict on whether the data moves."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pacifictool.watch.model import WAITING, FlowView, HopView, JobState, PlatformState, Verdict, WatchedTopicState
from pacifictool.watch.model import VerdictCode as Code

FLOWING, STILL, UNKNOWN = "flowing", "still", "unknown"
BEHIND_SECONDS: Final = 30.0
"""A job with a lag of more than this many seconds of records (and one window) does not keep up."""


def hops_of(
    platform: PlatformState, topic: WatchedTopicState, job: JobState, lag: int | None, *, now_ms: int, window_ms: int
) -> tuple[HopView, ...]:
    """Turbines, platform, topic, job, assets."""
    return (
        _turbines(platform),
        _platform(platform),
        _topic(topic),
        _job(job, lag),
        _assets(platform, now_ms, window_ms),
    )


def flows_of(
    platform: PlatformState, topic: WatchedTopicState, job: JobState, *, now_ms: int, window_ms: int
) -> tuple[FlowView, ...]:
    """The flow from each hop to the next."""
    # Counted on the platform, so that the rate is also known for a job on another machine.
    span_ms = max(60_000, 3 * window_ms)
    share = platform.zones_total / len(platform.zones) if platform.zones else 1.0
    fresh = [zone for zone in platform.zones if zone.is_fresh(now_ms, window_ms)]
    found = sum(zone.means_since(now_ms - span_ms) for zone in fresh)
    means = None if platform.unknown is not None else found * share * 60_000 / span_ms
    return (
        FlowView(platform.rate, "readings/s", platform.is_estimate),
        FlowView(topic.rate, "records/s"),
        FlowView(job.rate, "records/s"),
        FlowView(means, "means/min", share > 1),
    )


def _turbines(platform: PlatformState) -> HopView:
    title = "Turbines"
    if platform.reporting is None:
        return HopView("turbines", title, "?", "readings are counted on the platform", UNKNOWN, platform.unknown)
    about = "≈ " if platform.is_estimate else ""
    figure = f"{about}{platform.reporting:,} of {platform.devices_total:,}"
    return HopView("turbines", title, figure, "publish readings", FLOWING if platform.reporting else STILL)


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


def _job(job: JobState, lag: int | None) -> HopView:
    if job.unknown is not None:
        return HopView("job", "Spark job", "?", "windowed means", UNKNOWN, job.unknown)
    parts = ["lag not known" if lag is None else f"lag {lag:,}"]
    rejects = sum(job.rejects.values())
    parts.append(f"{rejects:,} invalid record{'' if rejects == 1 else 's'}")
    return HopView("job", "Spark job", job.state, " · ".join(parts), FLOWING if job.is_running else STILL)


def _assets(platform: PlatformState, now_ms: int, window_ms: int) -> HopView:
    title = "Assets"
    if platform.unknown is not None:
        return HopView("assets", title, "?", "one mean per zone and window", UNKNOWN, platform.unknown)
    fresh = sum(zone.is_fresh(now_ms, window_ms) for zone in platform.zones)
    figure = f"{fresh:,} of {len(platform.zones):,}"
    return HopView("assets", title, figure, "zones have a fresh mean", FLOWING if fresh else STILL)


def verdict_of(
    platform: PlatformState, topic: WatchedTopicState, job: JobState, lag: int | None, *, now_ms: int, window_ms: int
) -> Verdict:
    """Whether the data flows from end to end; if not, the first place where it stops, and the command that helps."""
    fresh = [zone for zone in platform.zones if zone.is_fresh(now_ms, window_ms)]
    rate = topic.rate or 0.0
    if platform.unknown == WAITING:
        return Verdict(Code.WAITING, "Waiting for the first response …")
    if platform.unknown is not None:
        return Verdict(Code.PLATFORM_UNKNOWN, "The platform does not respond.")
    if not platform.devices_total:
        return Verdict(Code.NO_DEVICES, "There are no turbines on the platform; `pacifictool setup` creates them.")
    if not platform.rate:
        return Verdict(Code.NO_READINGS, "No turbine publishes; `pacifictool simulate` starts them.")
    if topic.unknown is not None:
        return Verdict(Code.TOPIC_UNKNOWN, "Readings reach the platform; the rest of the data flow is not known.")
    if topic.rate == 0:
        text = "Readings reach the platform, but not the Kafka topic; `pacifictool trace` finds out why."
        return Verdict(Code.NOT_FORWARDED, text)
    if job.is_running is False:
        text = "Readings reach the Kafka topic, but the job has stopped; `pacifictool aggregate` continues it."
        return Verdict(Code.JOB_STOPPED, text)
    if job.is_running is None and not fresh:
        return Verdict(Code.NO_MEANS, "Readings reach the Kafka topic, but no mean comes back.")
    if lag and rate and lag > rate * (BEHIND_SECONDS + window_ms / 1000):
        return Verdict(Code.JOB_BEHIND, f"The job is behind: {lag:,} records wait to be counted.")
    if not fresh:
        return Verdict(Code.FIRST_WINDOW, "The job counts; the first means come with the end of the window.")
    stale = [zone.name for zone in platform.zones if zone not in fresh]
    if stale:
        more = f" and {len(stale) - 1} more" if len(stale) > 1 else ""
        return Verdict(Code.ZONES_STALE, f"Data moves from end to end, but {stale[0]}{more} has no fresh mean.")
    return Verdict(Code.FLOWING, "Data moves from end to end.")


def _short(number: int) -> str:
    """A short form, for example 4,711 or 47.1 k or 4.7 M."""
    for limit, size, unit in ((10_000, 1, ""), (1_000_000, 1_000, " k"), (10**9, 10**6, " M")):
        if number < limit:
            return f"{number:,}" if size == 1 else f"{number / size:.1f}{unit}"
    return f"{number / 10**9:.1f} G"
