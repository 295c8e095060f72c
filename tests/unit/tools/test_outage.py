from __future__ import annotations

from pacifictool.progress import SilentReporter
from pacifictool.tools.outage import OutageReporter


class Messages(SilentReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(f"info: {message}")

    def warning(self, message: str) -> None:
        self.lines.append(f"warning: {message}")


def test_an_outage_and_its_end_are_each_reported_once() -> None:
    messages = Messages()
    outage = OutageReporter(messages, "Kafka answers again.")
    for problem in (None, None, "No answer.", "No answer.", None, None, "No answer."):
        outage.update(problem)
    assert messages.lines == ["warning: No answer.", "info: Kafka answers again.", "warning: No answer."]


def test_another_outage_is_reported_and_ends_with_the_same_message() -> None:
    messages = Messages()
    outage = OutageReporter(messages, "Kafka answers again.")
    for problem in ("No answer.", "No topic.", None):
        outage.update(problem)
    assert messages.lines == ["warning: No answer.", "warning: No topic.", "info: Kafka answers again."]


def test_numbers_that_change_do_not_make_another_outage() -> None:
    messages = Messages()
    outage = OutageReporter(messages, "All devices are connected again.")
    for away in (3, 2, 1):
        outage.update(f"{away} devices are away.", kind="away")
    assert messages.lines == ["warning: 3 devices are away."]
