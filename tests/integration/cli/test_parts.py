"""`plugin`, `rule`, `rule-chain`, `telemetry` and `import` on a sandbox of each generation."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pacifictool.rest import Platform, tutorial_plugin, tutorial_rule, tutorial_rule_chain
from tests.support.command_line import CommandLine, Outcome
from tests.support.fixtures import platform_of_each_generation

__all__ = ["platform_of_each_generation"]

NOBODY_THERE = "127.0.0.1:1"


@pytest.fixture
def run(platform: Platform, command_line: CommandLine) -> CommandLine:
    environ_of_all = {"PACIFICTOOL_URL": platform.url, "PACIFICTOOL_KAFKA": NOBODY_THERE}

    def call(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> Outcome:
        return command_line(*arguments, environ={**environ_of_all, **(environ or {})}, stdin=stdin)

    return call


def imported(run: CommandLine, kind: str, descriptor: Mapping[str, Any], folder: Path) -> Outcome:
    file = folder / f"{kind}.json"
    file.write_text(json.dumps(descriptor), encoding="utf-8")
    return run("import", kind, str(file), "--no-activate")


def test_parts_are_listed_activated_and_suspended(
    run: CommandLine, platform: Platform, unique: str, tmp_path: Path
) -> None:
    is_first = platform.generation() == "1.x"
    if is_first:
        token = f"kafka{unique}"
        imported(run, "plugin", {**tutorial_plugin(), "name": f"P {unique}", "apiToken": token}, tmp_path)
        imported(run, "rule", {**tutorial_rule(), "name": f"R {unique}", "pluginToken": token}, tmp_path)
        parts = [("plugin", f"P {unique}"), ("rule", f"R {unique}")]
    else:
        chain = tutorial_rule_chain()
        chain["ruleChain"]["name"] = f"C {unique}"
        assert imported(run, "rule-chain", chain, tmp_path).code == 0
        parts = [("rule-chain", f"C {unique}")]

    def states(kind: str) -> dict[str, str]:
        document = run(kind, "list", "-o", "json").document
        return {part["name"]: part["state"] for part in document[f"{kind.replace('-', '_')}s"]}

    for kind, name in parts:
        assert states(kind)[name] == "suspended"
        done = run(kind, "activate", name, "-o", "json").document
        assert (done["changed"], done[kind.replace("-", "_")]["state"]) == (True, "active")
        assert states(kind)[name] == "active"
        assert run(kind, "activate", name, "-o", "json").document["changed"] is False
        assert name in run(kind, "list").stdout
    for kind, name in reversed(parts):
        assert run(kind, "suspend", name).stdout == f"The {kind.replace('-', ' ')} {name} is suspended.\n"
        assert states(kind)[name] == "suspended"
        missing = run(kind, "suspend", f"{name}x", "-o", "json").document["error"]
        assert (missing["kind"], f"Did you mean {name!r}" in missing["hint"]) == ("not-found", True)
    wrong = run("rule-chain" if is_first else "plugin", "list", "-o", "json")
    assert (wrong.code, wrong.document["error"]["kind"]) == (2, "usage-error")


def test_of_several_with_a_name_one_is_named_by_its_id(
    run: CommandLine, platform: Platform, unique: str, tmp_path: Path
) -> None:
    if platform.generation() == "1.x":
        kind, name = "plugin", f"Two {unique}"
        for number in (1, 2):
            imported(run, "plugin", {**tutorial_plugin(), "name": name, "apiToken": f"t{unique}{number}"}, tmp_path)
    else:
        kind, name = "rule-chain", f"Two {unique}"
        for _ in range(2):
            platform.session.request("POST", "/api/ruleChain", body=json.dumps({"name": name}).encode())
    refused = run(kind, "suspend", name, "-o", "json")
    assert (refused.code, "Name one of them by its id." in refused.document["error"]["hint"]) == (2, True)
    listed = run(kind, "list", "-o", "json").document[f"{kind.replace('-', '_')}s"]
    first = next(part["id"] for part in listed if part["name"] == name)
    assert first in refused.document["error"]["message"]
    assert run(kind, "suspend", first).code == 0


def test_the_root_rule_chain_stays(run: CommandLine, platform: Platform) -> None:
    if platform.generation() == "1.x":
        return  # these servers have none: see above
    listed = run("rule-chain", "list", "-o", "json").document["rule_chains"]
    [root] = [part for part in listed if part["state"] == "root"]
    assert run("rule-chain", "suspend", root["name"], "-o", "json").document["error"]["kind"] == "invalid-request"
    assert run("rule-chain", "activate", root["name"], "-o", "json").document["changed"] is False


def test_an_import_says_that_the_files_kafka_is_another(
    run: CommandLine, platform: Platform, unique: str, tmp_path: Path
) -> None:
    if platform.generation() == "1.x":
        kind, descriptor = "plugin", {**tutorial_plugin(), "name": unique, "apiToken": unique}
    else:
        kind, descriptor = "rule-chain", tutorial_rule_chain()
    assert "The file names Kafka at localhost:9092" in imported(run, kind, descriptor, tmp_path).stderr
    text = json.dumps(descriptor).replace("localhost:9092", NOBODY_THERE)
    assert "Kafka at" not in imported(run, kind, json.loads(text), tmp_path).stderr


@pytest.mark.parametrize("asset", [False, True], ids=["device", "asset"])
def test_telemetry_of_any_entity(run: CommandLine, platform: Platform, unique: str, asset: bool) -> None:
    registry = platform.assets if asset else platform.devices
    entity = registry.create(unique, "Any")
    now_ms = round(time.time() * 1000)
    platform.telemetry.write(entity, [(now_ms - 1000 * n, {"a": n, "b": f"text {n}"}) for n in range(30, 0, -1)])
    flags = ("--asset",) if asset else ()

    latest = run("telemetry", "show", unique, *flags, "-o", "json").document
    assert latest == {
        "ok": True, "name": unique, "cut": [],
        "telemetry": {"a": [{"ts": now_ms - 1000, "value": 1}], "b": [{"ts": now_ms - 1000, "value": "text 1"}]},
    }  # fmt: skip
    last = run("telemetry", "show", unique, *flags, "--last", "1h", "--limit", "5", "--key", "a", "-o", "json").document
    assert [point["value"] for point in last["telemetry"]["a"]] == [5, 4, 3, 2, 1]
    assert last["cut"] == ["a"]
    table = run("telemetry", "show", unique, *flags, "--last", "1h", "--limit", "5").stdout
    assert "There are more points of a, b: these are the newest 5." in table
    whole = run("telemetry", "show", unique, *flags, "--last", "1h", "-o", "json").document
    assert (len(whole["telemetry"]["b"]), whole["cut"]) == (30, [])
    assert run("telemetry", "show", unique, *flags, "--key", "nosuch", "-o", "json").document["telemetry"] == {
        "nosuch": []
    }
