from __future__ import annotations

import itertools
import random
import statistics
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import ScenarioError
from pacifictool.models.config import ConstantModel, Model, NormalModel, ReplayModel, SineModel, UniformModel, WalkModel
from pacifictool.models.generators import Generator, generator_for

EXAMPLES = Path(__file__).parents[3] / "examples"
SPEC = UniformModel(min=30, max=35)


def rows(
    seed: int, device: str, count: int = 200, spec: Model = SPEC, key: str = "windSpeed"
) -> list[int | float | None]:
    """The first values of a key at 10 readings a second."""
    generator = generator_for(spec, seed=seed, device=device, key=key)
    return [generator.value(number, number / 10) for number in range(count)]


def values(seed: int, device: str, count: int = 200, spec: Model = SPEC, key: str = "windSpeed") -> list[int | float]:
    """The same, of a model that has a value for every reading."""
    found = rows(seed, device, count, spec, key)
    assert None not in found
    return [value for value in found if value is not None]


def value_of(generator: Generator, number: int, elapsed_seconds: float) -> int | float:
    value = generator.value(number, elapsed_seconds)
    assert value is not None
    return value


def test_all_integers_of_the_range_are_equally_likely() -> None:
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
    generator = generator_for(SPEC, seed=7, device="Wind Turbine 1", key="windSpeed")
    backwards = [generator.value(number, 0.0) for number in reversed(range(200))]
    assert backwards[::-1] == values(7, "Wind Turbine 1")


def test_devices_and_seeds_differ() -> None:
    series = [values(seed, device) for seed in (1, 2) for device in ("Wind Turbine 1", "Wind Turbine 2")]
    assert all(series[a] != series[b] for a in range(4) for b in range(a))


def test_the_tutorials_values_are_those_of_earlier_versions() -> None:
    assert values(7, "Wind Turbine 1", 12) == [31, 35, 35, 32, 34, 32, 33, 35, 31, 31, 35, 35]


def test_keys_of_a_device_differ_and_depend_on_their_name_only() -> None:
    series = [values(1, "T", key=key) for key in ("windSpeed", "temperature", "wind", "jitter", "shared")]
    assert all(series[a] != series[b] for a in range(5) for b in range(a))
    assert values(1, "T", key="temperature") == series[1]


@pytest.mark.parametrize("name", ["uniform", "normal", "walk", "sine"])
def test_models_that_name_one_seed_move_together(name: str) -> None:
    shared = MODELS[name].model_copy(update={"seed": "weather"})
    first = values(1, "T 1", spec=shared, key="temperature")
    assert values(1, "T 2", spec=shared, key="humidity") == first
    assert values(2, "T 1", spec=shared, key="temperature") != first
    assert values(1, "T 1", spec=shared.model_copy(update={"seed": "sea"}), key="temperature") != first


def test_different_models_of_one_seed_are_correlated() -> None:
    def column(seed: str | None, **keys: float) -> list[float]:
        spec = NormalModel.model_validate({"model": "normal", "decimals": 4, "seed": seed, **keys})
        return [float(value) for value in values(1, f"T {keys['mean']}", 5000, spec)]

    for seed, least, most in (("weather", 0.999, 1.0), (None, -0.05, 0.05)):
        inside, outside = column(seed, mean=20, deviation=1), column(seed, mean=8, deviation=6)
        assert least <= statistics.correlation(inside, outside) <= most


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(), st.text(), st.integers(0, 10**9))
def test_every_value_is_within_the_range(lowest: int, width: int, seed: int, device: str, number: int) -> None:
    generator = generator_for(UniformModel(min=lowest, max=lowest + width), seed=seed, device=device, key="windSpeed")
    assert lowest <= value_of(generator, number, 0.0) <= lowest + width


def test_an_unknown_class_of_model_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="No model is known for dict"):
        generator_for({"gale": True}, seed=1, device="Wind Turbine 1", key="windSpeed")


MODELS: dict[str, Model] = {
    "uniform": SPEC,
    "constant": ConstantModel(model="constant", value=12.5),
    "normal": NormalModel(model="normal", mean=12, deviation=3, min=5, max=30),
    "walk": WalkModel(model="walk", min=5, max=25, step=1.5),
    "sine": SineModel(model="sine", mean=12, amplitude=6, noise=1, period_hours=0.5),
    "replay": ReplayModel(model="replay", file=EXAMPLES / "gusts.csv", column="gust", row_seconds=0.7, shift=True),
}


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_every_model_is_a_pure_function_of_seed_device_and_time(spec: Model) -> None:
    """In order, backwards, at random, twice, next to other devices: the same values."""
    numbers = [*range(300), 65_535, 65_536, 65_537, 1_000_000]
    first = generator_for(spec, seed=3, device="Wind Turbine 1", key="windSpeed")
    known = {number: first.value(number, number / 10) for number in numbers}
    assert known == {number: first.value(number, number / 10) for number in reversed(numbers)}
    shuffled = numbers * 2
    random.Random(1).shuffle(shuffled)
    other = generator_for(spec, seed=3, device="Wind Turbine 2", key="windSpeed")
    again = generator_for(spec, seed=3, device="Wind Turbine 1", key="windSpeed")
    for number in shuffled:
        other.value(number + 1, number / 10)
        assert again.value(number, number / 10) == known[number]
    for value in known.values():
        # Short enough for every reader: no exponents, no more digits than documented.
        assert "e" not in str(value)
        assert len(str(value).partition(".")[2]) <= 4


