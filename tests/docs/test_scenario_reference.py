from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel

from pacifictool.analytics.engine import aggregates
from pacifictool.models.config import MODELS
from pacifictool.scenario import Scenario, parse_scenario
from pacifictool.scenario.aggregates import FUNCTIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8")


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        item = get_args(kind)[0] if get_args(kind) else kind
        if prefix == "" and isinstance(item, type) and issubclass(item, BaseModel):
            found += keys(item, f"{name}[]." if get_origin(kind) is tuple else f"{name}.")
        else:
            found.append(prefix + name)
    return found


def test_the_page_is_what_the_model_says() -> None:
    script = ROOT / "scripts" / "generate_scenario_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    tables = PAGE.partition("## Keys")[2].partition("## Functions")[0]
    documented = [line.split("`")[1] for line in tables.splitlines() if line.startswith("| `")]
    assert sorted(documented) == sorted(keys(Scenario))


def test_every_function_is_documented() -> None:
    table = PAGE.partition("## Functions")[2].partition("**Exact.**")[0]
    documented = set(re.findall(r"`([a-z_]+)\(", table)) - {"p1", "p99"}
    assert documented == set(FUNCTIONS)


def test_the_limits_of_the_functions_are_those_of_the_engine() -> None:
    assert f"up to {aggregates.EXACT:,} different values" in PAGE
    assert f"exact up to {aggregates.SMALLEST - 1:,} different values" in PAGE
    assert f"{100 / aggregates.SMALLEST**0.5:.1f} %" in PAGE
    assert f"{100 / 2**aggregates.DIGITS:.1f} %" in PAGE


def test_every_model_is_documented_with_its_keys() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.partition("\n## Models\n")[2].splitlines() if line.startswith('| `"')]
    documented = {name.strip(' `"'): set(re.findall(r"`(\w+)`", columns)) for name, columns in rows}
    assert documented == {name: set(model.model_fields) - {"model"} for name, model in MODELS.items()}


def test_the_example_is_a_scenario() -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    assert parse_scenario(example, source="docs/scenario.md").devices[0].name == "Wind Turbine 1"
