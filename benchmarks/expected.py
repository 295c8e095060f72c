"""Compares the means of an engine with the exact ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

Means = Mapping[tuple[str, int], tuple[int, float]]
"""(Zone, window end in ms) → (records, mean)."""
Exact = Mapping[tuple[str, int], tuple[int, Fraction]]

FLOAT_TOLERANCE = 1e-9
"""Relative, for engines that add up floating-point numbers in the order of arrival."""


def differences(exact: Exact, means: Means, *, closing_zone: str, tolerance: float = FLOAT_TOLERANCE) -> list[str]:
    """What is missing, superfluous or wrong, in words; with tolerance 0 a mean must be the nearest double.

    The closing records' zone is left out: whether an engine emits its last window depends on the engine.
    """
    found = {key: value for key, value in means.items() if not key[0].startswith(closing_zone)}
    wrong = [f"{key}: missing" for key in exact.keys() - found.keys()]
    wrong += [f"{key}: no such window" for key in found.keys() - exact.keys()]
    for key in exact.keys() & found.keys():
        (count, mean), (found_count, found_mean) = exact[key], found[key]
        if count != found_count:
            wrong.append(f"{key}: {found_count} records instead of {count}")
        elif not math.isclose(float(mean), found_mean, rel_tol=tolerance, abs_tol=0.0):
            wrong.append(f"{key}: {found_mean!r} instead of {float(mean)!r}")
    return sorted(wrong)
