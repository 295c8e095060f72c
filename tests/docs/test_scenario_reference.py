from __future__ import annotations

from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from pacifictool.scenario import Scenario, parse_scenario

PAGE = (Path(__file__).parents[2] / "docs" / "scenario.md").read_text(encoding="utf-8")


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        item = get_args(kind)[0] if get_args(kind) else kind
        if prefix == "" and isinstance(item, type) and issubclass(item, BaseModel):
            found += keys(item, f"{name}[]." if get_args(kind) else f"{name}.")
        else:
            found.append(prefix + name)
    return found


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    documented = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert sorted(documented) == sorted(keys(Scenario))


def test_the_example_is_a_scenario() -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    assert parse_scenario(example, source="docs/scenario.md").turbines[0].name == "Wind Turbine 1"
