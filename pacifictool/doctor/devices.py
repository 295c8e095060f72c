"""Checks of what the scenario names on the platform: devices, their client attributes, the MQTT port, assets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pacifictool.doctor.checks import CheckContext, CheckResult, DoctorCheck, failed, ok, skipped, warning
from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.mqtt.session import MqttSession
from pacifictool.problems import SETUP, Problem, ProblemCode, attribute_problems, refused_token
from pacifictool.provisioning.entities import check_reachable, find_by_name
from pacifictool.rest import SERVER_SCOPE, Device
from pacifictool.scenario import DeviceSpec
from pacifictool.scenario.names import common_word
from pacifictool.tools.threads import run_bounded

GROUP = "Devices and assets"
MQTT_SECONDS = 3.0
MAX_DEVICES = 100
"""The attributes of up to this many devices are checked; of a larger fleet, an evenly spread sample."""
_WORKERS = 8
_MAX_NAMES = 3
_MAX_CANDIDATES = 5
"""A device that is not connected is searched among this many."""


def _devices(context: CheckContext) -> Iterator[CheckResult]:
    scenario = context.scenario
    names = [device.name for device in scenario.devices]
    context.devices = found = find_by_name(context.require_platform().devices, names)
    wanted = scenario.entity_type("device")
    missing = [name for name in names if name not in found]
    other = [device.name for device in found.values() if device.type != wanted]
    if missing:
        text = f"{_list(missing)} {'is' if len(missing) == 1 else 'are'} missing on the platform."
        yield failed(ProblemCode.DEVICE_MISSING, text, SETUP)
    elif other:
        yield warning(ProblemCode.ENTITY_TYPE_DIFFERS, f"{_list(other)}: not of the type {wanted!r}.", SETUP)
    elif not names:
        fix = "Add [[devices]] tables; docs/scenario.md shows how."
        yield warning(ProblemCode.NO_DEVICES, f"The scenario has no {scenario.device_word(2)}.", fix)
    else:
        yield ok(f"all {len(names)} exist, of the type {wanted!r}")


def _attributes(context: CheckContext) -> Iterator[CheckResult]:
    """The rule requires them; readings of a device without them are not forwarded, and the device does not notice."""
    described = [device for device in context.scenario.devices if device.name in context.devices]
    sample = described[:: max(1, -(-len(described) // MAX_DEVICES))]

    def check(wanted: DeviceSpec) -> Problem | None:
        device = context.devices[wanted.name]
        return next(iter(attribute_problems(context.require_platform(), context.scenario, wanted, device)), None)

    found = run_bounded(check, sample, workers=_WORKERS, stop=context.stop, name="attributes")
    problems = [problem for problem in found if problem is not None]
    share = "" if len(sample) == len(described) else f" of {len(described)}, checked by sample"
    if problems:
        first = min(problems, key=lambda problem: problem.text)
        others = len(problems) - 1
        more = f" The same or other problems: {others} of {len(sample)} devices{share}." if others else ""
        yield failed(first.code, first.text + more, first.fix)
    elif sample:
        yield ok(f"as in the scenario: {len(sample)} devices{share}")
    else:
        yield skipped("There are no devices to check.")


def _mqtt(context: CheckContext) -> Iterator[CheckResult]:
    check_reachable(context.settings.mqtt, timeout_seconds=MQTT_SECONDS)
    yield ok(f"{context.settings.mqtt} accepts connections")


def _mqtt_login(context: CheckContext) -> Iterator[CheckResult]:
    """Connects as a device that exists, and publishes nothing."""
    device = _idle_device(context)
    if device is None:
        yield skipped("There is no device to log in as.")
        return
    token = context.require_platform().devices.token(device.id)
    endpoint, began = context.settings.mqtt, time.monotonic()
    try:
        with MqttSession(endpoint, token, device=device.name, timeout_seconds=MQTT_SECONDS):
            seconds = time.monotonic() - began
    except MqttError as error:
        if failure_of(error) is not Failure.TOKEN_REFUSED:
            raise
        yield failed(ProblemCode.TOKEN_REFUSED, *refused_token(endpoint, context.settings.url, device.name))
    else:
        yield ok(f"{device.name!r} logs in within {seconds * 1000:.0f} ms (CONNACK 0)")


def _idle_device(context: CheckContext) -> Device | None:
    """A device that is not connected, if there is one among the first few: a login ends the session of another client.

    4.x servers allow one session per device.
    """
    devices = list(context.devices.values())
    if context.generation != "1.x":
        for device in devices[:_MAX_CANDIDATES]:
            keys = ["lastConnectTime", "lastDisconnectTime"]
            times = context.require_platform().attributes.get(device, SERVER_SCOPE, keys)
            if times.get("lastConnectTime", 0) <= times.get("lastDisconnectTime", 0):
                return device
    return next(iter(devices), None)


def _assets(context: CheckContext) -> Iterator[CheckResult]:
    scenario = context.scenario
    names = [asset.name for asset in scenario.assets]
    wanted = scenario.entity_type("asset")
    # Many groups would take many requests; those of the scenario's own devices are enough to see.
    results = [name for name in scenario.entities("asset") if name not in names][:MAX_DEVICES]
    found = find_by_name(context.require_platform().assets, [*names, *results])
    missing = [name for name in names if name not in found]
    other = [asset.name for asset in found.values() if asset.type != wanted]
    if missing:
        text = f"{_list(missing)} {'is' if len(missing) == 1 else 'are'} missing; the job will create what it needs."
        yield warning(ProblemCode.ASSET_MISSING, text, SETUP)
    elif other:
        what = common_word((scenario.result_word(each, 2) for each in scenario.analytics), "results")
        text = f"{_list(other)}: not of the type {wanted!r}; {what} are posted there nevertheless."
        yield warning(ProblemCode.ENTITY_TYPE_DIFFERS, text, SETUP)
    else:
        later = [name for name in results if name not in found]
        text = f"all {len(names)} of the scenario exist" if names else "the scenario names none"
        yield ok(text + (f"; the job will create {_list(later)}" if later else ""))


def _list(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:_MAX_NAMES])
    return shown if len(names) <= _MAX_NAMES else f"{shown} and {len(names) - _MAX_NAMES} more"


DEVICE_CHECKS = (
    DoctorCheck("devices", GROUP, "Devices", _devices, ("generation",)),
    DoctorCheck("attributes", GROUP, "Client attributes", _attributes, ("generation",), after=("devices",)),
    DoctorCheck("mqtt", GROUP, "MQTT port", _mqtt),
    DoctorCheck("mqtt-login", GROUP, "MQTT login", _mqtt_login, ("mqtt", "generation"), after=("devices",)),
    DoctorCheck("assets", GROUP, "Assets", _assets, ("generation",)),
)
