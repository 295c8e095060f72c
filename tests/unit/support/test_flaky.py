"""Only what is listed is retried, once, and the summary names it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.flaky import FLAKY_WHEN_BUSY, RetryWhenBusy

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]

TESTS = """
import pytest

@pytest.fixture
def attempt(tmp_path_factory, request):
    path = tmp_path_factory.getbasetemp() / request.node.name
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())

def test_listed(attempt):
    assert attempt == 2

def test_never(attempt):
    assert attempt == 3

def test_other(attempt):
    assert attempt == 2
"""


def test_only_what_is_listed_is_retried_once_and_counted(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = flaky_when_busy(reason)\n")
    pytester.makepyfile(test_it=TESTS)
    flaky = {"test_it.py::test_listed": "waits too short", "test_it.py::test_never": "never passes"}
    result = pytester.runpytest_inprocess("--strict-markers", plugins=[RetryWhenBusy(flaky)])
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        ["*2 tests retried*", "test_it.py::test_listed: waits too short", "test_it.py::test_never: never passes"]
    )
    result.stdout.fnmatch_lines(["*The first attempt failed*", "*assert 1 == 3*"])


def test_every_listed_test_exists() -> None:
    for name in FLAKY_WHEN_BUSY:
        file, _, function = name.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
