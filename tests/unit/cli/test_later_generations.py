from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pacifictool.rest import tutorial_rule, tutorial_rule_chain
from tests.support.chain_server import ChainServer
from tests.support.command_line import CommandLine
from tests.support.scripted_platform import ScriptedPlatform


@pytest.fixture
def server() -> Iterator[ScriptedPlatform]:
    with ScriptedPlatform() as server:
        yield server


@pytest.fixture
def chain_file(tmp_path: Path) -> Path:
    path = tmp_path / "chain.json"
    document = tutorial_rule_chain()
    document["ruleChain"]["name"] = "Mine"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_rule_chain_of_ones_own_is_imported_and_behind_the_root_chain(
    server: ScriptedPlatform, chain_file: Path, command_line: CommandLine
) -> None:
    chains = ChainServer(server, "4.3.1")
    environ = {"PACIFICTOOL_URL": server.url}
    first = command_line("import", "rule-chain", str(chain_file), "-o", "json", environ=environ)
    assert first.document["steps"] == [
        {"kind": "rule-chain", "name": "Mine", "action": "created", "differences": []},
        {
            "kind": "rule-chain",
            "name": "Root Rule Chain",
            "action": "changed",
            "differences": ["'Post telemetry' goes to 'Mine', too"],
        },
    ]
    again = command_line("import", "rule-chain", str(chain_file), "-o", "json", environ=environ)
    assert (again.document["unchanged"], again.document["created"]) == (2, 0)
    assert len(chains.with_name("Mine")) == 1


def test_a_rule_is_not_for_this_server(server: ScriptedPlatform, command_line: CommandLine, tmp_path: Path) -> None:
    ChainServer(server, "4.3.1")
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps(tutorial_rule()), encoding="utf-8")
    outcome = command_line("import", "rule", str(rule), "-o", "json", environ={"PACIFICTOOL_URL": server.url})
    assert (outcome.code, outcome.document["error"]["kind"]) == (2, "descriptor-error")
    assert "is of the generation 4.x" in outcome.document["error"]["message"]


def test_a_key_and_a_version_from_the_command_line(
    server: ScriptedPlatform, chain_file: Path, command_line: CommandLine, tmp_path: Path
) -> None:
    ChainServer(server, "4.3.1")
    key = tmp_path / "key"
    key.write_text("tb_secret\n")
    options = ("--url", server.url, "--api-key-file", str(key), "--server-version", "4.3.1", "-o", "json")
    outcome = command_line("import", "rule-chain", str(chain_file), "--no-activate", *options)
    assert outcome.code == 0, outcome.stderr
    assert {request.headers["x-authorization"] for request in server.requests} == {"ApiKey tb_secret"}
    assert server.count("GET", "/api/system/info") == 0
    assert server.logins == []
    assert "tb_secret" not in outcome.stdout + outcome.stderr


def test_a_step_that_takes_over_a_second_says_what_it_waits_for(
    server: ScriptedPlatform, chain_file: Path, command_line: CommandLine
) -> None:
    ChainServer(server, "4.3.1")
    environ = {"PACIFICTOOL_URL": server.url}
    assert "Logging in" not in command_line("import", "rule-chain", str(chain_file), environ=environ).stderr
    server.on("POST", "/api/auth/login", lambda _: replace(server.tokens(), delay_seconds=1.5))
    slow = command_line("import", "rule-chain", str(chain_file), environ=environ)
    assert slow.code == 0
    assert slow.stderr.startswith(f"Logging in at {server.url} …\n")
