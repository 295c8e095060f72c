from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pacifictool.models.config import MODELS, read_column

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_winds", ROOT / "scripts" / "draw_winds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_winds"] = module
    spec.loader.exec_module(module)
    return module


def test_every_model_has_an_example_and_a_picture_that_shows_it(script: ModuleType) -> None:
    examples = script.examples()
    assert [example.name for example in examples] == list(MODELS)
    for example in examples:
        assert example.turbine.wind_speed.model == example.name
        picture = example.path.read_text(encoding="utf-8")
        assert example.digest in picture, f"{example.path.name} is out of date: python scripts/draw_winds.py"
        assert picture.count("Turbine 1") == picture.count("Turbine 2") == 1
        assert len(set(example.series)) == (1 if example.name == "constant" else 2)


def test_the_rows_that_the_page_replays(script: ModuleType) -> None:
    rows = list(read_column(ROOT / "examples" / "gusts.csv", "gust"))
    [replay] = [example for example in script.examples() if example.name == "replay"]
    for series in replay.series:
        # Ten readings per second, two rows per second, from any row on.
        assert any(
            list(series) == [rows[(first + number // 5) % len(rows)] for number in range(len(series))]
            for first in range(len(rows))
        )
