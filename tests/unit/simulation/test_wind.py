from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import ScenarioError
from pacifictool.simulation.wind import wind_source
from pacifictool.winds import WindRange

SPEC = WindRange(min=30, max=35)


def values(seed: int, device: str, count: int = 200, spec: WindRange = SPEC) -> list[int | float]:
    source = wind_source(spec, seed=seed, device=device)
    return [source.value(number, number / 10) for number in range(count)]


def test_both_ends_of_the_range_occur_and_every_integer_is_as_likely() -> None:
    counts = Counter(values(1, "Wind Turbine 1", 60_000))
    assert sorted(counts) == [30, 31, 32, 33, 34, 35]
    # 10,000 expected each; the standard deviation is 91.
    assert all(9_500 < count < 10_500 for count in counts.values())


def test_neighbouring_readings_are_independent() -> None:
    series = values(1, "Wind Turbine 1", 36_000)
    pairs = Counter(itertools.pairwise(series))
    assert len(pairs) == 36
    assert all(800 < count < 1_200 for count in pairs.values())


def test_a_value_depends_on_seed_device_and_number_only() -> None:
    source = wind_source(SPEC, seed=7, device="Wind Turbine 1")
    backwards = [source.value(number, 0.0) for number in reversed(range(200))]
    assert backwards[::-1] == values(7, "Wind Turbine 1")


def test_devices_and_seeds_differ() -> None:
    series = [values(seed, device) for seed in (1, 2) for device in ("Wind Turbine 1", "Wind Turbine 2")]
    assert all(series[a] != series[b] for a in range(4) for b in range(a))


def test_another_process_gives_the_same_values() -> None:
    code = (
        "from pacifictool.winds import WindRange\n"
        "from pacifictool.simulation.wind import wind_source\n"
        "s = wind_source(WindRange(min=30, max=35), seed=42, device='Wind Turbine ü')\n"
        "print([s.value(n, 0.0) for n in range(20)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{values(42, 'Wind Turbine ü', 20)}\n"}


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(), st.text(), st.integers(0, 10**9))
def test_every_value_is_within_the_range(lowest: int, width: int, seed: int, device: str, number: int) -> None:
    source = wind_source(WindRange(min=lowest, max=lowest + width), seed=seed, device=device)
    assert lowest <= source.value(number, 0.0) <= lowest + width


def test_an_unknown_kind_of_wind_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="No wind model is known for dict"):
        wind_source({"gale": True}, seed=1, device="Wind Turbine 1")
