"""What doctor says of devices and assets, in the words of the scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from pacifictool.doctor.checks import CheckContext, CheckResult, DoctorCheck
from pacifictool.doctor.devices import DEVICE_CHECKS
from pacifictool.scenario import parse_scenario

RunCheck = Callable[[Sequence[DoctorCheck], str, CheckContext], list[CheckResult]]

EMPTY = """
labels = { device = "people counter" }
[platform]
device_type = "Counter"
asset_type = "Shop"
[forwarding]
topic = "shops"
attributes = ["shop"]
telemetry = ["people"]
[[analytics]]
name = "shops"
group_by = ["shop"]
window = "1m"
telemetry = { people = "sum(people)" }
"""
COUNTERS = EMPTY + "".join(
    f'[[devices]]\nname = "Counter {number}"\nattributes = {{ shop = "Shop {number}" }}\n'
    "telemetry = { people = { min = 0, max = 9 } }\n"
    for number in (1, 2)
)


def entities(**types: str) -> Any:
    """Resources with entities of these names and types."""
    known = {name.replace("_", " "): kind for name, kind in types.items()}

    def find(name: str) -> Any:
        return SimpleNamespace(name=name, type=known[name]) if name in known else None

    def listed(**_: Any) -> list[Any]:
        return [SimpleNamespace(name=name, type=kind) for name, kind in known.items()]

    return SimpleNamespace(find=find, list=listed)


@pytest.mark.parametrize(
    ("check", "text", "platform", "status", "seen"),
    [
        ("devices", EMPTY, {}, "warning", "The scenario has no people counters."),
        ("devices", COUNTERS, {"Counter_1": "Counter"}, "failed", "'Counter 2' is missing on the platform."),
        ("devices", COUNTERS, {"Counter_1": "Counter", "Counter_2": "Shop"}, "warning", "not of the type 'Counter'"),
        ("assets", COUNTERS, {"Shop_1": "Shop"}, "ok", "the job will create 'Shop 2'"),
        ("assets", COUNTERS, {"Shop_1": "Counter"}, "warning", "not of the type 'Shop'; results are posted there"),
    ],
)
def test_devices_and_assets_by_their_own_types_and_words(
    make_context: Callable[..., CheckContext],
    run_check: RunCheck,
    check: str,
    text: str,
    platform: dict[str, str],
    status: str,
    seen: str,
) -> None:
    found = entities(**platform)
    context = make_context(scenario=parse_scenario(text, source="test"))
    context.platform = SimpleNamespace(devices=found, assets=found)  # type: ignore[assignment]
    [result] = run_check(DEVICE_CHECKS, check, context)
    assert (str(result.status), seen in result.text) == (status, True), result.text
