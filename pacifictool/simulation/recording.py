"""`simulate --csv`: the readings that devices would publish, written into a file instead."""

from __future__ import annotations

import csv
import heapq
import itertools
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from pacifictool.errors import FileNotWritten, UsageError, file_fault
from pacifictool.scenario import DeviceSpec
from pacifictool.scenario.names import DEVICE_NAME, READING_TIME, Attribute
from pacifictool.settings import Secret
from pacifictool.simulation.disturbances import Disturbances, Injection
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.payload import TextValues
from pacifictool.simulation.plan import plan_devices
from pacifictool.simulation.reading import Reading, ReadingSource

_AT_ONCE: Final = 1000
_AT_THE_END: Final = sys.float_info.max
"""Later than any reading is due, and earlier than infinity, when those are due that there are not."""
_START_GRID_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Recording:
    """What was written."""

    file: Path
    devices: int
    readings: int
    withheld: int
    """Readings that had no value to write: drop-outs, and missing values of files that are replayed."""
    seed: int
    injections: Sequence[Injection]

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "file": str(self.file.absolute()),
            "devices": self.devices,
            "readings": self.readings,
            "withheld": self.withheld,
            "seed": self.seed,
            "injections": [injection.as_document() for injection in self.injections],
        }


def record(
    devices: Sequence[DeviceSpec], options: FleetOptions, file: Path, *, start_ms: int, rate: float | None = None
) -> Recording:
    """Writes the readings of these devices in the order of their times: `ts` (ISO 8601, UTC), `deviceName`, the client
    attributes, and the keys of telemetry. `start_ms` is rounded down to a whole minute, so that windows are full.

    Raises UsageError without a limit of readings, FileNotWritten when the file cannot be written.
    """
    seed = secrets.randbits(32) if options.seed is None else options.seed
    start = start_ms // _START_GRID_MS * _START_GRID_MS / 1000
    sources, disturbances = [], []
    for plan in plan_devices(devices, lambda _name: Secret(""), rate=rate):
        schedule = plan.schedule(options)
        if schedule.limit is None:
            raise UsageError("--csv writes a file that ends.", hint="Say when, with --duration or --count.")
        schedule.start = start
        disturbances.append(Disturbances(plan.name, plan.anomalies, plan.dropouts))
        sources.append(
            ReadingSource(plan.name, schedule, plan.generators(seed), TextValues(plan.telemetry), disturbances[-1])
        )
    attributes = {device.name: _by_key(device.attributes) for device in devices}
    attribute_keys = list(dict.fromkeys(itertools.chain.from_iterable(attributes.values())))
    keys = list(dict.fromkeys(itertools.chain.from_iterable(device.telemetry for device in devices)))
    count = 0
    try:
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([READING_TIME, DEVICE_NAME, *attribute_keys, *keys])
            for reading in heapq.merge(*map(_readings, sources), key=attrgetter("ts_ms")):
                own = attributes[reading.device]
                writer.writerow(
                    [
                        datetime.fromtimestamp(reading.ts_ms / 1000, tz=UTC).isoformat(timespec="milliseconds"),
                        reading.device,
                        *(own.get(key, "") for key in attribute_keys),
                        *(reading.values.get(key, "") for key in keys),
                    ]
                )
                count += 1
    except OSError as error:
        raise FileNotWritten(
            f"The readings cannot be written to {file}: {file_fault(error)}.", hint="Choose another --csv."
        ) from error
    injections = [injection for each in disturbances for injection in each.injections]
    return Recording(file, len(devices), count, sum(source.withheld for source in sources), seed, injections)


def _by_key(attributes: Mapping[str, str]) -> dict[str, str]:
    return {Attribute.parse(text).key: value for text, value in attributes.items()}


def _readings(source: ReadingSource) -> Iterator[Reading]:
    while not source.schedule.exhausted:
        yield from source.take(_AT_THE_END, _AT_ONCE, 0.0, lambda _seconds: None)
