"""Asserts one observed fact at a time, and counts them."""

from __future__ import annotations

from collections import Counter
from typing import Final

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


class Facts:
    """`fact(section, text, observed, expected)`; a section is one of `SECTIONS`."""

    def __init__(self) -> None:
        self.checked: Counter[str] = Counter()

    def __call__(self, section: str, text: str, observed: object, expected: object) -> None:
        """Fails with the fact, the expected and the observed value."""
        __tracebackhide__ = True
        self.checked[section] += 1
        if observed != expected:
            raise AssertionError(f"[{addresses(section)}] {text}\n  expected: {expected!r}\n  observed: {observed!r}")

    def holds(self, section: str, text: str, condition: bool, observed: object) -> None:
        """For what is not a plain equality; `observed` is only shown."""
        __tracebackhide__ = True
        self.checked[section] += 1
        if not condition:
            raise AssertionError(f"[{addresses(section)}] {text}\n  observed: {observed!r}")


def addresses(section: str) -> str:
    """The sections of the documentation for an identifier. Raises KeyError for one that is unknown."""
    return ", ".join(SECTIONS[section])
