"""`make bench`: its engines agree on a few thousand records, and a wrong result is rejected."""

from __future__ import annotations

import json
import os
import re
import runpy
import statistics
import sys
import tomllib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from statistics import stdev
from typing import Any

import psutil
import pytest

from benchmarks import stages
from benchmarks.expected import differences
from benchmarks.measuring import EngineFailed, Outcome, Report, measure, outcome_of_events
from benchmarks.report import BEGIN, END, tables, where_behind, write_page
from benchmarks.rivals import CATALOGUE, COMMAND, FLINK, LIMIT, LIMIT_FUNCTIONS, OURS, PEERS, POLARS, prepare_engines
from benchmarks.rounds import Rounds
from benchmarks.scale import QUICK
from benchmarks.stages import Bench, WrongMeans, broker
from benchmarks.stream import FOUR_KEYS, KEYS, Workload, _chunks, _messages, _other_keys, _Sums
from benchmarks.targets import TARGETS, target_rows
from pacifictool.scenario import Scenario, load_scenario
from pacifictool.settings import KafkaEndpoint
from tests.support.waiting import wait_until

WORKLOAD = Workload(3_000, partitions=2, distinct=True)
IN_WORDS = "javac is not installed; install a JDK from 17 on and Maven (apt-get install openjdk-17-jdk-headless maven)"
EXACT = {("Zone A", 10_000): (2, Fraction(63, 2))}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with broker(tmp_path_factory.mktemp("kafka")) as endpoint:
        ready, failed = prepare_engines((OURS, COMMAND, LIMIT, LIMIT_FUNCTIONS, *PEERS))
        assert failed == {}
        yield Bench(endpoint, ready, QUICK)


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.spark
def test_our_job_is_measured_and_a_wrong_mean_of_it_is_found(bench: Bench) -> None:
    outcome = bench.run(OURS, [WORKLOAD])
    (report,) = outcome.reports
    assert report.records == WORKLOAD.records + WORKLOAD.partitions
    assert report.cpu_seconds > 0
    assert 0 < outcome.start_seconds < outcome.first_seconds
    assert outcome.peak_mb > 100
    _topic, exact = bench.topic(WORKLOAD)
    key = next(iter(exact))
    # The smallest possible error: a millionth in one record of one window.
    wrong = dict(exact) | {key: (exact[key][0], exact[key][1] + Fraction(1, 10**6 * exact[key][0]))}
    assert len(differences(wrong, report.means, closing_zone="end of stream", tolerance=0)) == 1


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.parametrize("peer", [LIMIT, COMMAND, *PEERS])
def test_a_peer_gives_the_same_means_or_the_run_fails(bench: Bench, peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.run(peer, [WORKLOAD]).reports[0].per_second > 0
    topic, exact = bench.topic(WORKLOAD)
    (zone, end), (count, mean) = next(iter(exact.items()))
    monkeypatch.setattr(bench, "topic", lambda _: (topic, {**exact, (zone, end): (count + 1, mean)}))
    with pytest.raises(WrongMeans, match=rf"1 values differ.*{count} records instead of {count + 1}"):
        bench.run(peer, [WORKLOAD])


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.spark
@pytest.mark.parametrize("engine", [OURS, LIMIT_FUNCTIONS])
def test_functions_of_four_keys_are_the_expected_ones(bench: Bench, engine: str) -> None:
    workload = Workload(3_000, partitions=2, four_keys=True)
    outcome = bench.run(engine, [workload])
    assert len(outcome.reports[0].means) >= 3 * 24


def test_a_shorter_stream_is_the_beginning_of_a_longer_one() -> None:
    def first(workload: Workload) -> list[tuple[int, int]]:
        zones, units, _ = next(_chunks(workload))
        return list(zip(zones.tolist(), units.tolist(), strict=True))

    assert first(WORKLOAD) == first(WORKLOAD.of_length(500_000))[: WORKLOAD.records]


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ({}, "missing"),
        ({("Zone A", 10_000): (3, 31.5)}, "3 records instead of 2"),
        ({("Zone A", 10_000): (2, 31.500001)}, "31.500001 instead of 31.5"),
        ({("Zone A", 10_000): (2, 31.5), ("Zone B", 10_000): (1, 31.0)}, "no such window"),
    ],
)
def test_differences_are_named(means: dict[tuple[str, int], tuple[int, float]], words: str) -> None:
    (found,) = differences(EXACT, means, closing_zone="end")
    assert words in found


def test_floating_point_sums_may_differ_in_the_last_digits_and_ours_may_not() -> None:
    means = {("Zone A", 10_000): (2, 31.500000000000004), ("end", 30_000): (1, 30.0)}
    assert differences(EXACT, means, closing_zone="end") == []
    assert len(differences(EXACT, means, closing_zone="end", tolerance=0)) == 1


