"""The targets, and whether a run meets them: one row each, also for what this run did not measure."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.rivals import CATALOGUE, COMMAND, FLINK, LIMIT, LIMIT_FUNCTIONS, OURS, POLARS, READING
from benchmarks.rounds import COLD, WARM
from benchmarks.stages import DISTINCT, FEW, FUNCTIONS, MANY, MOST

REASONS = Path(__file__).with_name("reasons.toml")
"""Why a target is missed, and why one is not measured, by key: written by people, shown in that case only."""
JAVA_TWO_CORES, READING_PUBLISHED = 983_000, 1_200_000
"""Records per second of the job that the tutorial starts from (Spark 3.5 DStreams, Jackson) with `local[2]`, and of
Spark 4.2 reading only, warm: published for another machine of two cores. Reading here ÷ reading there is what one of
its records per second is worth here."""
STAGES_OF = {
    "stream": ("peers", "functions"),
    "many groups": ("groups",),
    "start and total": ("peers", "start", "demo"),
    "simulation": ("simulation",),
    "delivery": ("delivery",),
}
"""The stages that a part's targets are measured in."""
RATE, CPU, PEAK, TOTAL = "per_second", "cpu_seconds_per_million", "peak_mb", "total_seconds"

Stages = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What a run found for a target. Ratios are above 1 where ours is ahead, whatever is measured."""

    value: float
    to_best_peer: float | None = None
    best_peer: str = ""
    to_limit: float | None = None


@dataclass(frozen=True)
class Target:
    """What is wanted of the numbers."""

    key: str
    """For reasons.toml."""
    part: str
    name: str
    sense: Literal["at least", "at most"]
    bar: float
    find: Callable[[Stages], Found | None]
    of_full_size: bool = True
    """Whether it only holds for a run of the full size."""


def target_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per target: what is wanted, what was measured, and the verdict with its reason."""
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    full = document["settings"]["records"] >= 5_000_000
    rows = []
    for target in TARGETS:
        try:
            found = target.find(document["stages"])
        except KeyError:  # the stage, or an engine of it, did not run or failed
            found = None
        row = {"key": target.key, "part": target.part, "name": target.name, "sense": target.sense, "bar": target.bar}
        reason = reasons.get(target.key, "")
        if found is None:
            rows.append(
                {
                    **row,
                    "value": None,
                    "verdict": "not measured",
                    "reason": _why_not(target, document["stages"], reason),
                }
            )
            continue
        met = found.value >= target.bar if target.sense == "at least" else found.value <= target.bar
        verdict = "met" if met else "missed"
        reason = reason or f"no reason in benchmarks/{REASONS.name} yet"
        if target.of_full_size and not full:
            verdict, reason = "not compared", f"{verdict} with fewer records than the target is for"
        rows.append({**row, **vars(found), "verdict": verdict, "reason": "" if verdict == "met" else reason})
    return rows


def _why_not(target: Target, stages: Stages, reason: str) -> str:
    if target.key in NEVER_HERE:
        return reason
    failures = []
    for name in STAGES_OF[target.part]:
        stage = stages.get(name, {})
        if isinstance(stage.get("failed"), str):
            failures.append(f"{name}: {stage['failed']}")
        for found in stage.values():
            if isinstance(found, Mapping) and isinstance(found.get("failed"), Mapping):
                failures += [f"{engine}: {why}" for engine, why in found["failed"].items()]
    return "failed: " + "; ".join(failures)[:200] if failures else "not part of this run"


def comparison(stages: Stages, name: str) -> Mapping[str, Any]:
    """A comparison of engines by its name. Raises KeyError unless it was measured."""
    for stage in ("peers", "groups", "functions"):
        if name in stages.get(stage, {}):
            found: Mapping[str, Any] = stages[stage][name]
            return found
    raise KeyError(name)


def measure_of(found: Mapping[str, Any], engine: str, phase: str, measure: str) -> float:
    """A median. An engine that went over the topic once has only that pass, and is compared by it."""
    phases = found["engines"][engine]
    return float((phases.get(phase) or phases[COLD])[measure]["median"])


