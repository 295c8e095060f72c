"""Checks this machine, the platform, Kafka, the forwarding, devices and assets, and reports the results."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any

from pacifictool.doctor.checks import TOTAL_SECONDS, CheckContext, CheckResult, CheckStatus, run_checks
from pacifictool.doctor.devices import DEVICE_CHECKS
from pacifictool.doctor.kafka import KAFKA_CHECKS
from pacifictool.doctor.machine import MACHINE_CHECKS
from pacifictool.doctor.platform import FORWARDING_CHECKS, PLATFORM_CHECKS
from pacifictool.progress import SILENT, Reporter

CHECKS = (*MACHINE_CHECKS, *PLATFORM_CHECKS, *KAFKA_CHECKS, *FORWARDING_CHECKS, *DEVICE_CHECKS)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """The results of all checks."""

    results: tuple[CheckResult, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings are not failures."""
        return not self.with_status(CheckStatus.FAILED)

    def with_status(self, status: CheckStatus) -> tuple[CheckResult, ...]:
        """The results with this status."""
        return tuple(result for result in self.results if result.status is status)

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "ok": self.ok,
            "checks": [result.as_document() for result in self.results],
            "counts": {str(status): len(self.with_status(status)) for status in CheckStatus},
            "seconds": round(self.seconds, 3),
        }


def examine(
    context: CheckContext, *, reporter: Reporter = SILENT, total_seconds: float = TOTAL_SECONDS
) -> DoctorReport:
    """Runs every check within `total_seconds`. Changes nothing. Raises Interrupted."""
    began = monotonic()
    try:
        results = run_checks(CHECKS, context, reporter=reporter, total_seconds=total_seconds)
    finally:
        if context.platform is not None:
            context.platform.close()
    return DoctorReport(tuple(results), monotonic() - began)
