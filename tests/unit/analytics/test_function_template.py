from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from pacifictool.analytics.function_template import create_function
from pacifictool.errors import FileNotWritten, UsageError
from pacifictool.scenario import ForwardingConfig, parse_scenario

FORWARDING = ForwardingConfig.model_validate({"topic": "t", "attributes": ["server:tier"], "telemetry": ["v"]})


def test_the_lines_fit_into_a_scenario_that_finds_the_function(tmp_path: Path) -> None:
    created = create_function("anomaly", tmp_path, FORWARDING)
    forwarding = '[forwarding]\ntopic = "t"\nattributes = ["server:tier"]\ntelemetry = ["v"]\n'
    scenario = parse_scenario(forwarding + created.analytics, source="test", folder=tmp_path)
    [analytics] = scenario.analytics
    assert (analytics.name, analytics.group_by, analytics.history) == ("anomaly", ("tier",), 1)
    assert analytics.function is not None
    assert analytics.function.file == created.module
    names = [
        node.name for node in ast.parse(created.module.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    assert names == [analytics.function.name]


@pytest.mark.parametrize(
    ("forwarding", "note"),
    [
        (None, False),
        (ForwardingConfig.model_validate({"topic": "t", "telemetry": ["v"], "device": True}), False),
        (ForwardingConfig.model_validate({"topic": "t", "telemetry": ["v"]}), True),
    ],
)
def test_without_attributes_by_device(forwarding: ForwardingConfig | None, note: bool, tmp_path: Path) -> None:
    lines = create_function("anomaly", tmp_path, forwarding).analytics
    assert tomllib.loads(lines)["analytics"][0]["group_by"] == ["deviceName"]
    assert ("needs device = true" in lines) == note


@pytest.mark.parametrize("existing", ["anomaly.py", "test_anomaly.py"])
def test_nothing_is_overwritten(existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="already exists"):
        create_function("anomaly", tmp_path)
    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [(existing, "mine")]


@pytest.mark.parametrize("name", ["4a", "a-b", "", "class", "_hidden", "json", "pandas", "pacifictool", "größe", "a.b"])
def test_names_that_cannot_be_imported_or_hide_a_module(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be the name|would hide"):
        create_function(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_or_the_error_says_why_not(tmp_path: Path) -> None:
    assert create_function("anomaly", tmp_path / "a" / "b").module == tmp_path / "a" / "b" / "anomaly.py"
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(FileNotWritten, match=r"cannot be written to"):
        create_function("anomaly", tmp_path / "file")