def standing(found: Mapping[str, Any], phase: str, measure: str, ours: str = OURS, limit: str = LIMIT) -> Found:
    """Ours, next to the best peer and to the limit. Ratios of rates are medians of the rounds' own."""
    value = measure_of(found, ours, phase, measure)
    higher = measure == RATE

    def ratio(other: str) -> float:
        if higher and ours == OURS:
            return float(found["ours_to"][phase][other]["median"])
        theirs = measure_of(found, other, phase, measure)
        return value / theirs if higher else theirs / value

    peers = {
        name: ratio(name)
        for name in found["engines"]
        if CATALOGUE[name].kind == "peer" and not (measure == TOTAL and CATALOGUE[name].share)
    }
    best = min(peers, key=lambda name: peers[name]) if peers else ""
    return Found(value, peers.get(best), best, ratio(limit) if limit in found["engines"] else None)


def _of(name: str, phase: str, measure: str, ours: str = OURS) -> Callable[[Stages], Found]:
    return lambda stages: standing(comparison(stages, name), phase, measure, ours)


def _ratio(name: str, phase: str, *others: str) -> Callable[[Stages], Found | None]:
    """Our rate to the best of the others."""

    def find(stages: Stages) -> Found | None:
        found = comparison(stages, name)
        ratios = [found["ours_to"][phase][other]["median"] for other in others if other in found["ours_to"][phase]]
        if not ratios:
            return None
        limit = LIMIT_FUNCTIONS if name == FUNCTIONS else LIMIT
        place = standing(found, phase, RATE, limit=limit)
        return Found(min(ratios), place.to_best_peer, place.best_peer, place.to_limit)

    return find


def _to_java_job(stages: Stages) -> Found:
    found = comparison(stages, FEW)
    scale = measure_of(found, READING, WARM, RATE) / READING_PUBLISHED
    return Found(measure_of(found, OURS, COLD, RATE) / (JAVA_TWO_CORES * scale))


def _total_to_polars(stages: Stages) -> Found:
    found = comparison(stages, FEW)
    place = standing(found, COLD, TOTAL, COMMAND)
    ratio = measure_of(found, POLARS, COLD, TOTAL) / place.value
    return Found(ratio, place.to_best_peer, place.best_peer, place.to_limit)


def _median(stage: str, *path: str) -> Callable[[Stages], Found]:
    def find(stages: Stages) -> Found:
        found = stages[stage]
        for name in path:
            found = found[name]
        return Found(found["median"])

    return find


def _devices(stages: Stages) -> Found:
    rates = {run["devices"]: run["per_second"] for run in stages["simulation"]["devices"]}
    return Found(rates[10_000] / rates[1_000])


def _steady(measure: str) -> Callable[[Stages], Found]:
    def find(stages: Stages) -> Found:
        return Found(max(stages["simulation"]["steady"], key=lambda run: run["devices"])[measure])

    return find


def _crowd(measure: str) -> Callable[[Stages], Found]:
    def find(stages: Stages) -> Found:
        return Found(stages["simulation"]["crowd"][measure])

    return find


def _to_ceiling(generation: str) -> Callable[[Stages], Found]:
    def find(stages: Stages) -> Found:
        ratio = stages["delivery"][generation]["to_ceiling"]["median"]
        return Found(ratio, to_limit=ratio)

    return find


def _nothing(_: Stages) -> None:
    return None


NEVER_HERE = {"suite"}
"""Keys of targets that `make bench` does not measure."""

