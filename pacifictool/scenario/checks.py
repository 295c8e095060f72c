"""What the tables of a scenario must have in common: keys that are forwarded, and one writer for each result.

Every check raises ValueError with a sentence for the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pacifictool.scenario.names import DEVICE_NAME, DEVICE_TYPE, MAX_NAME_LENGTH, suggestion

if TYPE_CHECKING:
    from pacifictool.scenario.analytics import Analytics
    from pacifictool.scenario.devices import DeviceSpec, FleetSpec
    from pacifictool.scenario.forwarding import ForwardingConfig
    from pacifictool.scenario.model import Scenario

_FROM_DEVICE = "needs device = true in [forwarding], which adds it to records"


def check_keys(scenario: Scenario) -> None:
    """Analytics use keys that are forwarded, and words and units are those of keys that exist."""
    forwarding = scenario.forwarding
    for each in scenario.analytics:
        _check_groups(each, forwarding)
        _check_aggregates(each, forwarding)
    for place, spec in _simulated(scenario):
        for table, keys, known in (
            ("attributes", spec.attributes, [str(attribute) for attribute in forwarding.attributes]),
            ("telemetry", spec.telemetry, list(forwarding.telemetry)),
        ):
            for key in keys:
                if key not in known:
                    raise ValueError(f"{place}.{table}: {key!r} is not in forwarding.{table}{suggestion(key, known)}")
        device_type = scenario.platform.device_type
        if (own := spec.attributes.get(DEVICE_TYPE, device_type)) != device_type:
            raise ValueError(
                f"{place}.attributes: {DEVICE_TYPE} is {own!r}, but messages are forwarded of devices that say"
                f" {device_type!r} there, which is platform.device_type"
            )
    _check_required(scenario)
    results = dict.fromkeys(key for each in scenario.analytics for key in each.telemetry)
    if any(each.function is not None for each in scenario.analytics):
        return  # only what it returns tells the keys of a function's results
    values = [*dict.fromkeys([*forwarding.telemetry, *results])]
    _check_words("units", scenario.units, values)
    _check_words("labels", scenario.labels, ["device", DEVICE_NAME, *forwarding.attribute_keys, *values])


def _check_groups(each: Analytics, forwarding: ForwardingConfig) -> None:
    place = f"analytics {each.name!r}: group_by"
    for key in each.group_by:
        if key == DEVICE_NAME and not forwarding.device:
            raise ValueError(f"{place} {key!r} {_FROM_DEVICE}")
        if key != DEVICE_NAME and key not in forwarding.attribute_keys:
            known = [*forwarding.attribute_keys, DEVICE_NAME]
            raise ValueError(f"{place} {key!r} is not in forwarding.attributes{suggestion(key, known)}")


def _check_aggregates(each: Analytics, forwarding: ForwardingConfig) -> None:
    texts = {*forwarding.attribute_keys, DEVICE_NAME}
    for result, aggregate in each.telemetry.items():
        key = aggregate.key
        place = f"analytics {each.name!r}: {result} = {str(aggregate)!r}"
        if key is None or key in forwarding.telemetry:
            continue
        if key in texts and aggregate.function != "count_distinct":
            raise ValueError(f"{place}: {key!r} is a text, for which there is only count_distinct")
        if key == DEVICE_NAME and not forwarding.device:
            raise ValueError(f"{place} {_FROM_DEVICE}")
        if key not in texts:
            raise ValueError(f"{place}: {key!r} is not in forwarding.telemetry{suggestion(key, forwarding.telemetry)}")


def _check_required(scenario: Scenario) -> None:
    """Devices have the attributes without which their messages are not even forwarded."""
    groups = [frozenset(each.group_by) for each in scenario.analytics]
    required = frozenset.intersection(*groups) - {DEVICE_NAME} if groups else frozenset()
    scopes = {attribute.key: str(attribute) for attribute in scenario.forwarding.attributes}
    for place, spec in _simulated(scenario):
        for key in scenario.analytics[0].group_by if scenario.analytics else ():
            if key in required and scopes[key] not in spec.attributes:
                raise ValueError(
                    f"{place}.attributes: {scopes[key]!r} is missing; all analytics group by it, so that the platform"
                    " does not forward messages of a device without it"
                )


def _simulated(scenario: Scenario) -> Iterator[tuple[str, DeviceSpec | FleetSpec]]:
    """What is simulated, with its place in the file."""
    for number, device in enumerate(scenario.devices, start=1):
        yield f"devices[{number}]", device
    if scenario.fleet is not None:
        yield "fleet", scenario.fleet


def _check_words(table: str, words: dict[str, str], known: list[str]) -> None:
    for key in words:
        if key not in known:
            raise ValueError(f"{table}: the scenario has no key {key!r}{suggestion(key, known)}")


def check_results(scenario: Scenario) -> None:
    """No two analytics may write the same key of the same entities: one value would replace the other."""
    seen: dict[tuple[str, str, str], str] = {}
    for each in scenario.analytics:
        for result in each.telemetry:
            place = (each.entity_kind, each.entity_pattern, result)
            if place in seen:
                raise ValueError(
                    f"analytics {seen[place]!r} and {each.name!r} both write {result!r} to {each.entity_pattern!r};"
                    " give one of the results another key, or the entities another name"
                )
            seen[place] = each.name
            if place == ("device", f"{{{DEVICE_NAME}}}", result) and result in scenario.forwarding.telemetry:
                raise _among_readings(each, result, "each device")


def check_names(scenario: Scenario) -> None:
    """The entities of the groups that the scenario's devices make have possible names, each its own."""
    devices = {device.name for device in scenario.devices}
    owners: dict[tuple[str, str, str], tuple[Analytics, tuple[str, ...]]] = {}
    for each, group, name in _entities(scenario):
        if len(name) > MAX_NAME_LENGTH:
            raise ValueError(
                f"analytics {each.name!r}: the entity of {_words_of(group)} would have a name of {len(name)} characters"
                f"; a name has at most {MAX_NAME_LENGTH}"
            )
        for result in each.telemetry:
            other, other_group = owners.setdefault((each.entity_kind, name, result), (each, group))
            if other is not each:
                raise ValueError(
                    f"analytics {other.name!r} and {each.name!r} both write {result!r} to the {each.entity_kind}"
                    f" {name!r}; give one of the results another key, or the entities another name"
                )
            if other_group != group:
                raise ValueError(
                    f"analytics {each.name!r}: {_words_of(other_group)} and {_words_of(group)} would both be the"
                    f" {each.entity_kind} {name!r}; put another separator between the keys of entity"
                )
            if each.entity_kind == "device" and name in devices and result in scenario.forwarding.telemetry:
                raise _among_readings(each, result, f"the device {name!r}")


def _entities(scenario: Scenario) -> Iterator[tuple[Analytics, tuple[str, ...], str]]:
    for each in scenario.analytics:
        for group in scenario.groups(each):
            yield each, group, each.entity_name(group)


def _among_readings(each: Analytics, result: str, target: str) -> ValueError:
    return ValueError(
        f"analytics {each.name!r} would write {result!r} to {target} itself, among its own readings, which are"
        " forwarded and counted again; give the result another key, or the entities another name"
    )


def _words_of(group: tuple[str, ...]) -> str:
    return " / ".join(map(repr, group)) or "all records"
