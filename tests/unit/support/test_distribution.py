from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.support.distribution import SECONDS, TOGETHER, longest_first, unit_of

ROOT = Path(__file__).parents[3]


def test_a_file_is_a_unit_unless_it_belongs_to_a_group() -> None:
    assert (
        unit_of("tests/unit/support/test_distribution.py::test_one[a::b]") == "tests/unit/support/test_distribution.py"
    )
    assert unit_of("tests/contract/test_auth.py::test_one") == "contract of 1.x"
    assert unit_of("tests/contract/modern/test_auth.py::test_one") == "contract of 4.x"


def test_everything_that_is_named_exists() -> None:
    paths = [path for group in TOGETHER.values() for path in group] + [name for name in SECONDS if name not in TOGETHER]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_what_takes_longest_comes_first_and_the_rest_stays_in_order() -> None:
    names = [
        "tests/unit/b.py::b",
        "tests/contract/x.py::x",
        "tests/e2e/test_your_analytics.py::e",
        "tests/unit/a.py::a",
    ]
    items: list[Any] = [SimpleNamespace(nodeid=name) for name in names]
    longest_first(cast(Any, items))
    assert [item.nodeid for item in items] == [names[2], names[1], names[0], names[3]]
