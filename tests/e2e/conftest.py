from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.local.stack import LocalStack
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
    """Writes a scenario of `turbines` turbines in `zones` zones, with an asset for each zone; returns its path."""

    def write(
        prefix: str,
        *,
        turbines: int = 2,
        zones: int = 1,
        entity_type: str = "WeatherStation",
        topic: str | None = None,
        partitions: int = 1,
        extra: str = "",
        name: str = "scenario.toml",
    ) -> Path:
        lines = [
            f'[platform]\nentity_type = "{entity_type}"',
            f'[kafka]\ntopic = "{topic or prefix}"\npartitions = {partitions}',
            extra,
            *(
                f'[[turbines]]\nname = "{prefix} {number:05d}"\nzone = "{prefix} Z{number % zones}"\n'
                "wind_speed = { min = 30, max = 35 }\nrate = 20"
                for number in range(turbines)
            ),
            *(f'[[assets]]\nname = "{prefix} Z{number}"' for number in range(zones)),
        ]
        path = tmp_path / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write
