from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import UsageError
from pacifictool.simulation.histogram import DurationHistogram
from pacifictool.simulation.saved_summaries import Difference, compare, join, read_summary
from pacifictool.simulation.shards import Shard


def summary(latencies: list[float], *, shard: str | None = None, **changes: Any) -> dict[str, Any]:
    """A summary as `simulate -o json` prints it."""
    acknowledgement, lag = DurationHistogram(), DurationHistogram()
    for latency in latencies:
        acknowledgement.record(latency)
        lag.record(latency / 10)
    count = len(latencies)
    document = {
        "ok": True, "devices": 10, "connected": 10, "generated": count, "sent": count, "acknowledged": count, "resent": 0,
        "lost": 0, "missed": 0, "withheld": 0, "reconnects": 0, "target_rate": 10.0, "achieved_rate": 10.0, "rates": {},
        "schedule_lag_ms": lag.as_document(), "acknowledgement_ms": acknowledgement.as_document(), "limit": None,
        "refused": [], "interrupted": [], "losses": [], "injections": [], "seconds": 60.0, "seed": 7, "qos": 1,
        "complete": True, "stopped_by": "end", "shard": shard, "results": None,
    }  # fmt: skip
    return json.loads(json.dumps(document | changes))  # type: ignore[no-any-return]


FAST = [0.010] * 99 + [0.050]
SLOW = [0.020] * 99 + [0.500]


def test_two_runs_are_compared() -> None:
    differences = {
        each.name: each for each in compare(summary(FAST), summary(SLOW, lost=2, missed=10, achieved_rate=9.0))
    }
    assert list(differences)[:4] == ["achieved_rate", "lost", "missed", "resent"]
    rate = differences["achieved_rate"]
    assert (rate.first, rate.second, rate.ratio) == (10, 9, 0.9)
    assert rate.worse_by == pytest.approx(0.1)
    assert differences["lost"].worse_by == math.inf
    assert differences["lost"].second == pytest.approx(100 * 2 / 110, abs=1e-3)
    assert differences["resent"].worse_by == 0
    assert differences["acknowledgement_p50"].ratio == pytest.approx(2, rel=0.05)
    assert differences["acknowledgement_max"].ratio == pytest.approx(10)
    assert differences["acknowledgement_p99_9"].as_document(8.9)["failed"]
    assert not differences["acknowledgement_p50"].as_document(1.5)["failed"]


def test_better_is_not_worse() -> None:
    assert all(each.worse_by == 0 for each in compare(summary(SLOW, lost=2), summary(FAST, achieved_rate=11.0)))


def test_a_run_without_any_acknowledgement_is_worse() -> None:
    lost = {each.name: each for each in compare(summary(FAST), summary([], generated=100, lost=100))}
    assert lost["acknowledgement_p99"].worse_by == math.inf
    assert lost["acknowledgement_p99"].ratio is None
    assert Difference("x", "ms", None, 3.0, higher_is_worse=True).worse_by == 0


def test_summaries_are_joined() -> None:
    parts = [
        summary(FAST, shard="1/2", seconds=60.0, seed=7),
        summary(
            SLOW, shard="2/2", seconds=61.0, lost=3, losses=[{"number": n} for n in range(3)], complete=False, seed=8
        ),
    ]
    joined = join(parts)
    assert (joined["devices"], joined["acknowledged"], joined["lost"], joined["seconds"]) == (20, 200, 3, 61)
    assert (joined["target_rate"], joined["achieved_rate"]) == (20, 20)
    assert joined["rates"]["acknowledged"] == pytest.approx(200 / 61, abs=1e-3)
    assert joined["acknowledgement_ms"] == summary(FAST + SLOW)["acknowledgement_ms"]
    assert joined["losses"] == parts[1]["losses"]
    assert (joined["seed"], joined["qos"], joined["parts"], joined["missing_shards"]) == (None, 1, 2, [])
    assert not joined["ok"]
    assert join([joined, joined])["acknowledged"] == 400  # a joined summary is a summary


def test_missing_and_repeated_parts_of_a_fleet() -> None:
    joined = join([summary(FAST, shard="1/3"), summary(FAST, shard="3/3")])
    assert joined["missing_shards"] == ["2/3"]
    assert not joined["complete"]
    with pytest.raises(UsageError, match="Part 1/3 of the fleet is given more than once"):
        join([summary(FAST, shard="1/3"), summary(FAST, shard="1/3")])


def without(key: str) -> str:
    document = summary(FAST)
    del document[key]
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "is not JSON"),
        ("[]", "is not a summary of simulate"),
        ('{"ok": false, "error": {}}', "'devices' is missing"),
        (without("qos"), "'qos' is missing"),
        (json.dumps(summary(FAST, lost="3")), "'lost' is not a count"),
        (json.dumps(summary(FAST, seconds=None)), "'seconds' is not a number"),
        (json.dumps(summary(FAST, losses=None)), "'losses' is not a list"),
        (json.dumps(summary(FAST, shard="9/3")), "not possible"),
        (json.dumps(summary(FAST, acknowledgement_ms={"p50": 3})), "'histogram' is missing"),
    ],
)
def test_files_that_are_no_summaries(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_summary(file)
    assert message in caught.value.message
    with pytest.raises(UsageError, match="cannot be read"):
        read_summary(tmp_path / "missing.json")


def test_the_shards_of_a_fleet_are_the_fleet() -> None:
    fleet = [f"Turbine {number}" for number in range(17)]
    parts = [Shard.parse(f"{number}/5").part_of(fleet) for number in range(1, 6)]
    assert parts[1] == ["Turbine 1", "Turbine 6", "Turbine 11", "Turbine 16"]
    assert sorted(name for part in parts for name in part) == sorted(fleet)
    for wrong in ("0/5", "6/5", "5", "a/b", "1/0", "-1/5", "1/5/5", "", "1/99999"):
        with pytest.raises(UsageError):
            Shard.parse(wrong)
    with pytest.raises(UsageError, match="is empty"):
        Shard.parse("3/3").part_of(fleet[:2])
