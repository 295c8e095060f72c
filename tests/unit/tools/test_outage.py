from __future__ import annotations

from pacifictool.tools.outage import OutageReporter
from tests.support.recorders import RecordingReporter


def test_an_outage_and_its_end_are_each_reported_once() -> None:
    reporter = RecordingReporter()
    outage = OutageReporter(reporter, "Kafka responds again.")
    for problem in (None, None, "No response.", "No response.", None, None, "No response."):
        outage.update(problem)
    assert reporter.reported == [
        ("warning", "No response."),
        ("info", "Kafka responds again."),
        ("warning", "No response."),
    ]


def test_another_outage_is_reported_and_ends_with_the_same_message() -> None:
    reporter = RecordingReporter()
    outage = OutageReporter(reporter, "Kafka responds again.")
    for problem in ("No response.", "No topic.", None):
        outage.update(problem)
    assert reporter.reported == [
        ("warning", "No response."),
        ("warning", "No topic."),
        ("info", "Kafka responds again."),
    ]


def test_numbers_that_change_do_not_make_another_outage() -> None:
    reporter = RecordingReporter()
    outage = OutageReporter(reporter, "All devices are connected again.")
    for away in (3, 2, 1):
        outage.update(f"{away} devices are away.", kind="away")
    assert reporter.reported == [("warning", "3 devices are away.")]
