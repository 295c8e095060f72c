"""`show` and `help`: what they print can be used as it is."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from pacifictool.rest import read_plugin, read_rule, read_rule_chain
from pacifictool.scenario import load_scenario, tutorial_scenario
from tests.support.command_line import CommandLine

RESOURCES = resources.files("pacifictool") / "resources"


def test_the_tutorials_files_are_printed_as_they_are(command_line: CommandLine, tmp_path: Path) -> None:
    for name, file in (
        ("plugin", "kafka_plugin.json"),
        ("rule", "windspeed_rule.json"),
        ("rule-chain", "weather_rule_chain.json"),
    ):
        outcome = command_line("show", name)
        assert (outcome.code, outcome.stderr) == (0, "")
        assert json.loads(outcome.stdout) == json.loads((RESOURCES / file).read_text(encoding="utf-8")), name
        assert command_line("show", name, "-o", "json").document[name.replace("-", "_")] == json.loads(outcome.stdout)
        (tmp_path / file).write_text(outcome.stdout, encoding="utf-8")
    read_plugin(tmp_path / "kafka_plugin.json")
    read_rule(tmp_path / "windspeed_rule.json")
    read_rule_chain(tmp_path / "weather_rule_chain.json")


def test_the_printed_scenario_is_one(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(command_line("show", "scenario").stdout, encoding="utf-8")
    assert load_scenario(tmp_path / "mine.toml") == tutorial_scenario()
    document = command_line("show", "scenario", "--scenario", str(tmp_path / "mine.toml"), "-o", "json").document
    assert document["scenario"]["forwarding"]["topic"] == "weather-stations-data"


@pytest.mark.parametrize("topic", ["topic-missing", "docs/troubleshooting.md#topic-missing", "#topic-missing"])
def test_help_prints_the_entry_that_an_error_names(command_line: CommandLine, topic: str) -> None:
    outcome = command_line("help", topic)
    assert outcome.code == 0
    assert "topic" in outcome.stdout
    assert command_line("help", topic, "-o", "json").document["topic"] == "topic-missing"


def test_an_unknown_entry_suggests_one(command_line: CommandLine) -> None:
    outcome = command_line("help", "topic-mising")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "Did you mean 'topic-missing'" in outcome.stderr
