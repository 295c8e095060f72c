"""Which sink `aggregate` takes when nobody names one: assets over REST, or the gateway where zones are many.

A 4.x server answers each write over REST after 100 ms (docs/servers/4.x.md#telemetry-over-rest, row 2), ten
thousand of them in half a minute at best, while the gateway takes seconds (docs/sinks.md). A job that has
a checkpoint stays with the sink that it began with: another sink would begin another job.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pacifictool.reporting import Reporter
    from pacifictool.rest import Platform
    from pacifictool.scenario import Scenario

MANY_ZONES: Final = 500
"""Zones whose means 4.x may need seconds to take over REST (docs/servers/4.x.md#telemetry-over-rest, row 2)."""

REST: Final = "rest"
GATEWAY: Final = "gateway"


def choose_sink(
    scenario: Scenario,
    *,
    checkpoint_of: Callable[[str], Path],
    connect: Callable[[], Platform],
    gateway_device: str,
    reporter: Reporter,
) -> str:
    """The name of the sink; says on `reporter` why it is not the usual one.

    `checkpoint_of` gives the folder of the job that would use a sink. The platform is only asked when zones are many
    and there is no checkpoint yet. Raises PlatformError.
    """
    begun = _begun(*(checkpoint_of(name) for name in (REST, GATEWAY)))
    if begun is not None:
        if begun == GATEWAY:
            reporter.info("The means go through the gateway, as the job began; --sink chooses another way.")
        return begun
    zones = zone_count(scenario)
    if zones < MANY_ZONES or set(scenario.zones) & {turbine.name for turbine in scenario.turbines}:
        return REST
    with connect() as platform:
        device = platform.devices.find(gateway_device)
    if device is not None and device.is_gateway:
        reporter.info(
            f"The scenario has {zones} zones, so the means go through the gateway {gateway_device!r} to a device for"
            " each zone; --sink rest writes them to assets."
        )
        return GATEWAY
    reporter.info(
        f"The scenario has {zones} zones; writing their means over REST may take longer than a window lasts."
        " `pacifictool setup --gateway` makes a gateway, which takes them many times as fast."
    )
    return REST


def zone_count(scenario: Scenario) -> int:
    """The zones of the scenario's own turbines; of a scenario that only has a fleet, the fleet's."""
    if scenario.turbines:
        return len(scenario.zones)
    zones = scenario.fleet.zones
    return zones if isinstance(zones, int) else len(zones)


def likely_folder(checkpoint_of: Callable[[str], Path]) -> Path:
    """The folder of the job that ran last with either sink; without one, where the usual one would be."""
    rest, gateway = (checkpoint_of(name) for name in (REST, GATEWAY))
    return gateway if _begun(rest, gateway) == GATEWAY else rest


def _begun(*folders: Path) -> str | None:
    """The sink of the job that ran last in one of these folders."""
    begun = [(_last_used(folder), name) for folder in folders if (name := sink_of_checkpoint(folder)) is not None]
    return max(begun)[1] if begun else None


def _last_used(folder: Path) -> float:
    for name in ("state.sqlite", "ledger.sqlite"):
        with contextlib.suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0


def sink_of_checkpoint(folder: Path) -> str | None:
    """The sink, rest or gateway, of the job that has this folder; None when none of them has."""
    from pacifictool.analytics.state.reader import identity_of

    identity = identity_of(folder)
    if identity is None:
        return None
    return next((name for name in (REST, GATEWAY) if identity.target.startswith(f"{name} ")), None)
