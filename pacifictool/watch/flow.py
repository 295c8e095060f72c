"""The way from turbine to asset as hops with flows between them, and one sentence on whether the data moves."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pacifictool.watch.model import WAITING, Flow, Hop, JobState, PlatformState, TopicState, Verdict, VerdictCode

FLOWING, STILL, UNKNOWN = "flowing", "still", "unknown"
BEHIND_SECONDS: Final = 30.0
"""A job whose lag amounts to more than this many seconds of records does not keep up."""


def hops_of(
    platform: PlatformState, topic: TopicState, job: JobState, lag: int | None, *, now_ms: int, window_ms: int
) -> tuple[Hop, ...]:
    """Turbines, platform, topic, job, assets."""
    return (
        _turbines(platform),
        _platform(platform),
        _topic(topic),
        _job(job, lag),
        _assets(platform, now_ms, window_ms),
    )


def flows_of(
    platform: PlatformState, topic: TopicState, job: JobState, *, now_ms: int, window_ms: int
) -> tuple[Flow, ...]:
    """What goes from each hop to the next."""
    # From what is on the platform, so that it is known of a job on another machine, too.
    span_ms = max(60_000, 3 * window_ms)
    share = platform.zones_total / len(platform.zones) if platform.zones else 1.0
    fresh = [zone for zone in platform.zones if zone.is_fresh(now_ms, window_ms)]
    found = sum(zone.means_since(now_ms - span_ms) for zone in fresh)
    means = None if platform.unknown is not None else found * share * 60_000 / span_ms
    return (
        Flow(platform.rate, "readings/s", platform.is_estimate),
        Flow(topic.rate, "records/s"),
        Flow(job.rate, "records/s"),
        Flow(means, "means/min", share > 1),
    )


def _turbines(platform: PlatformState) -> Hop:
    title = "Turbines"
    if platform.reporting is None:
        return Hop("turbines", title, "?", "readings are seen on the platform", UNKNOWN, platform.unknown)
    about = "≈ " if platform.is_estimate else ""
    figure = f"{about}{platform.reporting:,} of {platform.devices_total:,}"
    return Hop("turbines", title, figure, "publish readings", FLOWING if platform.reporting else STILL)


def _platform(platform: PlatformState) -> Hop:
    place = urlsplit(platform.url).netloc
    if platform.unknown is not None:
        return Hop("platform", "Platform", "?", place, UNKNOWN, platform.unknown)
    figure = platform.generation or "?"
    return Hop("platform", "Platform", figure, place, FLOWING if platform.rate else STILL)


def _topic(topic: TopicState) -> Hop:
    if topic.unknown is not None:
        return Hop("topic", "Kafka topic", "?", topic.name, UNKNOWN, topic.unknown)
    figure = _short(sum(topic.ends.values()))
    return Hop("topic", "Kafka topic", figure, topic.name, FLOWING if topic.rate else STILL)


def _job(job: JobState, lag: int | None) -> Hop:
    if job.unknown is not None:
        return Hop("job", "Spark job", "?", "windowed means", UNKNOWN, job.unknown)
    parts = ["lag not known" if lag is None else f"lag {lag:,}"]
    rejects = sum(job.rejects.values())
    parts.append(f"{rejects:,} reject{'' if rejects == 1 else 's'}")
    return Hop("job", "Spark job", job.state, " · ".join(parts), FLOWING if job.is_running else STILL)


def _assets(platform: PlatformState, now_ms: int, window_ms: int) -> Hop:
    title = "Assets"
    if platform.unknown is not None:
        return Hop("assets", title, "?", "one mean per zone and window", UNKNOWN, platform.unknown)
    fresh = sum(zone.is_fresh(now_ms, window_ms) for zone in platform.zones)
    figure = f"{fresh:,} of {len(platform.zones):,}"
    return Hop("assets", title, figure, "zones have a fresh mean", FLOWING if fresh else STILL)


def verdict_of(
    platform: PlatformState, topic: TopicState, job: JobState, lag: int | None, *, now_ms: int, window_ms: int
) -> Verdict:
    """Whether the data moves from end to end; if not, the first place where it stops, and what to do."""
    if platform.unknown == WAITING:
        return Verdict(VerdictCode.WAITING, "Waiting for the platform to respond …")
    if platform.unknown is not None:
        return Verdict(VerdictCode.UNKNOWN, "The platform cannot be asked.")
    if not platform.devices_total:
        return Verdict(
            VerdictCode.NO_TURBINES, "There are no turbines on the platform; `pacifictool setup` creates them."
        )
    if not platform.rate:
        return Verdict(VerdictCode.NO_READINGS, "No turbine publishes; `pacifictool simulate` starts them.")
    if topic.unknown is not None:
        return Verdict(VerdictCode.TOPIC_UNKNOWN, "Readings reach the platform; whether they go on is unknown.")
    if topic.rate == 0:
        return Verdict(
            VerdictCode.NO_RECORDS,
            "Readings reach the platform, but none gets into the Kafka topic; `pacifictool trace` finds out why.",
        )
    fresh = [zone for zone in platform.zones if zone.is_fresh(now_ms, window_ms)]
    if job.is_running is False:
        return Verdict(
            VerdictCode.JOB_STOPPED,
            "Readings reach the Kafka topic, but the job has stopped; `pacifictool aggregate` resumes it.",
        )
    if job.is_running is None and not fresh:
        return Verdict(VerdictCode.NO_MEANS, "Readings reach the Kafka topic, but no mean comes back.")
    if lag and topic.rate and lag > BEHIND_SECONDS * topic.rate + topic.rate * window_ms / 1000:
        return Verdict(VerdictCode.JOB_BEHIND, f"The job is behind: {lag:,} records wait to be counted.")
    if not fresh:
        return Verdict(VerdictCode.FIRST_WINDOW, "The job counts; the first means come with the end of the window.")
    missing = len(platform.zones) - len(fresh)
    if missing:
        stale = next(zone.name for zone in platform.zones if zone not in fresh)
        more = f" and {missing - 1} more" if missing > 1 else ""
        return Verdict(VerdictCode.MOVES_IN_PART, f"Data moves from end to end, but {stale}{more} has no fresh mean.")
    return Verdict(VerdictCode.MOVES, "Data moves from end to end.")


def _short(number: int) -> str:
    """4,711 · 47.1 k · 4.7 M: what fits under a title."""
    for limit, size, unit in ((10_000, 1, ""), (1_000_000, 1_000, " k"), (10**9, 10**6, " M")):
        if number < limit:
            return f"{number:,}" if size == 1 else f"{number / size:.1f}{unit}"
    return f"{number / 10**9:.1f} G"
