from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from pacifictool.models.config import MODELS, ReplayModel
from pacifictool.scenario import parse_scenario

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_models", ROOT / "scripts" / "draw_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_models"] = module
    spec.loader.exec_module(module)
    return module


def test_every_model_has_an_example_and_a_picture_that_shows_it(script: ModuleType) -> None:
    examples = script.examples()
    assert [example.name for example in examples] == list(MODELS)
    for example in examples:
        assert example.device.telemetry["windSpeed"].model == example.name
        picture = example.path.read_text(encoding="utf-8")
        assert example.digest in picture, f"{example.path.name} is out of date: python scripts/draw_models.py"
        assert picture.count("Turbine 1") == picture.count("Turbine 2") == 1
        assert len(set(example.series)) == (1 if example.name == "constant" else 2)


def test_the_rows_that_the_page_replays(script: ModuleType) -> None:
    rows = list(ReplayModel(model="replay", file=ROOT / "examples" / "gusts.csv", column="gust").values("windSpeed"))
    [replay] = [example for example in script.examples() if example.name == "replay"]
    for series in replay.series:
        # Ten readings a second, two rows a second, from some row on.
        assert any(
            list(series) == [rows[(first + number // 5) % len(rows)] for number in range(len(series))]
            for first in range(len(rows))
        )


def fragments() -> list[str]:
    """The TOML texts of the pages on simulation, each as the tables of a scenario."""
    found = []
    for page in ("models.md", "fleets.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        found += re.findall(r"```toml\n(.+?)```", text, re.DOTALL)
    return [text if text.startswith("[") else f'[[devices]]\nname = "T"\n{text}' for text in found]


@pytest.mark.parametrize("text", fragments())
def test_the_scenarios_of_the_pages_are_valid(text: str) -> None:
    document = tomllib.loads(text)
    tables = [*document.get("devices", []), *([document["fleet"]] if "fleet" in document else [])]
    keys = sorted({key for table in tables for key in table["telemetry"]})
    attributes = sorted({key for table in tables for key in table.get("attributes", {})})
    named = "" if "damp" not in text else '\n[models.damp]\nmodel = "constant"\nvalue = 60\n'
    whole = f'[forwarding]\ntopic = "t"\ntelemetry = {keys}\nattributes = {attributes}\n{named}{text}'
    parse_scenario(whole, source="the page", folder=ROOT / "examples")
