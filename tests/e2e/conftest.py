from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.local.stack import LocalStack
from pacifictool.scenario import tutorial_scenario
from tests.support.command_line import CommandLine, Outcome, variables_of
from tests.support.sandbox_clients import Tenant
from tests.support.snapshots import Snapshot, WriteScenario, restore, snapshot


@pytest.fixture
def before(stack: LocalStack) -> Iterator[Snapshot]:
    """What the stack's platform held before the test; everything else is deleted after it."""
    found = snapshot(stack.platform.url)
    yield found
    restore(stack.platform.url, found)


@pytest.fixture
def tenant(stack: LocalStack) -> Tenant:
    return Tenant(stack.platform.url)


@pytest.fixture
def on_stack(stack: LocalStack, command_line: CommandLine, before: Snapshot) -> CommandLine:
    """The command line, pointed at the stack."""

    def call(*arguments: str, environ: dict[str, str] | None = None, stdin: str = "") -> Outcome:
        return command_line(*arguments, environ={**variables_of(stack), **(environ or {})}, stdin=stdin)

    return call


@pytest.fixture
def write_scenario(tmp_path: Path) -> WriteScenario:
    """Writes a scenario of `turbines` turbines in `zones` zones, with an asset for each zone, and with the names of
    the tutorial's plugin, rule and rule chain; gives its path."""

    def write(
        prefix: str,
        *,
        turbines: int = 2,
        zones: int = 1,
        device_type: str = "WeatherStation",
        topic: str | None = None,
        partitions: int = 1,
        zone_key: str = "geoZone",
        value_key: str = "windSpeed",
        name: str = "scenario.toml",
    ) -> Path:
        tutorial = tutorial_scenario().forwarding
        lines = [
            f"[platform]\ndevice_type = {json.dumps(device_type)}",
            f'[forwarding]\ntopic = "{topic or prefix}"\npartitions = {partitions}',
            f'attributes = ["{zone_key}"]\ntelemetry = ["{value_key}"]\nvalid = {{ {value_key} = {{ min = 0 }} }}',
            f'plugin = "{tutorial.plugin_name}"\nplugin_token = "{tutorial.plugin_api_token}"',
            f'rule = "{tutorial.rule_name}"\nrule_chain = "{tutorial.rule_chain_name}"',
            f'[[analytics]]\nname = "zones"\ngroup_by = ["{zone_key}"]\nwindow = "10s"',
            f'telemetry = {{ {value_key} = "mean({value_key})" }}',
            *(
                f'[[devices]]\nname = "{prefix} {number:05d}"\nrate = 20\n'
                f'attributes = {{ {zone_key} = "{prefix} Z{number % zones}" }}\n'
                f"telemetry = {{ {value_key} = {{ min = 30, max = 35 }} }}"
                for number in range(turbines)
            ),
            *(f'[[assets]]\nname = "{prefix} Z{number}"' for number in range(zones)),
        ]
        path = tmp_path / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write
