"""Functions on Spark's real workers: what they get, and that one that fails costs only its own windows."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from py4j.protocol import Py4JError

from pacifictool.analytics.engine.functions import FunctionOutcome
from pacifictool.analytics.engine.records import AHEAD_OF_ARRIVAL
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.scenario import Scenario
from tests.support.batch_bench import NOW, OLD_CLIENT, Bench
from tests.support.called_functions import Called
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

FUNCTIONS = '''
import json, os, sys, time
from pathlib import Path

import helper
from pacifictool.functions import Alarm, Result

MODEL = Path(__file__).with_name("models") / "mean.txt"
LOADED = time.time_ns()

def show(readings, window, history):
    """Everything that it gets, as the details of an alarm."""
    rows = json.loads(readings.to_json(orient="records", date_unit="ms", double_precision=15))
    details = {
        "rows": rows, "columns": {key: str(kind) for key, kind in readings.dtypes.items()},
        "group": dict(window.group), "start": window.start, "end": window.end,
        "history": json.loads(history.to_json(orient="records", date_unit="ms")),
    }
    return [Alarm("shown", details=details), Result(window.entity, {"count": len(readings)})]

def behave(readings, window):
    """As the group is called."""
    how = window.group["site"]
    print("this is", how)
    if how == "raises":
        raise ValueError("no model for this site")
    if how == "hangs":
        time.sleep(3600)
    if how == "exits":
        os._exit(3)
    if how == "sys.exits":
        sys.exit("enough")
    if how == "eats":
        hoard = [bytes(10_000_000) + bytes([n]) for n in range(200)]
    if how == "writes a lot":
        print("x" * 1_000_000)
        os.write(1, b"\\0\\xff" * 100_000)
    if how == "returns nothing":
        return None
    if how == "returns a list":
        return [1, 2]
    if how == "returns infinity":
        return {"mean": float("inf")}
    return {"mean": readings["t"].mean()}

def loads(readings):
    return {"loaded": LOADED % 2**40, "process": os.getpid(), "model": float(MODEL.read_text()), **helper.more()}

def environment(readings):
    return Alarm("environment", details=dict(os.environ))

def endless(readings, window):
    Path(window.group["site"]).write_text(f"{os.getpid()}.")
    while True:
        pass

def feeds_back(readings, window):
    return [Result(readings["deviceName"][0], {"t": 1.0}, "device")]
'''


def scenario(folder: Path, *analytics: Mapping[str, Any], **forwarding: Any) -> Scenario:
    (folder / "lib" / "models").mkdir(parents=True, exist_ok=True)
    (folder / "lib" / "mine.py").write_text(FUNCTIONS)
    (folder / "lib" / "helper.py").write_text("def more():\n    return {'helped': 1}\n")
    (folder / "lib" / "models" / "mean.txt").write_text("4.5")
    files = ["helper.py", "models"]
    return Scenario.model_validate(
        {
            "forwarding": {
                "topic": "readings", "attributes": ["site"], "telemetry": ["t", "h"], "device": True,
                "valid": {"t": {"min": -100, "max": 100}}, **forwarding,
            },
            "analytics": [
                {"group_by": ["site"], "window": "10s", "entity": "Site {site}", "files": files, **each}
                for each in analytics
            ],
        },
        context={"folder": folder / "lib"},
    )  # fmt: skip


def record(site: str, t: Any = None, h: Any = None, device: str = "D", **more: Any) -> bytes:
    document = {"deviceName": device, "ts": NOW, "site": site, "t": t, "h": h, **more}
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


def line_of(text: str) -> int:
    """The line of the functions' file that holds it."""
    return FUNCTIONS[: FUNCTIONS.index(text)].count("\n") + 1


def only(outcomes: Mapping[Any, FunctionOutcome]) -> FunctionOutcome:
    (outcome,) = outcomes.values()
    assert outcome.failure is None, outcome
    return outcome


def values(outcome: FunctionOutcome) -> Mapping[str, float]:
    (result,) = outcome.results
    return result.values


