"""Wind models: what a turbine measures, as a pure function of seed, device and reading number.

A source is made once per device by `wind_source(spec, …)`, which is open for further kinds of specification
(constant, normal, random walk, sine, replay): register a function for its class with `@wind_source.register`.
"""

from __future__ import annotations

import hashlib
from functools import singledispatch
from typing import Final, Protocol

from pacifictool.errors import ScenarioError
from pacifictool.scenario import WindRange

_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15


class WindSource(Protocol):
    """The wind at one device."""

    def value(self, number: int, elapsed_seconds: float) -> int | float:
        """The wind speed of reading `number` (0, 1, …), due `elapsed_seconds` after reading 0.

        Pure: the same arguments give the same value, in whatever order and however often it is asked.
        """


@singledispatch
def wind_source(spec: object, *, seed: int, device: str) -> WindSource:
    """The source for a specification of the scenario. Raises ScenarioError for an unknown kind.

    A run is reproducible by its seed, whatever the number of devices and their order: the randomness of a device
    depends on the seed and its own name only.
    """
    raise ScenarioError(f"No wind model is known for {type(spec).__name__} (device {device!r}, seed {seed}).")


@wind_source.register
def _uniform_integers(spec: WindRange, *, seed: int, device: str) -> WindSource:
    return UniformIntegers(spec.min, spec.max, device_key(seed, device, "wind"))


def device_key(seed: int, device: str, purpose: str) -> int:
    """64 random-looking bits that depend on nothing but the arguments (unlike `hash`, not on the process)."""
    digest = hashlib.blake2b(f"{seed}\0{purpose}\0{device}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def uniform_bits(key: int, number: int) -> int:
    """64 random-looking bits for position `number` of the stream `key`: SplitMix64 (Steele, Lea, Flood 2014)."""
    bits = (key + (number + 1) * _GOLDEN) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return bits ^ (bits >> 31)


class UniformIntegers:
    """Integers from `lowest` to `highest`, both included, each as likely as the others."""

    __slots__ = ("_key", "_lowest", "_span")

    def __init__(self, lowest: int, highest: int, key: int) -> None:
        self._lowest = lowest
        self._span = highest - lowest + 1
        self._key = key

    def value(self, number: int, elapsed_seconds: float) -> int:
        return self._lowest + (uniform_bits(self._key, number) * self._span >> 64)
