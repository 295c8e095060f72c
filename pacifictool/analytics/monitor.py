"""A running job as others see it: probes, Prometheus and `status`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from pacifictool.analytics.job_progress import JobProgress, Tracker

_STUCK_SECONDS: Final = 600.0
"""A batch of the largest size takes seconds; the job looks at the topic every two seconds."""


@dataclass(slots=True)
class JobMonitor:
    """Collects what is known about a job from before its start. Any thread may read it."""

    tracker: Tracker = field(default_factory=Tracker)
    """To be given to the job."""
    progress: JobProgress | None = None
    """The newest state of the running job, for which `note` is the job's callback; None: it does not count yet."""

    def note(self, progress: JobProgress) -> None:
        self.progress = progress

    def problem(self) -> str | None:
        """Why the job makes no progress, in one sentence; None while it does, starts, or waits for data."""
        tracker, progress = self.tracker, self.progress
        if tracker.failure is not None:
            return f"Nothing is counted: {tracker.failure}"
        if progress is not None and progress.delivery_failure is not None:
            return f"Nothing is delivered: {progress.delivery_failure}"
        if tracker.idle is not None:
            return f"Nothing is counted: {tracker.idle}"
        return self.hang()

    def hang(self) -> str | None:
        """Why only a restart helps, in one sentence; None while the job runs or recovers by itself."""
        silent = time.monotonic() - self.tracker.active_at
        if self.tracker.phase == "running" and self.tracker.idle is None and silent > _STUCK_SECONDS:
            return f"Nothing is counted: the last batch began more than {silent:.0f} s ago and has not ended."
        return None

    def facts(self) -> dict[str, Any]:
        """What `status` shows of the job; times in seconds since the epoch."""
        tracker, progress = self.tracker, self.progress
        return {
            "phase": tracker.phase,
            "problem": self.problem(),
            "last_batch": tracker.counted_at,
            "lag": tracker.lag,
            "records": tracker.records,
            "open_windows": None if progress is None else progress.open_windows,
            "last_delivery": None if progress is None else progress.delivered_at,
        }
