"""Which windows count for a phase of the demo, and where their mean may lie when readings come unevenly."""

from __future__ import annotations

from pacifictool.demo.phases import PHASES, ZoneWindows, turbines_of

FIRST, SECOND = (30.0, 35.0), (45.0, 50.0)


def windows(values: dict[int, list[float]]) -> ZoneWindows:
    return ZoneWindows(values, [FIRST, SECOND])


def test_the_turbines_of_each_phase() -> None:
    assert [turbines_of(phase) for phase in PHASES] == [
        ["Wind Turbine 1"],
        ["Wind Turbine 1", "Wind Turbine 2"],
        ["Wind Turbine 3"],
    ]


def test_windows_count_from_the_one_after_the_first_reading_of_the_new_turbine() -> None:
    found = windows({1000: [30.0], 2000: [31.0, 46.0], 3000: [32.0, 47.0], 4000: [33.0, 48.0]})
    assert found.has_begun
    assert found.of_phase(2) == [3000, 4000]
    assert found.of_phase(1) == [3000]
    assert not windows({1000: [30.0]}).has_begun
    assert windows({1000: [30.0]}).of_phase(2) == []


def test_a_window_in_which_a_turbine_was_not_heard_does_not_count() -> None:
    found = windows({1000: [45.0], 2000: [30.0], 3000: [50.0], 4000: [35.0, 45.0]})
    assert found.of_phase(3) == [4000]


def test_uneven_readings_allow_other_means() -> None:
    even = windows({1000: [30.0, 31.0, 45.0, 46.0], 2000: [35.0, 35.0, 50.0, 50.0]})
    assert even.are_even([1000, 2000], per_window=2)
    assert even.possible_mean([1000, 2000]) == (37.5, 42.5)
    uneven = windows({1000: [30.0, 45.0, 46.0, 47.0], 2000: [30.0, 45.0, 45.0, 45.0]})
    assert not uneven.are_even([1000, 2000], per_window=2)
    assert uneven.possible_mean([1000, 2000]) == (41.25, 46.25)