@pytest.mark.parametrize("name", ["uniform", "normal", "walk", "sine"])
def test_every_random_model_differs_between_devices_and_seeds(name: str) -> None:
    series = [values(seed, device, spec=MODELS[name]) for seed in (1, 2) for device in ("T 1", "T 2")]
    assert all(series[a] != series[b] for a in range(4) for b in range(a))


def test_normal_wind_has_its_mean_and_deviation_within_its_bounds() -> None:
    free = values(1, "T", 20_000, NormalModel(model="normal", mean=100, deviation=3))
    assert statistics.fmean(free) == pytest.approx(100, abs=0.1)
    assert statistics.stdev(free) == pytest.approx(3, abs=0.1)
    bounded = values(1, "T", 20_000, NormalModel(model="normal", mean=12, deviation=3, min=9, max=15, decimals=0))
    assert (min(bounded), max(bounded)) == (9, 15)
    assert all(isinstance(value, int) for value in bounded)


def test_a_random_walk_has_its_step_and_is_reflected_at_its_bounds() -> None:
    spec = WalkModel(model="walk", min=5, max=25, start=10, step=1, decimals=4)
    series = values(1, "T", 20_000, spec)
    assert series[0] == 10
    assert 5 <= min(series) < 5.1
    assert 24.9 < max(series) <= 25
    # Away from the bounds, where nothing is reflected, the changes are those of an unbounded walk.
    steps = [b - a for a, b in itertools.pairwise(series) if 9 < a < 21]
    assert statistics.fmean(steps) == pytest.approx(0, abs=0.05)
    assert statistics.stdev(steps) == pytest.approx(1, abs=0.05)


def test_daily_wind_has_its_maximum_at_the_peak_hour() -> None:
    spec = SineModel(model="sine", mean=12, amplitude=6, start_hour=6, peak_hour=15)
    generator = generator_for(spec, seed=1, device="T", key="windSpeed")
    by_hour = {(6 + hour) % 24: value_of(generator, hour, hour * 3600.0) for hour in range(24)}
    assert max(by_hour, key=lambda hour: by_hour[hour]) == 15
    assert (by_hour[15], by_hour[3], by_hour[9]) == (18, 6, 12)
    calm = generator_for(spec, seed=1, device="T", key="windSpeed")
    noisy = generator_for(spec.model_copy(update={"noise": 2.0}), seed=1, device="T", key="windSpeed")
    noise = [value_of(noisy, n, n * 10.0) - value_of(calm, n, n * 10.0) for n in range(5000)]
    assert statistics.stdev(noise) == pytest.approx(2, abs=0.1)


def test_a_replay_takes_the_rows_in_order_and_starts_over(tmp_path: Path) -> None:
    (tmp_path / "wind.csv").write_text("\ufefftime,windSpeed\n0,1.5\n1,\n2,7\n3,2.25\n", encoding="utf-8")
    spec = ReplayModel(model="replay", file=tmp_path / "wind.csv")
    assert rows(1, "T", 7, spec) == [1.5, None, 7, 2.25, 1.5, None, 7]
    timed = spec.model_copy(update={"row_seconds": 0.3})
    assert rows(1, "T", 13, timed) == [1.5, 1.5, 1.5, None, None, None, 7, 7, 7, 2.25, 2.25, 2.25, 1.5]
    shifted = spec.model_copy(update={"shift": True})
    begins = {generator_for(shifted, seed=1, device=f"T {n}", key="windSpeed").value(0, 0.0) for n in range(50)}
    assert begins == {1.5, None, 7, 2.25}


def test_keys_that_replay_one_file_take_the_same_row(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,b\n" + "".join(f"{n},{n * 10}\n" for n in range(50)), encoding="utf-8")
    spec = ReplayModel(model="replay", file=tmp_path / "log.csv", shift=True)
    for device in ("T 1", "T 2", "T 3"):
        first = rows(1, device, spec=spec, key="a")
        assert [(value or 0) * 10 for value in first] == rows(1, device, spec=spec, key="b")
    assert rows(1, "T 1", spec=spec, key="a") != rows(1, "T 2", spec=spec, key="a")
