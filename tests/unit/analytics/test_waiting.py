from __future__ import annotations

import threading

import pytest

from pacifictool.analytics.waiting import wait_until_reachable
from pacifictool.errors import AuthenticationFailed, KafkaUnreachable, PacificToolError, PlatformUnreachable
from tests.support.recorders import RecordingReporter


class Clockless(threading.Event):
    """An event that returns at once and records how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


def test_what_does_not_respond_is_tried_again_at_longer_and_longer_intervals() -> None:
    failures: list[PacificToolError] = [KafkaUnreachable("Kafka is down.")] * 6 + [PlatformUnreachable("It is down.")]
    notes, stop = RecordingReporter(), Clockless()

    def attempt() -> str:
        if failures:
            raise failures.pop(0)
        return "there"

    assert wait_until_reachable(attempt, stop, notes, waits=True) == "there"
    assert stop.waits == [1, 2, 4, 8, 16, 30, 30]
    assert notes.warnings[0] == "Kafka is down. Trying again in 1 s."
    assert notes.warnings[-1] == "It is down. Trying again in 30 s."


def test_a_stop_ends_the_wait_and_what_is_no_outage_is_not_waited_out() -> None:
    def down() -> None:
        stop.set()
        raise KafkaUnreachable("Kafka is down.")

    def refused() -> None:
        raise AuthenticationFailed("Wrong password.")

    stop = Clockless()
    assert wait_until_reachable(down, stop, RecordingReporter(), waits=True) is None
    with pytest.raises(AuthenticationFailed):
        wait_until_reachable(refused, Clockless(), RecordingReporter(), waits=True)


def test_a_first_start_fails_at_once() -> None:
    def down() -> None:
        raise KafkaUnreachable("Kafka is down.")

    notes, stop = RecordingReporter(), Clockless()
    with pytest.raises(KafkaUnreachable):
        wait_until_reachable(down, stop, notes, waits=False)
    assert (notes.warnings, stop.waits) == ([], [])
