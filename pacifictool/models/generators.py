"""Generators of values: the value of a reading as a pure function of seed, device, key and reading number.

`generator_for(spec, …)` makes the generator of one key of a device. It accepts further classes of configuration:
register a function for a class with `@generator_for.register`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import singledispatch
from statistics import NormalDist
from typing import Final, Protocol

from pacifictool.errors import ScenarioError
from pacifictool.models.config import (
    MAX_DECIMALS,
    ConstantModel,
    NormalModel,
    ReplayModel,
    SineModel,
    UniformModel,
    WalkModel,
)

_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15


class Generator(Protocol):
    """Generates the values of one key of a device."""

    def value(self, number: int, elapsed_seconds: float) -> int | float | None:
        """The value of reading `number` (0, 1, …), due `elapsed_seconds` after reading 0; None: the reading has none.

        Pure: the same arguments give the same value, in whatever order and however often it is called.
        """


@singledispatch
def generator_for(spec: object, *, seed: int, device: str, key: str) -> Generator:
    """The generator for a model of the scenario. Raises ScenarioError for an unknown class.

    A run can be reproduced from its seed, whatever the number of devices and keys and their order: the random numbers
    of a key depend only on the seed, on its name and on that of the device.
    """
    raise ScenarioError(f"No model is known for {type(spec).__name__} (device {device!r}, key {key!r}, seed {seed}).")


@generator_for.register
def _uniform_integers(spec: UniformModel, *, seed: int, device: str, key: str) -> Generator:
    return UniformIntegers(spec.min, spec.max, stream_key(seed, device, key, shared=spec.seed))


@generator_for.register
def _constant(spec: ConstantModel, *, seed: int, device: str, key: str) -> Generator:  # noqa: ARG001 - all have one signature
    return Constant(plain(spec.value))


@generator_for.register
def _normal(spec: NormalModel, *, seed: int, device: str, key: str) -> Generator:
    return Normal(spec, stream_key(seed, device, key, shared=spec.seed))


@generator_for.register
def _walk(spec: WalkModel, *, seed: int, device: str, key: str) -> Generator:
    return Walk(spec, stream_key(seed, device, key, shared=spec.seed))


@generator_for.register
def _sine(spec: SineModel, *, seed: int, device: str, key: str) -> Generator:
    return DailySine(spec, stream_key(seed, device, key, shared=spec.seed))


@generator_for.register
def _replay(spec: ReplayModel, *, seed: int, device: str, key: str) -> Generator:
    # The same row for all keys of a device: a row holds what was measured together.
    return Replay(spec, key, stream_key(seed, device, "windSpeed", shared=spec.seed))


_EARLIER_NAMES: Final = {"windSpeed": "wind"}
"""The streams of earlier versions, so that the tutorial has the same values with the same seed."""


def stream_key(seed: int, device: str, key: str, *, shared: str | None = None) -> int:
    """The stream of random numbers of one key of a device, or the one that all models share that name `shared`."""
    if shared is not None:
        return device_key(seed, shared, "shared")
    return device_key(seed, device, _EARLIER_NAMES.get(key, f"key {key}"))


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


def standard_normal(key: int, number: int) -> float:
    """A value of the normal distribution (mean 0, deviation 1) for position `number` of the stream `key`."""
    # 53 bits, in the middle of their interval: never 0 and never 1, which have no quantile.
    return _QUANTILE(((uniform_bits(key, number) >> 12) + 0.5) * 2.0**-52)


_QUANTILE: Final = NormalDist().inv_cdf


def plain(value: float) -> int | float:
    """Without the decimal point where there are no decimals: 31 instead of 31.0."""
    return int(value) if value == int(value) else value


def _rounding(lowest: float, highest: float, decimals: int) -> Callable[[float], int | float]:
    """Keeps values within bounds and rounds them. Rounding may leave bounds that have more digits."""
    digits = decimals or None  # `round` without digits gives an integer

    def rounded(value: float) -> int | float:
        return round(lowest if value < lowest else min(value, highest), digits)

    return rounded


class Constant:
    """Always the same value."""

    __slots__ = ("_value",)

    def __init__(self, value: float) -> None:
        self._value = value

    def value(self, number: int, elapsed_seconds: float) -> int | float:
        return self._value


class Normal:
    """Independent values of a normal distribution."""

    __slots__ = ("_deviation", "_key", "_mean", "_rounded")

    def __init__(self, spec: NormalModel, key: int) -> None:
        self._mean, self._deviation = spec.mean, spec.deviation
        self._rounded = _rounding(spec.min, spec.max, spec.decimals)
        self._key = key

    def value(self, number: int, elapsed_seconds: float) -> int | float:
        return self._rounded(self._mean + self._deviation * standard_normal(self._key, number))


class Walk:
    """A random walk that is reflected at its bounds.

    A pure function of the reading number, although every value follows from the previous one: the walk is refined step
    by step (Lévy's construction of Brownian motion). Between two known values, the value in the middle is normally
    distributed around their mean, with a random number that belongs to that middle. So any value is found by halving
    a stretch of 65,536 readings, and the next one from the last few halvings, which are cached. Folding the free walk
    at the bounds gives one that is reflected there.
    """

    __slots__ = ("_anchor", "_key", "_lowest", "_path", "_rounded", "_span", "_start", "_step")

    _STRETCH: Final = 1 << 16

    def __init__(self, spec: WalkModel, key: int) -> None:
        self._lowest, self._span, self._step = spec.min, spec.max - spec.min, spec.step
        self._start = (spec.min + spec.max) / 2 if spec.start is None else spec.start
        self._rounded = _rounding(spec.min, spec.max, spec.decimals)
        self._key = key
        # A cache: the stretches around the last number, from the longest to the shortest. Each has its first and last
        # number, and the free walk's value at both.
        self._path: list[tuple[int, int, float, float]] = []
        self._anchor = (0, self._start)  # a stretch's number, and the value at its start

    def value(self, number: int, elapsed_seconds: float) -> int | float:
        place = (self._free(number) - self._lowest) % (2 * self._span)
        return self._rounded(self._lowest + min(place, 2 * self._span - place))

    def _free(self, number: int) -> float:
        path = self._path
        while path and not path[-1][0] <= number < path[-1][1]:
            path.pop()
        if not path:
            path.append(self._stretch(number // self._STRETCH))
        first, last, at_first, at_last = path[-1]
        while number != first:
            middle = (first + last) // 2
            deviation = self._step * math.sqrt(last - first) / 2
            at_middle = (at_first + at_last) / 2 + deviation * standard_normal(self._key, middle)
            if number < middle:
                last, at_last = middle, at_middle
            else:
                first, at_first = middle, at_middle
            path.append((first, last, at_first, at_last))
        return at_first

    def _stretch(self, index: int) -> tuple[int, int, float, float]:
        """One of the longest stretches. Their ends are a walk of their own, which is computed step by step."""
        known, at_first = self._anchor if self._anchor[0] <= index else (0, self._start)
        deviation = self._step * math.sqrt(self._STRETCH)
        ends = ~self._key & _MASK  # a random stream of its own
        for earlier in range(known, index):
            at_first += deviation * standard_normal(ends, earlier)
        self._anchor = (index, at_first)
        at_last = at_first + deviation * standard_normal(ends, index)
        return index * self._STRETCH, (index + 1) * self._STRETCH, at_first, at_last


class DailySine:
    """A sine over the time of day, with noise."""

    __slots__ = ("_amplitude", "_begin", "_key", "_mean", "_noise", "_per_second", "_rounded")

    def __init__(self, spec: SineModel, key: int) -> None:
        self._mean, self._amplitude, self._noise = spec.mean, spec.amplitude, spec.noise
        self._per_second = 2 * math.pi / (spec.period_hours * 3600)
        self._begin = 2 * math.pi * (spec.start_hour - spec.peak_hour) / spec.period_hours
        self._rounded = _rounding(spec.min, spec.max, spec.decimals)
        self._key = key

    def value(self, number: int, elapsed_seconds: float) -> int | float:
        value = self._mean + self._amplitude * math.cos(self._begin + elapsed_seconds * self._per_second)
        if self._noise:
            value += self._noise * standard_normal(self._key, number)
        return self._rounded(value)


class Replay:
    """The rows of a file, repeated."""

    __slots__ = ("_first", "_row_seconds", "_values")

    def __init__(self, spec: ReplayModel, key: str, stream: int) -> None:
        self._values = spec.values(key)
        self._row_seconds = spec.row_seconds
        self._first = stream % len(self._values) if spec.shift else 0

    def value(self, number: int, elapsed_seconds: float) -> int | float | None:
        # A millionth of a row makes up for the rounding of number / rate.
        row = number if self._row_seconds is None else int(elapsed_seconds / self._row_seconds + 1e-6)
        value = self._values[(self._first + row) % len(self._values)]
        return None if math.isnan(value) else plain(round(value, MAX_DECIMALS))
