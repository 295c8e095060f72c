"""Facts of the contract suite hold on the versions on which somebody has observed them."""

from __future__ import annotations

import pytest

from tests.contract.facts import FactBroken, Facts
from tests.contract.versions import OBSERVED_4, ByVersion, expectation, is_within, parse_version
from tests.contract.waiting import SHORT_SECONDS, WaitBudget, eventually

CHANGED = ByVersion({"3.9.1 to 4.3.1": 400, "4.3.1.3": 500})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.4", (1, 4)),
        ("4.3.1.3", (4, 3, 1, 3)),
        ("4.0.0-SNAPSHOT", (4,)),
        ("3.6.4PE", (3, 6, 4)),
        ("4.3.1.0", (4, 3, 1)),
    ],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_what_is_no_version() -> None:
    for text in ("", "x", "None"):
        with pytest.raises(ValueError, match="is not a version"):
            parse_version(text)


@pytest.mark.parametrize(
    ("version", "inside"),
    [("3.9", False), ("3.9.1", True), ("4.3", False), ("4.3.1", True), ("4.3.1.2", True), ("4.3.1.3", True), ("4.3.2", False)],
)  # fmt: skip
def test_ranges(version: str, inside: bool) -> None:
    assert is_within(parse_version(version), OBSERVED_4) is inside


@pytest.mark.parametrize(
    ("version", "outcome"),
    [("2.5.6", (False, 400)), ("3.9.1", (True, 400)), ("4.0", (True, 400)), ("4.3.1.2", (False, 400)), ("4.3.1.3", (True, 500)), ("5.0", (False, 500))],
)  # fmt: skip
def test_what_is_expected_of_a_version(version: str, outcome: tuple[bool, int]) -> None:
    assert expectation(CHANGED, parse_version(version), OBSERVED_4) == outcome


def test_a_difference_fails_where_it_was_observed_and_is_listed_elsewhere() -> None:
    for version, fails in (("3.9.1", True), ("4.0", False), ("4.3.1.3", True), ("4.4", False)):
        fact = Facts(parse_version(version), OBSERVED_4)
        if fails:
            with pytest.raises(FactBroken, match="expected: 1\n  observed: 2"):
                fact("modern 1", "a number", 2, 1)
        else:
            fact("modern 1", "a number", 2, 1)
            fact.holds("modern 1", "a condition", False, "seen")
            assert [text.splitlines()[0].partition("] ")[2] for text in fact.differing] == ["a number", "a condition"]
        with pytest.raises(FactBroken):
            fact("modern 1", "wider", 2, 1, on="3.9.1 to 4.4")


def test_waits_in_vain_do_not_add_up() -> None:
    budget = WaitBudget(0.05)
    assert budget.allowed(20) == 20
    assert eventually(lambda: 1, lambda found: found == 2, seconds=0.1, budget=budget) == 1
    assert budget.allowed(20) == SHORT_SECONDS
    assert budget.allowed(1) == 1
