"""The devices to simulate, from the scenario and the names that the user typed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pacifictool.errors import ScenarioError, UsageError
from pacifictool.models.config import replay_clock
from pacifictool.models.generators import Generator, generator_for
from pacifictool.scenario import Scenario
from pacifictool.scenario.devices import Anomaly, DeviceSpec, Dropout
from pacifictool.settings import Secret
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.schedule import RecordedSchedule, Schedule

_SUGGESTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A device to simulate."""

    name: str
    token: Secret
    telemetry: Mapping[str, object]
    """By key: a model of the scenario, or any other configuration that `models.generators.generator_for` accepts."""
    rate: float
    """Readings per second; without meaning when a file that is replayed has times."""
    payload: str | None = None
    """Template of the messages; None: the tutorial's form."""
    anomalies: Sequence[Anomaly] = ()
    dropouts: Sequence[Dropout] = ()

    def generators(self, seed: int) -> dict[str, Generator]:
        """What produces its values, by key; the same for the same seed, whichever other devices there are."""
        return {
            key: generator_for(model, seed=seed, device=self.name, key=key) for key, model in self.telemetry.items()
        }

    def schedule(self, options: FleetOptions) -> Schedule:
        """When the device takes its readings in a run with these options."""
        clock = replay_clock(self.telemetry)
        if clock is None:
            return Schedule(self.rate, options.readings_at(self.rate))
        schedule = RecordedSchedule(*clock)
        limits = [schedule.limit, options.count]
        if options.duration_seconds is not None:
            limits.append(schedule.within(options.duration_seconds))
        schedule.limit = min(limit for limit in limits if limit is not None)
        return schedule


def choose_devices(scenario: Scenario, names: Sequence[str] = ()) -> tuple[DeviceSpec, ...]:
    """The devices with these names, in the order of the names and once each; without names, all devices.

    Raises UsageError with similar names for an unknown one, ScenarioError for a scenario without devices.
    """
    if not scenario.devices:
        raise ScenarioError("The scenario has no devices.", hint="Add [[devices]] tables; docs/scenario.md shows how.")
    if not names:
        return scenario.devices
    by_name = {device.name: device for device in scenario.devices}
    for name in names:
        if name not in by_name:
            raise UsageError(
                f"The scenario has no {scenario.device_word()} {name!r}.", hint=_suggest(name, list(by_name))
            )
    return tuple(by_name[name] for name in dict.fromkeys(names))


def _suggest(name: str, known: Sequence[str]) -> str:
    folded = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=_SUGGESTIONS, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(repr(folded[other]) for other in near)}?"
    shown = ", ".join(repr(other) for other in known[:_SUGGESTIONS])
    return f"It has {shown}{' and others' if len(known) > _SUGGESTIONS else ''}."


def plan_devices(
    devices: Sequence[DeviceSpec],
    token_of: Callable[[str], Secret],
    *,
    rate: float | None = None,
) -> list[SimulatedDevice]:
    """The simulation of these devices of a scenario.

    `token_of` gives the access token for a device name (the caller looks it up on the platform). `rate` (readings per
    second) replaces the rates of the scenario. Raises UsageError.
    """
    if rate is not None:
        if not rate > 0:
            raise UsageError(f"The rate must be greater than 0, not {rate:g}.")
        for device in devices:
            if replay_clock(device.telemetry) is not None:
                raise UsageError(
                    f"The readings of {device.name!r} have the times of a file; a rate does not apply to it.",
                    hint="The key speed of its model replays the file faster.",
                )
    return [
        SimulatedDevice(
            name=device.name,
            token=token_of(device.name),
            telemetry=device.telemetry,
            rate=device.rate if rate is None else rate,
            payload=device.payload,
            anomalies=device.anomalies,
            dropouts=device.dropouts,
        )
        for device in devices
    ]
