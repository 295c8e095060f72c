"""Every command that shows names, with names that a terminal, Rich or a line-based reader would interpret."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pacifictool.cli.environment import Environment
from pacifictool.cli.main import run
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import NO_RETRY, Platform, Session
from pacifictool.settings import Secret
from tests.support.command_line import CommandLine, Outcome
from tests.support.nasty_names import LETTERS, MARKUP, NASTY, USABLE, is_shown, unseen_in

Draw = Callable[..., Outcome]


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A platform without a broker: most of the output does not come from Kafka."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data") as process:
        yield process


@pytest.fixture
def variables(sandbox: SandboxProcess) -> dict[str, str]:
    return {
        "PACIFICTOOL_URL": sandbox.url,
        "PACIFICTOOL_MQTT": f"127.0.0.1:{sandbox.mqtt_port}",
        "PACIFICTOOL_KAFKA": "127.0.0.1:1",
    }


@pytest.fixture
def on_sandbox(variables: dict[str, str], command_line: CommandLine) -> CommandLine:
    return lambda *arguments: command_line(*arguments, environ=variables)


@pytest.fixture
def platform(sandbox: SandboxProcess) -> Iterator[Platform]:
    with Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)) as platform:
        yield platform


@pytest.fixture
def on_screen(variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """The command line as a person at a large terminal gets it."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("LINES", "300")

    def call(*arguments: str, typed: str = "") -> Outcome:
        stdin, stdout, stderr = Screen(typed), Screen(), Screen()
        environ = {**variables, "PACIFICTOOL_STATE": str(tmp_path / "state")}
        environment = Environment(stdin, stdout, stderr, environ, tmp_path, tmp_path / "config.toml")
        code = run(["--password-file", str(tmp_path / "password"), *arguments], environment)
        return Outcome(int(code), stdout.getvalue(), stderr.getvalue())

    (tmp_path / "password").write_text("tenant")
    return call


def check(outcome: Outcome, names: Sequence[str] = (), *, code: int = 0, drawn: bool = False) -> None:
    """Names are readable and nothing in them takes effect."""
    output = outcome.stdout + outcome.stderr
    assert "Traceback" not in output
    assert "unexpected" not in output, output
    assert outcome.code == code, output
    assert unseen_in(output, drawn=drawn) == []
    assert [name for name in names if not is_shown(name, output)] == []


def zone_of(name: str, unique: str) -> str:
    """A zone of that name, as far as a template of 1.x can write it (docs/servers/1.x.md#filters-and-templates)."""
    plain = name.translate({ord(char): None for char in '"\\'})
    return f"Z {plain} {unique}"


def scenario_of(folder: Path, names: Sequence[str], unique: str) -> str:
    """A scenario whose devices and groups have these names."""

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

    entries = [
        f"[[devices]]\nname = {quoted(f'T {name} {unique}')}\n"
        f"attributes = {{ geoZone = {quoted(zone_of(name, unique))} }}\n"
        "telemetry = { windSpeed = { min = 30, max = 35 } }\n"
        for name in names
    ]
    path = folder / f"scenario-{unique}.toml"
    path.write_text(
        f'[platform]\ndevice_type = {quoted(f"[i] {unique}")}\n[forwarding]\ntopic = "t-{unique}"\n'
        'attributes = ["geoZone"]\ntelemetry = ["windSpeed"]\n[[analytics]]\nname = "zones"\ngroup_by = ["geoZone"]\n'
        f'window = "2s"\ntelemetry = {{ windSpeed = "mean(windSpeed)" }}\n{"".join(entries)}',
        encoding="utf-8",
    )
    return str(path)


@pytest.fixture
def devices(platform: Platform, unique: str) -> Iterator[list[str]]:
    names = [f"{unique} {name}" for name in NASTY]
    made = [platform.devices.create(name, "type [b] \x9b") for name in names]
    yield names
    for device in made:
        platform.devices.delete(device.id)


def test_lists_of_devices(devices: list[str], unique: str, on_sandbox: CommandLine, on_screen: Draw) -> None:
    check(on_sandbox("device", "list", "--search", unique), devices)
    check(on_screen("device", "list", "--search", unique), devices, drawn=True)
    outcome = on_sandbox("device", "list", "--search", unique, "-o", "json")
    check(outcome)
    assert sorted(device["name"] for device in outcome.document["devices"]) == sorted(devices)


