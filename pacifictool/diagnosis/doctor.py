"""Looks at everything that a run needs: this machine, the platform, Kafka, the forwarding, devices and assets."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any

from pacifictool.diagnosis.broker import broker_checks
from pacifictool.diagnosis.checks import TOTAL_SECONDS, Line, Status, run_checks
from pacifictool.diagnosis.devices import device_checks
from pacifictool.diagnosis.machine import machine_checks
from pacifictool.diagnosis.rules import rule_checks
from pacifictool.diagnosis.server import server_checks
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.reporting import SILENT, Reporter


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen."""

    lines: tuple[Line, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings are no failures."""
        return not self.of(Status.FAILED)

    def of(self, status: Status) -> tuple[Line, ...]:
        """The lines with this status."""
        return tuple(line for line in self.lines if line.status is status)

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "ok": self.ok,
            "checks": [line.as_document() for line in self.lines],
            "counts": {str(status): len(self.of(status)) for status in Status},
            "seconds": round(self.seconds, 3),
        }


def examine(around: Surroundings, *, reporter: Reporter = SILENT, total_seconds: float = TOTAL_SECONDS) -> Report:
    """Runs every check and never hangs. Changes nothing. Raises Interrupted."""
    began = monotonic()
    checks = [
        *machine_checks(around),
        *server_checks(around),
        *broker_checks(around),
        *rule_checks(around),
        *device_checks(around),
    ]
    try:
        lines = run_checks(checks, stop=around.stop, reporter=reporter, total_seconds=total_seconds)
    finally:
        if around.platform is not None:
            around.platform.close()
    return Report(tuple(lines), monotonic() - began)
