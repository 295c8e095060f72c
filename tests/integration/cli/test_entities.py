from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifictool.local.stack import LocalStack
from pacifictool.rest import tutorial_plugin, tutorial_rule
from tests.support.command_line import CommandLine
from tests.support.snapshots import Snapshot, restore, snapshot, with_name


@pytest.fixture(autouse=True)
def before(stack: LocalStack) -> Iterator[Snapshot]:
    found = snapshot(stack.platform.url)
    yield found
    restore(stack.platform.url, found)


def ask(on_stack: CommandLine, *arguments: str) -> Any:
    outcome = on_stack(*arguments, "-o", "json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.document["ok"] is True
    return outcome.document


@pytest.mark.parametrize("noun", ["device", "asset"])
def test_creating_listing_and_deleting(noun: str, on_stack: CommandLine) -> None:
    made = ask(on_stack, noun, "create", "Alpha 1")
    assert made["created"] is True
    assert (made[noun]["name"], made[noun]["type"]) == ("Alpha 1", "WeatherStation")
    again = ask(on_stack, noun, "create", "Alpha 1", "--type", "Other")
    assert again["created"] is False
    assert again[noun] == made[noun]
    ask(on_stack, noun, "create", "alpha 2", "--type", "Other")

    def names(*filters: str) -> list[str]:
        return [entity["name"] for entity in ask(on_stack, noun, "list", *filters)[f"{noun}s"]]

    assert {"Alpha 1", "alpha 2"} <= set(names())
    assert names("--search", "ALPHA") == ["Alpha 1", "alpha 2"]
    assert names("--type", "Other") == ["alpha 2"]
    assert ask(on_stack, noun, "delete", "--yes", "Alpha 1") == {"ok": True, "deleted": "Alpha 1"}
    assert names("--search", "alpha") == ["alpha 2"]


def test_the_sentences_for_people(on_stack: CommandLine) -> None:
    assert on_stack("device", "create", "D").stdout == "Created device D.\n"
    assert on_stack("device", "create", "D").stdout == "The device D already exists.\n"
    assert on_stack("device", "list", "--search", "D").stdout.startswith("2 devices\n")
    assert on_stack("attributes", "set", "D", "a=1", "b=c").stdout == "Set 2 client attributes of D.\n"
    assert "client   a     1" in on_stack("attributes", "show", "D").stdout
    token = on_stack("device", "token", "D").stdout
    assert len(token.strip()) == 20
    assert on_stack("device", "delete", "D", "--yes").stdout == "Deleted device D.\n"


@pytest.mark.parametrize("noun", ["device", "asset"])
def test_an_unknown_name_gets_the_nearest_ones_suggested(noun: str, on_stack: CommandLine) -> None:
    ask(on_stack, noun, "create", "Wind Turbine 1")
    for arguments in ((noun, "delete", "--yes", "wind turbine 1"), (noun, "delete", "--yes", "Wind Turbin 1")):
        outcome = on_stack(*arguments, "-o", "json")
        assert (outcome.code, outcome.document["error"]["kind"]) == (1, "not-found")
        assert "Did you mean 'Wind Turbine 1'" in outcome.document["error"]["hint"]
    outcome = on_stack(noun, "delete", "--yes", "zzz", "-o", "json")
    assert "list` show all names" in outcome.document["error"]["hint"]


def test_deleting_needs_a_yes(on_stack: CommandLine, stack: LocalStack) -> None:
    ask(on_stack, "device", "create", "Precious")
    outcome = on_stack("device", "delete", "Precious", stdin="y\n")
    assert outcome.code == 2
    assert with_name(snapshot(stack.platform.url)["devices"], "Precious")


@pytest.mark.parametrize("scope", ["client", "server", "shared"])
def test_attributes_keep_their_types_in_every_scope(scope: str, on_stack: CommandLine) -> None:
    ask(on_stack, "device", "create", "Typed")
    pairs = [
        'text=plain "quoted" text',
        "number=31",
        "fraction=1.5",
        "large=1e22",
        "yes=true",
        'digits="31"',
        "empty=",
        "nothing=null",
        "nan=NaN",
        'object={"a": 1}',
        "equals=a=b",
        "zone=Zóna Ω",
    ]
    ask(on_stack, "attributes", "set", "Typed", *pairs, "--scope", scope)
    shown = ask(on_stack, "attributes", "show", "Typed")["attributes"]
    assert shown[scope] == {
        "text": 'plain "quoted" text',
        "number": 31,
        "fraction": 1.5,
        "large": 1e22,
        "yes": True,
        "digits": "31",
        "empty": "",
        "nothing": "null",
        "nan": "NaN",
        "object": '{"a": 1}',
        "equals": "a=b",
        "zone": "Zóna Ω",
    }
    assert ask(on_stack, "attributes", "show", "Typed", "--scope", scope)["attributes"] == {scope: shown[scope]}
    assert [other for other in shown if other != scope and shown[other]] == []


def test_attributes_of_assets_are_the_servers(on_stack: CommandLine) -> None:
    ask(on_stack, "asset", "create", "House")
    ask(on_stack, "attributes", "set", "--asset", "House", "--scope", "server", "floors=3")
    assert ask(on_stack, "attributes", "show", "--asset", "House", "--scope", "server")["attributes"] == {
        "server": {"floors": 3}
    }


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The tutorial's plugin and rule with another token, as a person may have exported them."""
    plugin, rule = tmp_path / "plugin.json", tmp_path / "rule.json"
    exported = {"id": {"entityType": "PLUGIN", "id": "0"}, "createdTime": 1, "state": "ACTIVE", "tenantId": None}
    plugin.write_text(json.dumps({**tutorial_plugin(), "apiToken": "import-test", **exported}), encoding="utf-8-sig")
    rule.write_text(json.dumps({**tutorial_rule(), "name": "Imported", "pluginToken": "import-test"}))
    return plugin, rule


def test_importing_creates_updates_and_leaves_alone(
    files: tuple[Path, Path], on_stack: CommandLine, stack: LocalStack
) -> None:
    plugin, rule = files
    for kind, path in (("plugin", plugin), ("rule", rule)):
        assert [step["action"] for step in ask(on_stack, "import", kind, str(path))["steps"]] == ["created"]
        assert ask(on_stack, "import", kind, str(path))["unchanged"] == 1
    made = snapshot(stack.platform.url)
    [made_plugin] = [one for one in made["plugins"].values() if one["apiToken"] == "import-test"]
    [made_rule] = with_name(made["rules"], "Imported")
    assert (made_plugin["state"], made_rule["state"]) == ("ACTIVE", "ACTIVE")

    document = json.loads(rule.read_text())
    rule.write_text(json.dumps({**document, "weight": 5}))
    [step] = ask(on_stack, "import", "rule", str(rule))["steps"]
    assert (step["action"], step["differences"]) == ("changed", ["weight: 5 instead of 0"])
    [updated] = with_name(snapshot(stack.platform.url)["rules"], "Imported")
    assert (updated["id"], updated["weight"], updated["state"]) == (made_rule["id"], 5, "ACTIVE")


def test_importing_without_activation(files: tuple[Path, Path], on_stack: CommandLine, stack: LocalStack) -> None:
    plugin, rule = files
    ask(on_stack, "import", "plugin", "--no-activate", str(plugin))
    ask(on_stack, "import", "rule", str(rule), "--no-activate")
    made = snapshot(stack.platform.url)
    assert [one["state"] for one in made["plugins"].values() if one["apiToken"] == "import-test"] == ["SUSPENDED"]
    assert with_name(made["rules"], "Imported")[0]["state"] == "SUSPENDED"
    assert ask(on_stack, "import", "plugin", "--no-activate", str(plugin))["unchanged"] == 1
    [step] = ask(on_stack, "import", "plugin", str(plugin))["steps"]
    assert step["differences"] == ["state: ACTIVE instead of SUSPENDED"]