def test_expected_values_of_four_keys_are_those_of_the_messages() -> None:
    workload = Workload(2_000, zones=2, four_keys=True)
    ((zones, units, windows),) = _chunks(workload)
    others = _other_keys(units, 0)
    sums = _Sums(workload)
    sums.add(zones, [units, *(other * 10**6 for other in others)], windows)
    exact = sums.exact(["Zone A", "Zone B"])
    names = ["Zone " + "AB"[zone] for zone in zones.tolist()]
    messages = [json.loads(text) for text in _messages(names, units, others, distinct=False)]
    assert len(exact) == 2 * len(KEYS) * 6
    for (name, _), (count, value) in exact.items():
        zone, function, key = re.fullmatch(r"(Zone .) (\w+)\((\w+)\)", name).groups()  # type: ignore[union-attr]
        values = [message[key] for message in messages if message["geoZone"] == zone]
        functions: dict[str, Callable[[list[int]], float]] = {
            "count": len,
            "sum": sum,
            "min": min,
            "max": max,
            "mean": statistics.mean,
            "stddev": stdev,
        }
        assert count == len(values)
        assert float(value) == pytest.approx(functions[function](values), rel=1e-12)


def test_an_engine_that_fails_says_why_and_one_that_hangs_is_ended(tmp_path: Path) -> None:
    child = tmp_path / "child"
    hangs = ["sh", "-c", f"sleep 600 & echo $! > {child}; sleep 600"]
    with pytest.raises(EngineFailed, match="took longer than 2 s"):
        measure(hangs, passes=1, limit_seconds=2, environ=os.environ)
    wait_until(lambda: not psutil.pid_exists(int(child.read_text())), seconds=10)
    with pytest.raises(EngineFailed, match="ValueError: no such topic"):
        measure([sys.executable, "-c", "raise ValueError('no such topic')"], passes=1, limit_seconds=60, environ={})
    with pytest.raises(EngineFailed, match="could not be started"):
        measure([str(tmp_path / "missing")], passes=1, limit_seconds=60, environ={})


def test_an_engine_is_measured_until_its_last_mean_not_until_it_is_printed() -> None:
    def event(name: str, at: float, **more: Any) -> dict[str, Any]:
        return {"event": name, "at": at, "cpu": at / 2, "peak_bytes": at * 1e6, **more}

    def reported(at: float, **more: float) -> dict[str, Any]:
        return event("report", at, records=10, seconds=1.5, means=[["Zone A", 10_000, 10, 31.5]], **more)

    outcome = outcome_of_events([event("ready", 1), event("done", 3), reported(4), event("done", 6), reported(9)])
    assert [report.cpu_seconds for report in outcome.reports] == [1.0, 1.0]
    assert [report.means for report in outcome.reports] == [{("Zone A", 10_000): (10, 31.5)}] * 2
    assert (outcome.start_seconds, outcome.first_seconds, outcome.first_cpu_seconds) == (1, 3, 1.5)
    assert outcome.peak_mb == 6
    # An engine that starts another program: its own start, until it is ready, does not count.
    outcome = outcome_of_events([event("ready", 1), event("done", 3), reported(4, last_mean_seconds=1.8)])
    assert (outcome.first_seconds, outcome.first_cpu_seconds) == (1.8, 1.0)


def outcome_of(rate: float, *, total: float = 10.0, passes: int = 2) -> Outcome:
    return Outcome(1.0, total, 5.0, 500.0, [Report(1e6 / rate, 1_000_000, 0.5, {})] * passes)


@pytest.fixture
def document() -> dict[str, Any]:
    """Two rounds of a full run: polars is ahead of ours in the first one and in total time, and Kafka Streams fails."""
    rounds = Rounds(2, minutes=60)
    for number in rounds:
        rounds.add(OURS, outcome_of(800_000))
        rounds.add(COMMAND, outcome_of(500_000, total=20.0, passes=1))
        rounds.add(LIMIT, outcome_of(1_000_000))
        rounds.add(POLARS, outcome_of(1_600_000 if number == 0 else 400_000, total=15.0))
        # Has a tenth to do: its time says nothing.
        rounds.add("confluent-kafka loop", outcome_of(100_000, total=1.0, passes=1))
    rounds.failed["Kafka Streams, repartition"] = "took longer than 240 s"
    few = {"title": "whole numbers", "records": 5_000_000, "slow_records": 500_000, **rounds.document()}
    return {
        "machine": {"processors": 2, "processor": "P", "memory_gb": 24, "system": "Linux"},
        "versions": {"Python": "3.11"},
        "settings": {"window_ms": 10_000, "records": 5_000_000},
        "stages": {
            "peers": {stages.FEW: few, "load_before": 0.1},
            "demo": {"failed": "TimeoutError", "load_before": 0.1},
        },
    }


