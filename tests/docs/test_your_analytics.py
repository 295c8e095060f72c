"""The page "Your analytics" shows what its examples are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pacifictool.analytics.function_template import create_function
from tests.support.documents import ROOT, SHELLS, blocks_of

EXAMPLES = ROOT / "examples"
PATH = ROOT / "docs" / "your-analytics.md"
PAGE = PATH.read_text(encoding="utf-8")
SHOWN = re.findall(r"<!-- part of (\S+) -->\n```(?:toml|python)\n(.*?)```", PAGE, re.DOTALL)
GENERATED = "level.py"
"""Written by `analytics new` while the page is read: tests/docs/test_blocks.py."""


def test_every_block_is_a_part_of_its_example_or_run() -> None:
    signature = PAGE.count("def score(readings: pd.DataFrame")
    assert len(SHOWN) == PAGE.count("```toml") + PAGE.count("```python") - signature >= 10
    for name, text in SHOWN:
        if name != GENERATED:
            assert text in (EXAMPLES / name).read_text(encoding="utf-8"), name
    for block in blocks_of(PATH):
        if block.language == "bash":
            assert block.directive == "run", block


@pytest.mark.parametrize("name", ["late_blight", "turbulence", "solar"])
def test_a_worked_case_is_short(name: str) -> None:
    """The user's own lines: scenario and function together."""
    files = [EXAMPLES / f"{name}{suffix}" for suffix in (".toml", ".py")]
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files if file.is_file()) <= 40


def test_every_example_that_the_page_starts_is_run_end_to_end() -> None:
    started = {
        words[0].partition("=")[2]
        for block in blocks_of(PATH)
        if block.language in SHELLS
        for line in block.text.splitlines()
        if (words := shlex.split(line.removeprefix("$ export "), comments=True))
        and words[0].startswith("PACIFICTOOL_SCENARIO=")
    }
    source = (ROOT / "tests" / "e2e" / "test_your_analytics.py").read_text(encoding="utf-8")
    assert len(started) >= 2
    for name in started:
        assert name.removeprefix("examples/").removesuffix(".toml") in source


def test_the_first_function_is_what_analytics_new_writes(tmp_path: Path) -> None:
    [text] = [text for name, text in SHOWN if name == GENERATED]
    created = create_function("level", tmp_path)
    assert text in created.module.read_text(encoding="utf-8")
    assert created.analytics in PAGE
