"""A custom model: gusts. A steady wind that rises for a few readings from time to time.

    pacifictool sandbox up          # or have a server
    pacifictool setup
    python examples/custom_model.py

simulates "Wind Turbine 1" with it for ten seconds. The server is configured as for the command line. The fleet creates
the generator of each key with `generator_for`, which selects by the class of the key's model; `register` adds a class.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from pacifictool.errors import PacificToolError
from pacifictool.models.generators import Generator, generator_for, stream_key, uniform_bits
from pacifictool.provisioning.entities import look_up_tokens
from pacifictool.rest import Platform
from pacifictool.settings import Settings, Sources, resolve, user_config_file
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.summary import FleetSummary


@dataclass(frozen=True)
class GustyWind:
    """The configuration of the model."""

    calm: float
    gust: float
    every: int
    """Readings from one gust to the next."""
    length: int
    """Readings that a gust lasts."""


class Gusts:
    """The wind at one device: a pure function of the reading's number, so that a run can be reproduced."""

    def __init__(self, spec: GustyWind, stream: int) -> None:
        self._spec, self._stream = spec, stream

    def value(self, number: int, elapsed_seconds: float) -> float:
        spec = self._spec
        cycle, place = divmod(number, spec.every)
        # Each cycle has its gust at another position, which depends only on the device's stream and the cycle.
        begin = uniform_bits(self._stream, cycle) * (spec.every - spec.length) >> 64
        return spec.gust if begin <= place < begin + spec.length else spec.calm


@generator_for.register
def _gusts(spec: GustyWind, *, seed: int, device: str, key: str) -> Generator:
    return Gusts(spec, stream_key(seed, device, key))


def play(settings: Settings, seconds: float) -> FleetSummary:
    """Simulates Wind Turbine 1 with gusts for this time."""
    name = "Wind Turbine 1"
    with Platform.connect(settings) as platform:
        token = look_up_tokens(platform, [name])[name]
    gusty = GustyWind(calm=12, gust=31.5, every=50, length=8)
    device = SimulatedDevice(name=name, token=token, telemetry={"windSpeed": gusty}, rate=20.0)
    return Fleet(settings.mqtt, [device], FleetOptions(duration_seconds=seconds, seed=1)).run(threading.Event())


def main() -> int:
    sources = Sources(
        flags={}, environ=os.environ, folder=Path.cwd(), user_file=user_config_file(), read_stdin=sys.stdin.read
    )
    try:
        summary = play(resolve(sources), float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
    except PacificToolError as error:
        print(error.message, error.hint or "", sep="\n", file=sys.stderr)
        return int(error.exit_code)
    print(f"{summary.acknowledged} of {summary.generated} readings acknowledged")
    return 0 if summary.complete else 1


if __name__ == "__main__":
    sys.exit(main())