def test_targets_are_met_or_missed_and_what_was_not_measured_has_a_row_too(document: dict[str, Any]) -> None:
    rows = {row["key"]: row for row in target_rows(document)}
    assert list(rows) == [target.key for target in TARGETS]
    assert rows["stream_warm"]["value"] == 0.8
    assert rows["stream_warm"]["verdict"] == "met"
    # The median of 0.5 and 2, the ratios of each round; not the ratio of the medians.
    assert rows["stream_warm"]["to_best_peer"] == 1.25
    assert rows["stream_warm"]["best_peer"] == POLARS
    assert rows["total"]["verdict"] == "missed"
    assert rows["total"]["reason"]
    assert rows["total"]["best_peer"] == POLARS
    assert rows["total_polars"]["value"] == 0.75
    assert rows["demo"]["verdict"] == "not measured"
    assert "TimeoutError" in rows["demo"]["reason"]
    assert rows["suite"]["reason"] == "not measured here: CI measures it on every change"


def test_a_smaller_run_does_not_compare_what_depends_on_size(document: dict[str, Any]) -> None:
    document["settings"]["records"] = 500_000
    rows = {row["key"]: row for row in target_rows(document)}
    assert rows["total"]["verdict"] == "not compared"
    assert rows["total"]["reason"] == "missed with fewer records than the target is for"


def test_the_tables_have_a_row_for_a_peer_that_failed_and_say_where_we_are_behind(document: dict[str, Any]) -> None:
    document["targets"] = target_rows(document)
    text = tables(document)
    assert "| Kafka Streams, repartition | failed: took longer than 240 s |" in text
    assert "**demo** failed: TimeoutError" in text
    assert (
        "- whole numbers: polars over confluent-kafka is ahead in seconds from launch to last mean, 15.00 against 20.00."
        in text
    )
    assert [line for line in where_behind(document["stages"]) if "per second" in line] == []


def test_rounds_stop_when_another_one_would_take_too_long() -> None:
    assert list(Rounds(3, minutes=60)) == [0, 1, 2]
    assert list(Rounds(3, minutes=-1)) == [0]


def test_a_peer_whose_tools_are_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ready, failed = prepare_engines([FLINK])
    assert ready == {}
    assert failed == {FLINK: IN_WORDS}
    with pytest.raises(EngineFailed, match=re.escape(IN_WORDS)):
        Bench(KafkaEndpoint("127.0.0.1:1"), ready, QUICK, failed).run(FLINK, [WORKLOAD])


def test_every_reason_belongs_to_a_target_and_every_stage_needs_known_engines() -> None:
    reasons = tomllib.loads(Path(stages.__file__).with_name("reasons.toml").read_text(encoding="utf-8"))
    assert set(reasons) <= {target.key for target in TARGETS}
    assert set(stages.NEEDED) <= set(stages.STAGES)
    assert {name for names in stages.NEEDED.values() for name in names} <= set(CATALOGUE)


def test_the_peers_lock_names_no_registry_and_has_a_hash_for_every_package() -> None:
    lock = Path(stages.__file__).with_name("requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    packages = re.findall(r"(?m)^[a-z][^\n]*==[^\n]*\n +--hash=sha256:", lock)
    assert len(packages) == len(re.findall(r"(?m)^[a-z].*==", lock)) >= 2


@pytest.mark.parametrize("name", ["cluster", "sandbox", "setup"])
def test_a_benchmark_has_a_scenario_of_the_current_version(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(stages.__file__).parent
    monkeypatch.syspath_prepend(folder)  # as when the benchmark is run
    text = runpy.run_path(str(folder / f"{name}.py"))["SCENARIO"]
    Scenario.model_validate(tomllib.loads(text))
    Scenario.model_validate(tomllib.loads(FOUR_KEYS))


def test_the_scenario_of_end_to_end_has_a_group_for_each_turbine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(stages.__file__).parent
    monkeypatch.syspath_prepend(folder)
    path = runpy.run_path(str(folder / "end_to_end.py"))["write_scenario"](tmp_path, "probe", 3, 10)
    fleet = load_scenario(Path(path)).fleet
    assert fleet is not None
    assert [device.attributes for device in fleet.devices(3)] == [{"geoZone": text} for text in "123"]


def test_the_page_keeps_what_people_wrote(tmp_path: Path, document: dict[str, Any]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{BEGIN}\nof the last run\n{END}\n\nAfter.\n", encoding="utf-8")
    document["targets"] = target_rows(document)
    write_page(document, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Before\n")
    assert text.endswith("After.\n")
    assert "Measured on 2 processors" in text
    assert "of the last run" not in text