TARGETS = (
    Target("stream_warm", "stream", "rate to hand-written sum, warm", "at least", 0.8, _ratio(FEW, WARM, LIMIT)),
    Target("stream_cold", "stream", "rate to hand-written sum, cold", "at least", 0.8, _ratio(FEW, COLD, LIMIT)),
    Target("stream_flink", "stream", "rate to Flink DataStream, warm", "at least", 4, _ratio(FEW, WARM, FLINK)),
    Target(
        "functions", "stream", "four keys, six functions: rate to a loop that does the same, warm", "at least", 0.6,
        _ratio(FUNCTIONS, WARM, LIMIT_FUNCTIONS),
    ),
    Target("stream_cpu", "stream", "processor seconds per million, warm", "at most", 0.8, _of(FEW, WARM, CPU)),
    Target("stream_memory", "stream", "peak memory, MB", "at most", 600, _of(FEW, WARM, PEAK)),
    Target(
        "decimals_warm", "stream", "six decimals: rate to hand-written sum, warm", "at least", 0.8,
        _ratio(DISTINCT, WARM, LIMIT),
    ),
    Target("java_job", "stream", "rate to the tutorial's Java job (scaled), cold", "at least", 1, _to_java_job),
    Target(
        "many", "many groups", "10,000 groups: rate to the better of Flink and polars, warm", "at least", 1.5,
        _ratio(MANY, WARM, FLINK, POLARS),
    ),
    Target(
        "many_cold", "many groups", "10,000 groups: rate to the better of Flink and polars, cold", "at least", 1.5,
        _ratio(MANY, COLD, FLINK, POLARS),
    ),
    Target("most", "many groups", "100,000 groups: records/s", "at least", 8 * 12_700, _of(MOST, COLD, RATE)),
    Target("most_memory", "many groups", "100,000 groups: peak memory, MB", "at most", 1_200, _of(MOST, COLD, PEAK)),
    Target(
        "total", "start and total", "5 M records, command to last mean, s", "at most", 10,
        _of(FEW, COLD, TOTAL, COMMAND),
    ),
    Target("total_polars", "start and total", "the same, polars' time to ours", "at least", 1, _total_to_polars),
    Target(
        "first_batch", "start and total", "command to first batch, s", "at most", 3,
        _median("start", "first_batch_seconds"), of_full_size=False,
    ),
    Target(
        "small_batch", "start and total", "small batch, trigger to done, s", "at most", 0.3,
        _median("start", "batch_seconds"), of_full_size=False,
    ),
    Target(
        "demo", "start and total", "`demo`, installed to first mean on screen, s", "at most", 20,
        _median("demo", "first_mean_seconds"), of_full_size=False,
    ),
    Target(
        "devices_10k", "simulation", "rate at 10,000 devices to rate at 1,000", "at least", 0.95, _devices,
        of_full_size=False,
    ),
    Target(
        "paho_0", "simulation", "simulate to paho, QoS 0, per core", "at least", 5,
        _median("simulation", "ours_to_paho", "QoS 0, per_cpu_second"), of_full_size=False,
    ),
    Target(
        "paho_1", "simulation", "simulate to paho, QoS 1, per core", "at least", 3,
        _median("simulation", "ours_to_paho", "QoS 1, per_cpu_second"), of_full_size=False,
    ),
    Target("devices", "simulation", "devices connected", "at least", 10_000, _steady("devices"), of_full_size=False),
    Target("steady", "simulation", "messages/s kept, QoS 1", "at least", 9_900, _steady("per_second")),
    Target("lag", "simulation", "lag behind the schedule, p99, ms", "at most", 100, _steady("lag_p99_ms")),
    Target("device_memory", "simulation", "memory per device, KB", "at most", 20, _steady("kb_per_device")),
    Target("crowd", "simulation", "devices on one machine, several processes", "at least", 100_000, _crowd("devices")),
    Target("crowd_rate", "simulation", "the same: messages/s kept, QoS 1", "at least", 9_900, _crowd("per_second")),
    Target("crowd_lost", "simulation", "the same: readings lost", "at most", 0, _crowd("lost")),
    Target("delivery_4", "delivery", "10,000 means to 4.x, to its ceiling", "at least", 0.9, _to_ceiling("4.x")),
    Target("delivery_1", "delivery", "10,000 means to 1.x, to its ceiling", "at least", 0.9, _to_ceiling("1.x")),
    Target("suite", "suite", "default test suite, minutes", "at most", 10, _nothing),
)  # fmt: skip
