"""The targets for the numbers, and whether they are met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.rivals import OURS, READING
from benchmarks.stages import HEADLINES, ONE_CORE

JAVA_ONE_CORE, JAVA_TWO_CORES, READING_PUBLISHED = 631_000, 983_000, 1_200_000
"""Records per second of the job that the tutorial starts from (Spark 3.5 DStreams, Jackson), with `local` and
`local[2]`, and of Spark 4.2 reading only with `local[2]`, warm: published for another machine of two cores. Reading
here ÷ reading there is what one of its records per second is worth here."""
DISTINCT_SHARE = 0.8
BEST_PEER = {False: 8.0, True: 5.0}
FIRST_BATCH_SECONDS, BATCH_SECONDS = 8.0, 0.3


def check_bars(stages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry per bar for which the stages have numbers: name, value, bar, whether it is met."""
    bars: list[dict[str, Any]] = []

    def at_least(name: str, value: float, bar: float) -> None:
        bars.append({"name": name, "value": value, "bar": bar, "met": value >= bar, "sense": "at least"})

    def at_most(name: str, value: float, bar: float) -> None:
        bars.append({"name": name, "value": value, "bar": bar, "met": value <= bar, "sense": "at most"})

    for name, value, bar in _aggregation(stages.get("engines", {})):
        at_least(name, value, bar)
    if "start" in stages:
        at_most("command to first batch, s", stages["start"]["first_batch_seconds"]["median"], FIRST_BATCH_SECONDS)
        at_most("small batch, trigger to done, s", stages["start"]["batch_seconds"]["median"], BATCH_SECONDS)
    if "simulation" in stages:
        simulation = stages["simulation"]
        for qos, bar in ((0, 5.0), (1, 3.0)):
            ratio = simulation["ours_to_paho"][f"QoS {qos}, per_cpu_second"]["median"]
            at_least(f"simulate ÷ paho, QoS {qos}, per core", ratio, bar)
        most = max(simulation["steady"], key=lambda run: run["devices"])
        at_least("devices connected", most["devices"], 10_000)
        at_least("messages/s kept, QoS 1", most["per_second"], 0.99 * 10_000)
        at_most("lag behind the schedule, p99, ms", most["lag_p99_ms"], 100)
        at_most("memory per device, KB", most["kb_per_device"], 20)
    return bars


def _aggregation(engines: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    for headline in HEADLINES:
        found = engines.get(headline.name)
        if found is None:
            continue
        rates = {name: measures["per_second"]["median"] for name, measures in found["engines"].items()}
        scale = rates[f"{READING}, warm"] / READING_PUBLISHED
        share = DISTINCT_SHARE if headline.distinct else 1.0
        kind = "six decimals" if headline.distinct else "whole numbers"
        for phase in ("cold", "warm"):
            ratio = found["ours_to_best_peer"][phase]["median"]
            yield f"aggregate ÷ best peer, {kind}, {phase}", ratio, BEST_PEER[headline.distinct]
            for label, java, cores in ((OURS, JAVA_TWO_CORES, "two cores"), (ONE_CORE, JAVA_ONE_CORE, "one core")):
                value = rates[f"{label}, {phase}"] / (java * scale)
                yield f"aggregate ÷ Java job (scaled), {kind}, {cores}, {phase}", value, share
