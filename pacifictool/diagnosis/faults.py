"""One thing that is wrong: what `doctor` reports and `trace` explains a missing reading with."""

from __future__ import annotations

from dataclasses import dataclass

from pacifictool.diagnosis.causes import Cause

SETUP = "pacifictool setup"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that keeps readings from reaching Kafka, or may."""

    cause: Cause
    part: str
    """plugin, rule, rule-chain, attributes …"""
    sentence: str
    mend: str = SETUP
    certain: bool = True
    """Whether nothing can arrive as long as it lasts."""
    after_match: bool = False
    """Whether the platform's rule has matched nevertheless."""
