"""Asserts one observed fact at a time, and counts them."""

from __future__ import annotations

from collections import Counter


class Facts:
    """`fact(section, text, observed, expected)`; sections are those of the measured facts (1 auth … 7 Kafka)."""

    def __init__(self) -> None:
        self.checked: Counter[str] = Counter()

    def __call__(self, section: str, text: str, observed: object, expected: object) -> None:
        """Fails with the fact, what was expected and what was seen."""
        __tracebackhide__ = True
        self.checked[section] += 1
        if observed != expected:
            raise AssertionError(f"[section {section}] {text}\n  expected: {expected!r}\n  observed: {observed!r}")

    def holds(self, section: str, text: str, condition: bool, observed: object) -> None:
        """For what is no plain equality; `observed` is only shown."""
        __tracebackhide__ = True
        self.checked[section] += 1
        if not condition:
            raise AssertionError(f"[section {section}] {text}\n  observed: {observed!r}")
