"""How much `make bench` does: all of it in 40 minutes, or less of it in 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    records: int
    slow_records: int
    """The beginning of the same stream, for the Python loops: they are 5 to 20 times slower, and rates are compared."""
    most_records: int
    """With 100,000 zones."""
    repetitions: int
    minutes: Mapping[str, float]
    """By comparison: no further repetition begins that would not end within these."""
    limit_seconds: float
    """Of one run of an engine; one that takes longer has failed."""
    growth_records: Sequence[int]
    growth_zones: Sequence[int]
    growth_partitions: Sequence[int]
    growth_devices: Sequence[int]
    start_repetitions: int
    batches_seconds: float
    fleet_seconds: float
    fleet_repetitions: int
    steady_seconds: float
    crowd: int
    """Devices of the largest fleet; 0: not measured, since connecting 100,000 takes a minute and a half."""
    means: int
    """Delivered to a server."""


FULL = Scale(
    records=5_000_000,
    slow_records=500_000,
    most_records=2_000_000,
    repetitions=3,
    minutes={"peers": 10, "decimals": 3, "many": 7, "most": 3, "functions": 2.5},
    limit_seconds=240,
    growth_records=(100_000, 300_000, 1_000_000, 3_000_000, 5_000_000),
    growth_zones=(3, 30, 300, 3_000, 10_000),
    growth_partitions=(1, 2, 4, 8, 16),
    growth_devices=(10, 100, 1_000, 5_000, 10_000),
    start_repetitions=3,
    batches_seconds=30,
    fleet_seconds=5,
    fleet_repetitions=3,
    steady_seconds=60,
    crowd=100_000,
    means=10_000,
)
QUICK = Scale(
    records=500_000,
    slow_records=50_000,
    most_records=200_000,
    repetitions=1,
    minutes={"peers": 2, "decimals": 1, "many": 1, "most": 1, "functions": 1},
    limit_seconds=90,
    growth_records=(100_000, 500_000),
    growth_zones=(3, 10_000),
    growth_partitions=(1, 8),
    growth_devices=(10, 1_000, 10_000),
    start_repetitions=1,
    batches_seconds=10,
    fleet_seconds=2,
    fleet_repetitions=1,
    steady_seconds=5,
    crowd=0,
    means=1_000,
)
