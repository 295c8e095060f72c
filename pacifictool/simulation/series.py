"""`simulate --results`: what happened in every interval of a run, as CSV or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from pacifictool.errors import FileNotWritten, UsageError, file_fault
from pacifictool.progress import SILENT, Reporter
from pacifictool.simulation.histogram import milliseconds
from pacifictool.simulation.intervals import FleetInterval, FleetState
from pacifictool.tools.times import utc_time

COLUMNS: Final = (
    "time", "seconds", "sent", "acknowledged", "resent", "lost", "in_flight", "connected", "latency_p50_ms",
    "latency_p99_ms", "latency_max_ms", "lag_p99_ms", "simulator_busy",
)  # fmt: skip
"""`time`: end of the interval (ISO 8601, UTC); `seconds`: its length; `in_flight` and `connected`: at its end;
`simulator_busy`: from 0 to 1. All others count, or measure, what happened in the interval."""

_SHORTEST_SECONDS: Final = 0.01


class SeriesWriter:
    """Writes a row for every interval of a run, as it ends, so that a killed run leaves its rows.

    Latencies are those of the acknowledgements that came in the interval, each within 2.2 %. Use as a context; opening
    it raises FileNotWritten. A failure later is reported once, and `problem` says what it was; the run goes on.
    """

    def __init__(self, file: Path, interval_seconds: float, reporter: Reporter = SILENT, *, confirmed: bool) -> None:
        """`confirmed`: whether deliveries are acknowledgements (QoS 1).

        Raises UsageError unless the suffix of `file` is .csv, or .jsonl or .ndjson for JSON Lines.
        """
        suffix = file.suffix.lower()
        if suffix not in (".csv", ".jsonl", ".ndjson"):
            raise UsageError(
                f"{file.name!r} does not say how results are written.", hint="Let it end with .csv, .jsonl or .ndjson."
            )
        self.file = file
        self.rows = 0
        self.problem: str | None = None
        self.due_at = -math.inf
        self._is_csv = suffix == ".csv"
        self._interval = interval_seconds
        self._reporter = reporter
        self._confirmed = confirmed
        self._last: FleetState | None = None
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._stream = self.file.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise FileNotWritten(
                f"The results cannot be written to {self.file}: {file_fault(error)}.", hint="Choose another --results."
            ) from error
        if self._is_csv:
            self._write(_csv_line(COLUMNS))
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError as error:  # a full disk, at the latest
                self._fail(error)

    def observe(self, state: FleetState) -> None:
        """See `FleetObserver`."""
        if self._last is None:
            self._last, self.due_at = state, state.at + self._interval
            return
        interval = FleetInterval(self._last, state)
        if interval.seconds < _SHORTEST_SECONDS:
            return
        self._last = state
        # After a delay the next interval ends on the grid again.
        self.due_at += self._interval * max(1, math.ceil((state.at - self.due_at) / self._interval))
        row = self._row(interval)
        self._write(_csv_line(row.values()) if self._is_csv else f"{json.dumps(row)}\n")
        self.rows += 1

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {"file": str(self.file.absolute()), "rows": self.rows, "problem": self.problem}

    def _row(self, interval: FleetInterval) -> dict[str, Any]:
        latency = interval.acknowledgement
        now_ms = (time.time() - time.monotonic() + interval.last.at) * 1000
        values = (
            f"{utc_time(round(now_ms)).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z",
            round(interval.seconds, 3),
            interval.generated,
            interval.delivered if self._confirmed else 0,
            interval.resent,
            interval.lost,
            interval.last.in_flight,
            interval.last.online,
            milliseconds(latency.percentile(50)),
            milliseconds(latency.percentile(99)),
            milliseconds(latency.longest) if latency.count else None,
            milliseconds(interval.lag.percentile(99)),
            round(interval.busy, 3),
        )
        return dict(zip(COLUMNS, values, strict=True))

    def _write(self, line: str) -> None:
        if self._stream is None or self.problem is not None:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self.problem is None:
            self.problem = file_fault(error)
            self._reporter.warning(
                f"The results cannot be written to {self.file}: {self.problem}; the run goes on without them."
            )


def _csv_line(values: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
