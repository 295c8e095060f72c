"""`alarm list` and `alarm clear` on a sandbox of each generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from pacifictool.rest import Asset, Device, Platform
from tests.support.command_line import CommandLine, Outcome
from tests.support.fixtures import platform_of_each_generation
from tests.support.nasty_names import LETTERS, MARKUP, is_shown, unseen_in

__all__ = ["platform_of_each_generation"]


@pytest.fixture
def run(platform: Platform, command_line: CommandLine) -> CommandLine:
    def call(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> Outcome:
        return command_line(*arguments, environ={"PACIFICTOOL_URL": platform.url, **(environ or {})}, stdin=stdin)

    return call


@pytest.fixture
def zone(platform: Platform, unique: str) -> Iterator[Asset]:
    asset = platform.assets.create(f"Zone {unique}", "WeatherStation")
    yield asset
    clear_all(platform, asset)


@pytest.fixture
def turbine(platform: Platform, unique: str) -> Iterator[Device]:
    device = platform.devices.create(f"Turbine {unique}", "WeatherStation")
    yield device
    clear_all(platform, device)


def clear_all(platform: Platform, entity: Asset | Device) -> None:
    for alarm in platform.alarms.of_many([entity], active=True):
        platform.alarms.clear(alarm.id)


def test_alarms_of_the_scenarios_entities(run: CommandLine, platform: Platform, zone: Asset, turbine: Device) -> None:
    """The most urgent first; those of other types are not shown."""
    assert run("alarm", "list").stdout.startswith("0 active alarms\n")
    other = platform.assets.create(f"Other {zone.name}", "Other")
    calm = platform.alarms.raise_alarm(zone, "Calm", "WARNING", {}, 3000, 4000)
    storm = platform.alarms.raise_alarm(turbine, "Storm", "CRITICAL", {"windSpeed": 40.5}, 1000, 2000)
    platform.alarms.raise_alarm(other, "Storm", "CRITICAL", {}, 1000, 2000)
    old = platform.alarms.raise_alarm(zone, "Old", "CRITICAL", {}, 5000, 6000)
    platform.alarms.clear(old.id)
    found = run("alarm", "list", "-o", "json").document
    assert found["ok"] is True
    assert found["alarms"][0] == {
        "id": storm.id,
        "type": "Storm",
        "severity": "CRITICAL",
        "status": "ACTIVE_UNACK",
        "entity": turbine.name,
        "entity_kind": "device",
        "start_ts": 1000,
        "end_ts": 2000,
        "details": {"windSpeed": 40.5},
    }
    assert [each["id"] for each in found["alarms"]] == [storm.id, calm.id]
    everything = run("alarm", "list", "--entity", zone.name, "--all", "-o", "json").document
    assert [each["id"] for each in everything["alarms"]] == [calm.id, old.id]
    shown = run("alarm", "list").stdout
    assert shown.startswith("2 active alarms\n")
    assert "1970-01-01 00:00:01Z" in shown
    clear_all(platform, other)


def test_clearing_by_type(run: CommandLine, platform: Platform, zone: Asset) -> None:
    alarm = platform.alarms.raise_alarm(zone, "Storm", "MAJOR", {}, 1, 2)
    platform.alarms.raise_alarm(zone, "Calm", "MINOR", {}, 1, 2)
    arguments = ("alarm", "clear", "--entity", zone.name, "--type", "Storm")
    assert run(*arguments, stdin="y\n").code == 2
    done = run(*arguments, "--yes", "-o", "json")
    assert (done.code, done.document) == (0, {"ok": True, "cleared": [alarm.id]})
    assert [each.type for each in platform.alarms.active(zone)] == ["Calm"]
    again = run(*arguments, "--yes", "-o", "json")
    assert (again.code, again.document["cleared"]) == (0, [])
    assert run(*arguments, "--yes").stdout == f"The alarm of {zone.name} is cleared already.\n"


def test_clearing_by_id(run: CommandLine, platform: Platform, zone: Asset) -> None:
    alarm = platform.alarms.raise_alarm(zone, "Storm", "MAJOR", {}, 1, 2)
    platform.assets.delete(zone.id)
    done = run("alarm", "clear", "--id", alarm.id.upper(), "--yes")
    assert (done.code, done.stdout) == (0, f"Cleared the alarm with the id {alarm.id}.\n")
    assert not platform.alarms.get(alarm.id).is_active
    assert "cleared already" in run("alarm", "clear", "--id", alarm.id, "--yes").stdout


def test_what_is_not_there(run: CommandLine, platform: Platform, zone: Asset) -> None:
    platform.alarms.raise_alarm(zone, "Too warm", "MAJOR", {}, 1, 2)
    alike = run("alarm", "clear", "--entity", zone.name, "--type", "too warn", "--yes", "-o", "json")
    assert (alike.code, alike.document["error"]["kind"]) == (1, "not-found")
    assert "Did you mean 'Too warm'?" in alike.document["error"]["hint"]
    nobody = run("alarm", "list", "--entity", zone.name.lower(), "-o", "json")
    assert (nobody.code, nobody.document["error"]["kind"]) == (1, "not-found")
    assert zone.name in nobody.document["error"]["hint"]
    unknown = run("alarm", "clear", "--id", "784f394c-42b6-135a-983c-b7beff2784f9", "--yes", "-o", "json")
    assert (unknown.code, unknown.document["error"]["kind"]) == (1, "not-found")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--entity", "Zone A"),
        ("--type", "Storm"),
        ("--id", "x"),
        ("--id", "784f394c-42b6-135a-983c-b7beff2784f9", "--type", "Storm"),
        ("--id", "784f394c-42b6-135a-983c-b7beff2784f9", "--entity", "Zone A", "--type", "Storm"),
    ],
)
def test_how_not_to_clear(run: CommandLine, arguments: tuple[str, ...]) -> None:
    outcome = run("alarm", "clear", *arguments, "--yes", "-o", "json")
    assert (outcome.code, outcome.document["error"]["kind"]) == (2, "usage-error")


def test_clearing_needs_a_yes(run: CommandLine, platform: Platform, zone: Asset) -> None:
    alarm = platform.alarms.raise_alarm(zone, "Storm", "MAJOR", {}, 1, 2)
    refused = run("alarm", "clear", "--entity", zone.name, "--type", "Storm", stdin="y\n")
    assert refused.code == 2
    assert "This clears an alarm, and there is no terminal to confirm it on." in refused.stderr
    assert platform.alarms.active(zone) == [alarm]


@pytest.mark.parametrize("name", [*MARKUP, *LETTERS])
def test_types_and_details_are_shown_as_they_are(run: CommandLine, platform: Platform, zone: Asset, name: str) -> None:
    platform.alarms.raise_alarm(zone, name, "MAJOR", {name: name}, 1, 10**18)
    shown = run("alarm", "list", "--entity", zone.name, environ={"COLUMNS": "400"}).stdout
    assert unseen_in(shown) == []
    assert is_shown(name, shown)
    exact = run("alarm", "list", "--entity", zone.name, "-o", "json").document["alarms"]
    assert (exact[0]["type"], exact[0]["details"]) == (name, {name: name})
