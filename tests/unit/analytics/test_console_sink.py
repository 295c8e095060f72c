"""The smallest sink and its test, a template for others."""

from __future__ import annotations

import pytest

from pacifictool.analytics.sinks.console import ConsoleSink
from pacifictool.errors import OutputFailed
from tests.support.recorders import RecordingCallback
from tests.support.scenarios import window_result


def test_each_result_is_written_as_a_line() -> None:
    lines: list[str] = []
    callback = RecordingCallback()
    results = [window_result("Zone A", 1_795_477_550_000, 40.02), window_result("B", 1_500)]

    ConsoleSink(lines.append).deliver(results, callback)

    assert lines == [
        "2026-11-23T23:45:50Z  Zone A  windSpeed 40.02  (4 records)",
        "1970-01-01T00:00:01.500Z  B  windSpeed 2.5  (4 records)",
    ]
    assert callback.accepted_results == results


def test_nothing_is_accepted_when_it_cannot_be_written() -> None:
    def write(_line: str) -> None:
        raise OutputFailed("The disk is full.")

    callback = RecordingCallback()
    with pytest.raises(OutputFailed):
        ConsoleSink(write).deliver([window_result("Zone A", 10_000)], callback)
    assert callback.accepted_results == []
