"""Asserts one observed fact at a time, and counts them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from tests.contract.versions import Version, expectation

_OF_1 = "docs/servers/1.x.md#"
_OF_4 = "docs/servers/4.x.md#"
_OF_ALARMS = tuple(
    f"docs/servers/alarms.md#{section}"
    for section in ("creating-and-updating", "clearing-and-acknowledging", "reading", "refusals")
)

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "1": (f"{_OF_1}login-and-tokens", f"{_OF_1}errors"),
    "2": (f"{_OF_1}rules-and-plugins", f"{_OF_1}deleting-rules"),
    "3": (f"{_OF_1}devices", f"{_OF_1}pages"),
    "4": (f"{_OF_1}assets", f"{_OF_1}pages"),
    "5": (f"{_OF_1}telemetry-over-rest", f"{_OF_1}attributes-over-rest"),
    "6": (f"{_OF_1}mqtt", f"{_OF_1}gateway", f"{_OF_1}http-device-api"),
    "7": (f"{_OF_1}forwarding-to-kafka",),
    "8": (f"{_OF_1}filters-and-templates",),
    "9": _OF_ALARMS,
    "modern 1": (
        f"{_OF_4}login-and-tokens",
        f"{_OF_4}api-keys",
        f"{_OF_4}errors",
        f"{_OF_4}recognising-the-server",
    ),
    "modern 2": (f"{_OF_4}devices-and-assets", f"{_OF_4}pages"),
    "modern 3": (f"{_OF_4}rule-chains", f"{_OF_4}forwarding-to-kafka"),
    "modern 4": (f"{_OF_4}telemetry-over-rest", f"{_OF_4}attributes-over-rest"),
    "modern 5": (f"{_OF_4}mqtt", f"{_OF_4}gateway", f"{_OF_4}http-device-api"),
    "modern 6": (f"{_OF_4}dashboards",),
    "modern 7": _OF_ALARMS,
}
"""The sections of the documentation that state a fact, by the identifier that tests use."""


class FactBroken(Exception):
    """A server does not do what was observed on its version (docs/servers/index.md#reading-a-row)."""


class Facts:
    """`fact(section, text, observed, expected)`; a section is one of `SECTIONS`.

    What somebody has observed on a version (docs/servers/index.md#reading-a-row) must hold there. On other versions a difference is listed in `differing` and
    no failure: that is how the facts of a version become known.
    """

    def __init__(self, version: Version, observed_on: str) -> None:
        """`observed_on`: the range of versions of facts that say nothing else."""
        self.checked: Counter[str] = Counter()
        self.differing: list[str] = []
        self._version = version
        self._observed_on = observed_on

    def __call__(self, section: str, text: str, observed: object, expected: Any, *, on: str = "") -> None:
        """Raises FactBroken with the fact, the expected and the observed value.

        `expected` may be a `ByVersion`; `on` is the range of versions of this fact, if it is a wider one.
        """
        __tracebackhide__ = True
        is_known, wanted = expectation(expected, self._version, on or self._observed_on)
        self._check(section, text, observed == wanted, is_known, f"\n  expected: {wanted!r}\n  observed: {observed!r}")

    def holds(self, section: str, text: str, condition: bool, observed: object, *, on: str = "") -> None:
        """For what is not a plain equality; `observed` is only shown."""
        __tracebackhide__ = True
        is_known, _ = expectation(None, self._version, on or self._observed_on)
        self._check(section, text, condition, is_known, f"\n  observed: {observed!r}")

    def _check(self, section: str, text: str, holds: bool, is_known: bool, details: str) -> None:
        __tracebackhide__ = True
        self.checked[section] += 1
        if holds:
            return
        what = f"[{addresses(section)}] {text}{details}"
        if is_known:
            raise FactBroken(what)
        self.differing.append(what)


def addresses(section: str) -> str:
    """The sections of the documentation for an identifier. Raises KeyError for one that is unknown."""
    return ", ".join(SECTIONS[section])