@pytest.mark.parametrize("start", [0, *(pytest.param(start, marks=pytest.mark.long) for start in (1, 2))])
def test_commands_on_one_device(devices: list[str], on_sandbox: CommandLine, on_screen: Draw, start: int) -> None:
    for name in devices[start::3]:
        if "\x00" in name:
            continue  # no argument of a process can contain it
        check(on_sandbox("attributes", "set", name, "[/k]\x9b=[b]\u202ev", "--scope", "server"), [name])
        shown = on_sandbox("attributes", "show", name)
        check(shown, [name, "[/k]", "[b]"])
        check(on_screen("attributes", "show", name), [name, "[/k]", "[b]"], drawn=True)
        missing = on_sandbox("device", "token", f"{name}x")
        check(missing, code=1)
    asked = on_screen("device", "delete", devices[1], typed="n\n")
    check(asked, [devices[1]], code=130, drawn=True)


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_any_name(name: str, platform: Platform, on_sandbox: CommandLine) -> None:
    device = platform.devices.create(f"any {name}.", "[/]")
    try:
        check(on_sandbox("device", "list", "--search", "any "), [f"any {name}."])
        check(on_sandbox("attributes", "show", f"any {name}."), [f"any {name}."])
        listed = on_sandbox("device", "list", "--search", "any ", "-o", "json")
        assert f"any {name}." in [one["name"] for one in listed.document["devices"]]
        check(listed)
        check(on_sandbox("device", "delete", f"any {name}.", "--yes"), [f"any {name}."])
    finally:
        if platform.devices.find(device.name) is not None:
            platform.devices.delete(device.id)


def test_creating_what_can_be_named_on_the_command_line(on_sandbox: CommandLine, unique: str) -> None:
    for name in MARKUP + LETTERS:
        check(on_sandbox("asset", "create", f"{unique} {name}"), [f"{unique} {name}"])
        check(on_sandbox("asset", "create", f"{unique} {name}"), [f"{unique} {name}"])
        check(on_sandbox("asset", "delete", f"{unique} {name}", "--yes"), [f"{unique} {name}"])


def test_the_way_of_a_scenario(
    on_sandbox: CommandLine, on_screen: Draw, platform: Platform, tmp_path: Path, unique: str
) -> None:
    path = scenario_of(tmp_path, USABLE, unique)
    turbines = [f"T {name} {unique}" for name in USABLE]
    zones = [zone_of(name, unique) for name in USABLE]
    missing = on_sandbox("simulate", "--scenario", path, "--all", "--count", "1")
    check(missing, code=1)
    for turbine in turbines:
        platform.devices.create(turbine, f"[i] {unique}")
    for zone in dict.fromkeys(zones):
        platform.telemetry.write(
            platform.assets.create(zone, f"[i] {unique}"), [(time.time_ns() // 1_000_000, {"windSpeed": 32.5})]
        )
    check(on_sandbox("simulate", "--scenario", path, "--all", "--count", "1", "-v"))
    for call, drawn in ((on_sandbox, False), (on_screen, True)):
        seen = call("watch", "--scenario", path, "--limit", "1000", "--once")
        check(seen, [*turbines, *zones], drawn=drawn)
    check(on_sandbox("watch", "--scenario", path, "--duration", "100ms"))  # a line shows a few, and counts the others
    check(
        on_screen("watch", "--scenario", path, "--limit", "1000", "--duration", "3s"), [*turbines, *zones], drawn=True
    )
    followed = on_sandbox("watch", "--scenario", path, "--duration", "100ms", "-o", "json")
    check(followed)
    assert {device["name"] for device in json.loads(followed.stdout.splitlines()[-1])["devices"]} <= {*turbines}
    traced = on_sandbox("trace", "--scenario", path, "--device", turbines[0], "--until", "stored")
    check(traced, turbines[:1], code=traced.code)
    check(on_sandbox("simulate", "--scenario", path, "--device", f"{turbines[0]}x", "--count", "1"), code=2)
    for call, drawn in ((on_sandbox, False), (on_screen, True)):
        check(call("doctor", "--scenario", path), code=1, drawn=drawn)


@pytest.mark.parametrize("start", [0, *(pytest.param(start, marks=pytest.mark.long) for start in (1, 2, 3))])
def test_setup_and_teardown(on_stack: CommandLine, tmp_path: Path, unique: str, start: int) -> None:
    # Of more than twelve, the others would be counted, not listed.
    names = USABLE[start::4]
    path = scenario_of(tmp_path, names, f"{unique}-{start}")
    turbines = [f"T {name} {unique}-{start}" for name in names]
    check(on_stack("setup", "--scenario", path, "-v"), turbines)
    check(on_stack("setup", "--scenario", path, "-o", "json"))
    check(on_stack("teardown", "--scenario", path, "--yes"), turbines)