def test_a_function_gets_exactly_the_readings_that_were_counted(bench: Bench, tmp_path: Path) -> None:
    random_ = random.Random(5)
    records: list[bytes | None] = []
    timestamps = []
    wanted: dict[tuple[str, int], list[tuple[int, int, dict[str, Any]]]] = {}
    for number in range(3000):
        site = random_.choice(["North", "Süd", 'W"est\\', "💧"])
        timestamp = NOW + random_.randrange(40_000)
        t, h = random_.choice([(1.5, 2), (-7.25, None), (None, 0.1), (200, 4), ("x", 5), (None, None)])
        device = f"Device {random_.randrange(3)}"
        records.append(random_.choice([record(site, t, h, device), b"garbage"]) if number % 7 else None)
        timestamps.append(timestamp)
        valid_t = t if isinstance(t, float) else None
        if records[-1] not in (None, b"garbage") and (valid_t, h) != (None, None):
            row = {"ts": timestamp, "deviceName": device, "site": site, "t": valid_t, "h": h}
            wanted.setdefault((site, timestamp // 10_000 * 10_000 + 10_000), []).append((number % 3, number, row))
    bench.write(records, timestamps, partitions=3)
    called = Called(bench, scenario(tmp_path, {"name": "all", "function": "mine:show"}))
    outcomes = called.run(called.count())

    assert {(group, end) for _, group, end in outcomes} == wanted.keys()
    for (_, group, end), outcome in outcomes.items():
        (alarm,) = outcome.alarms
        rows = sorted(wanted[group, end], key=lambda each: (each[2]["ts"], each[0], each[1]))
        assert alarm.details["rows"] == [row for _, _, row in rows]
        assert alarm.details["columns"].items() >= {
            ("ts", "datetime64[ms, UTC]"), ("t", "float64"), ("h", "float64"),
        }  # fmt: skip
        assert [*alarm.details["columns"]] == ["ts", "deviceName", "site", "t", "h"]
        assert alarm.details["group"] == {"site": group}
        assert (alarm.entity, alarm.kind) == (f"Site {group}", "asset")
        assert (outcome.missing, outcome.failure, outcome.output) == (0, None, None)
        assert values(outcome) == {"count": outcome.call.count}
    assert len(outcomes) == 16


def test_a_sliding_window_has_the_readings_of_all_its_slides_and_the_history(bench: Bench, tmp_path: Path) -> None:
    bench.write([record("A", float(n)) for n in range(20)], [NOW + 1000 * n for n in range(20)])
    called = Called(
        bench,
        scenario(
            tmp_path,
            {"name": "sliding", "function": "mine:show", "slide": "2s", "history": 2},
            {"name": "sums", "telemetry": {"t": "sum(t)"}, "entity": "Sums {site}", "files": []},
            {"name": "everything", "function": "mine:show", "window": "10m", "group_by": [], "entity": "All"},
        ),
    )
    outcomes = called.run(called.count(), history={"A": [(NOW - 4000, {"x": 1.0}), (NOW - 2000, {"y": 2.0})]})

    sliding = {end: each for (analytics, _, end), each in outcomes.items() if analytics == "sliding"}
    assert sorted(sliding) == [*range(NOW + 2000, NOW + 30_000, 2000)]
    for end, outcome in sliding.items():
        (alarm,) = outcome.alarms
        seconds = range(max(0, (end - NOW) // 1000 - 10), min(20, (end - NOW) // 1000))
        assert [row["t"] for row in alarm.details["rows"]] == [*map(float, seconds)]
        assert alarm.details["history"] == [
            {"ts": NOW - 4000, "x": 1.0, "y": None},
            {"ts": NOW - 2000, "x": None, "y": 2.0},
        ]
    (everything,) = (each for (analytics, *_), each in outcomes.items() if analytics == "everything")
    assert values(everything) == {"count": 20}
    assert len(outcomes) == len(sliding) + 1


def test_a_late_record_does_not_come_back(bench: Bench, tmp_path: Path) -> None:
    called = Called(bench, scenario(tmp_path, {"name": "all", "function": "mine:show"}))
    bench.write([record("A", 1.0), record("A", 2.0)], [NOW, NOW + 10_000])
    first = called.count()
    bench.write([record("A", 3.0), record("A", 4.0)], [NOW + 1, NOW + 10_001])
    second = called.count(ranges=[OffsetRange(0, 2, 4)], closed_until_ms=NOW + 10_000)
    assert [each.offset for each in second.contents().invalid] == [2]

    outcomes = called.run(first, second)
    found = {end: [row["t"] for row in outcome.alarms[0].details["rows"]] for (_, _, end), outcome in outcomes.items()}
    # The late record lies among the offsets of the second window, which are read for both.
    assert found == {NOW + 10_000: [1.0], NOW + 20_000: [2.0, 4.0]}
    assert {outcome.missing for outcome in outcomes.values()} == {0}


def test_a_record_ahead_of_its_arrival_does_not_come_back(bench: Bench, tmp_path: Path) -> None:
    values = [record("A", 0.0), record("A", 1.0), record("A", 2.0, h="wet"), record("A", 3.0, h="wet")]
    bench.write(values, [NOW + 59_000, NOW + 60_001, NOW + 60_001, NOW + 59_500])
    invalid: list[int] = []
    called = Called(
        bench,
        scenario(tmp_path, {"name": "all", "function": "mine:show", "window": "2m"}),
        not_counted=lambda part: [offset for offset in invalid if part.start <= offset < part.end],
    )
    counted = called.count(arrived_ms=NOW)
    # Of the last one only h is invalid; that of the third one hides nothing.
    invalid += [each.offset for each in counted.contents().invalid if each.reason.endswith(AHEAD_OF_ARRIVAL)]
    assert ([each.offset for each in counted.contents().invalid], invalid) == ([1, 2, 3], [1, 2])

    outcome = only(called.run(counted))
    assert [row["t"] for row in outcome.alarms[0].details["rows"]] == [0.0, 3.0]


def test_records_that_cannot_be_read_again_are_missing_and_said_to_be(bench: Bench, tmp_path: Path) -> None:
    called = Called(bench, scenario(tmp_path, {"name": "all", "function": "mine:show"}, device=False))
    bench.write([record("A", 1.0), record("B", 2.0)], **OLD_CLIENT)
    bench.write([record("A", 3.0), record("C", 4.0)])
    counted = called.count(untimed_event_ms=NOW)
    outcomes = {group: outcome for (_, group, _), outcome in called.run(counted).items()}
    assert [row["t"] for row in outcomes["A"].alarms[0].details["rows"]] == [3.0]
    assert {group: outcome.missing for group, outcome in outcomes.items()} == {"A": 1, "B": 1, "C": 0}
    assert outcomes["B"].failure == (
        "None of the window's 1 records can be read again: they have no timestamp, or Kafka has deleted them."
    )

    admin = AdminClient({"bootstrap.servers": bench.endpoint.bootstrap})
    for future in admin.delete_records([TopicPartition(bench.topic, 0, 3)]).values():
        future.result()
    outcomes = {group: outcome for (_, group, _), outcome in called.run(counted).items()}
    assert {group: outcome.missing for group, outcome in outcomes.items()} == {"A": 2, "B": 1, "C": 0}
    assert values(outcomes["C"]) == {"count": 1}


def test_a_function_that_fails_costs_its_own_window_only(bench: Bench, tmp_path: Path) -> None:
    kinds = [
        "raises", "hangs", "exits", "sys.exits", "eats", "writes a lot", "returns nothing", "returns a list",
        "returns infinity",
    ]  # fmt: skip
    sites = [site for pair in zip(kinds, [f"fine {n}" for n in range(len(kinds))], strict=True) for site in pair]
    bench.write([record(site, 2.0) for site in sites])
    analytics = {"name": "own", "function": "mine:behave", "timeout": 2, "memory": 64}
    called = Called(bench, scenario(tmp_path, analytics))
    outcomes = {group: outcome for (_, group, _), outcome in called.run(called.count()).items()}

    failures = {group: outcome.failure for group, outcome in outcomes.items() if outcome.failure is not None}
    assert failures == {
        "raises": f"mine:behave raised ValueError: no model for this site (mine.py, line {line_of('raise ValueError')}).",
        "hangs": "mine:behave did not return within 2 s.",
        "exits": "mine:behave ended its process with the exit code 3.",
        "sys.exits": "mine:behave ended the program with the exit code enough.",
        "eats": "mine:behave used more than its 64 MiB of memory.",
        "returns a list": "mine:behave returned what cannot be posted: the int 1 among its results, which is neither a "
        "Result nor an Alarm.",
        "returns infinity": "mine:behave returned what cannot be posted: the result 'mean' is not finite.",
    }
    assert outcomes["returns nothing"].results == []
    assert {group for group, outcome in outcomes.items() if outcome.results} == {
        "writes a lot", *(f"fine {n}" for n in range(len(kinds))),
    }  # fmt: skip
    for group, outcome in outcomes.items():
        assert outcome.missing == 0
        assert outcome.output is not None
        assert outcome.output.startswith("this is") or group == "writes a lot"
        if outcome.results:
            assert values(outcome) == {"mean": 2.0}
    file = tmp_path / "lib" / "mine.py"
    assert outcomes["raises"].traceback == (
        "Traceback (most recent call last):\n"
        f'  File "{file}", line {line_of("raise ValueError")}, in behave\n'
        '    raise ValueError("no model for this site")\n'
        "ValueError: no model for this site"
    )
    assert f'File "{file}", line {line_of("time.sleep(")} in behave' in str(outcomes["hangs"].traceback)


def test_the_files_of_a_function_are_as_at_the_start_and_loaded_once(bench: Bench, tmp_path: Path) -> None:
    bench.write([record(f"Site {n}", 2.0) for n in range(8)])
    called = Called(bench, scenario(tmp_path, {"name": "own", "function": "mine:loads"}))
    called.runner.warm_up()
    counted = called.count()
    (tmp_path / "lib" / "models" / "mean.txt").write_text("9")
    (tmp_path / "lib" / "mine.py").write_text("syntax error")
    seen = [values(outcome) for _ in range(3) for outcome in called.run(counted).values()]

    assert {(each["model"], each["helped"]) for each in seen} == {(4.5, 1.0)}
    # Spark has as many workers as it works on tasks at once.
    assert len({(each["loaded"], each["process"]) for each in seen}) == len({each["process"] for each in seen}) <= 2


def test_a_function_that_cannot_be_loaded_fails_all_its_windows_and_no_others(bench: Bench, tmp_path: Path) -> None:
    bench.write([record(f"Site {n}", 2.0) for n in range(4)])
    called = Called(
        bench,
        scenario(
            tmp_path,
            {"name": "alone", "function": "mine:behave", "files": []},
            {"name": "fine", "function": "mine:behave"},
        ),
    )
    outcomes = called.run(called.count())

    assert {analytics: outcome.failure for (analytics, *_), outcome in outcomes.items() if outcome.failure} == {
        "alone": f"The function mine:behave cannot be loaded: {tmp_path}/lib/mine.py raised ModuleNotFoundError: No "
        "module named 'helper' (mine.py, line 5). `files` of analytics alone does not name helper.py."
    }
    assert [analytics for (analytics, *_), outcome in outcomes.items() if outcome.results] == ["fine"] * 4


def test_a_function_knows_no_secrets_and_writes_no_readings(spark: SparkRuntime, bench: Bench, tmp_path: Path) -> None:
    bench.write([record("A", 2.0)])
    called = Called(bench, scenario(tmp_path, {"name": "own", "function": "mine:environment"}))
    environment = only(called.run(called.count())).alarms[0].details
    assert [name for name in environment if name.startswith(("PACIFICTOOL", "PYSPARK", "SPARK", "PYTHON_"))] == []
    assert "PATH" in environment

    called = Called(bench, scenario(tmp_path, {"name": "own", "function": "mine:feeds_back"}))
    (outcome,) = called.run(called.count()).values()
    assert not outcome.results
    assert outcome.failure is not None
    assert "'t' for the device 'D', whose own readings are forwarded" in outcome.failure


def test_functions_end_with_sparks_java_process_when_it_is_killed(
    bench: Bench, spark_settings: SparkSettings, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    bench.write([record(str(pid_file), 2.0)])
    endless = scenario(tmp_path, {"name": "own", "function": "mine:endless", "timeout": "1h"})
    counted = Called(bench, endless).count()
    with ThreadPoolExecutor() as pool, SparkRuntime(spark_settings, tmp_path / "spark") as runtime:
        running = pool.submit(Called(Bench(runtime, bench.endpoint, bench.topic), endless).run, counted)
        wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("."), "the function")
        function = psutil.Process(int(pid_file.read_text()[:-1]))
        assert runtime._process is not None
        (java,) = psutil.Process(runtime._process.pid).children()
        java.kill()
        assert isinstance(running.exception(60), Py4JError | OSError)
        wait_until(lambda: not function.is_running() or function.status() == psutil.STATUS_ZOMBIE, "the function's end")
