"""Mistakes in options are found before anything is connected to."""

from __future__ import annotations

import pytest

from tests.support.command_line import CommandLine


@pytest.mark.parametrize(
    "options",
    [
        ("--starting-offsets", "123"),
        ("--starting-offsets", "soon"),
        ("--memory", "lots"),
        ("--conf", "novalue"),
        ("--duration", "soon"),
        ("--give-up-after", "never"),
        ("--only", "nosuch"),
        ("--window", "often"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_refused_without_a_server(command_line: CommandLine, options: tuple[str, str]) -> None:
    outcome = command_line("aggregate", *options, "--url", "http://127.0.0.1:1", "-o", "json")
    assert outcome.code == 2
    assert options[1] in outcome.document["error"]["message"]
