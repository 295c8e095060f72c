from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import UsageError
from pacifictool.settings import Secret
from pacifictool.simulation.find_limit import LimitFinder, LimitOptions, RateSearch, Step, classify_step
from pacifictool.simulation.histogram import DurationHistogram
from pacifictool.simulation.intervals import FleetInterval, FleetState
from pacifictool.simulation.plan import SimulatedDevice


def state(
    at: float = 0.0,
    *,
    generated: int = 0,
    delivered: int = 0,
    lost: int = 0,
    online: int = 2,
    latency: float = 0.01,
    lag: float = 0.001,
    loop_lag: float = 0.001,
    busy: float = 0.0,
) -> FleetState:
    histograms = []
    for seconds in (latency, lag, loop_lag):
        histograms.append(DurationHistogram())
        if generated:
            histograms[-1].record(seconds, generated)
    acknowledgement, lateness, loop_lateness = histograms
    return FleetState(at, generated, delivered, 0, lost, online, acknowledgement, lateness, loop_lateness, busy)


def step(**last: float) -> Step:
    return classify_step(100, FleetInterval(state(), state(10, **{"generated": 1000, "delivered": 1000, **last})), 1.0)  # type: ignore[arg-type]


@given(st.floats(1, 1e6), st.floats(0.01, 1e6), st.floats(1.1, 3))
def test_the_search_ends_within_five_per_cent_of_the_limit(limit: float, start: float, factor: float) -> None:
    search = RateSearch(start, factor)
    steps = 0
    while (rate := search.next_rate) is not None:
        search.add(rate, held=rate <= limit)
        steps += 1
    assert steps <= 40
    if search.held is not None and search.failed is not None and steps < 40:
        assert search.held <= limit < search.failed <= search.held * 1.0501


def test_the_search_raises_then_refines() -> None:
    search = RateSearch(100, 2)
    tried = []
    while (rate := search.next_rate) is not None:
        tried.append(round(rate))
        search.add(rate, held=rate <= 300)
    assert tried[:4] == [100, 200, 400, 283]
    assert tried[-1] in range(283, 320)


@pytest.mark.parametrize(
    ("last", "reason", "by"),
    [
        ({}, None, None),
        ({"delivered": 960}, None, None),
        ({"lost": 3}, "3 readings were lost", "platform"),
        ({"online": 1}, "1 devices lost their sessions", "platform"),
        ({"generated": 500, "delivered": 500}, "only 50 of 100 readings/s could be sent", "platform"),
        ({"delivered": 900}, "only 90 of 100 readings/s were acknowledged", "platform"),
        ({"latency": 3.0}, "99th percentile of acknowledgements was", "platform"),
        ({"lag": 3.0}, "s late (p99), more than 1 s", "platform"),
        ({"latency": 3.0, "busy": 9.5}, "99th percentile of acknowledgements was", "machine"),
        ({"generated": 500, "delivered": 500, "loop_lag": 0.8}, "could be sent", "machine"),
    ],
)
def test_why_a_step_does_not_hold(last: dict[str, float], reason: str | None, by: str | None) -> None:
    result = step(**last)
    assert result.by == by
    assert (result.reason is None) if reason is None else (reason in (result.reason or ""))
    assert result.as_document()["held"] is (reason is None)


def test_a_short_delay_is_not_a_limit() -> None:
    devices = [SimulatedDevice(f"Turbine {number}", Secret("t"), {}, 50.0) for number in range(2)]
    finder = LimitFinder(devices, LimitOptions(factor=2, hold_seconds=4))
    SimulatedPlatform(330, pause=(4.0, 5.5)).run(finder, 100)
    document = finder.as_document()
    assert [(each["rate"], each["held"]) for each in document["steps"][:3]] == [(100, False), (100, True), (200, True)]
    assert document["limit"]["rate"] > 200


class SimulatedPlatform:
    """Runs a `LimitFinder` on a clock of its own, against a platform that acknowledges `capacity` readings per second."""

    def __init__(self, capacity: float, *, pause: tuple[float, float] = (0.0, 0.0)) -> None:
        self.capacity = capacity
        self.pause = pause
        self.scale = 1.0
        self.finished = False

    def run(self, finder: LimitFinder, rate: float) -> None:
        finder.control(self._change_rate, self._finish)
        at, generated, delivered = 0.0, 0.0, 0.0
        while not self.finished:
            at += 0.1
            generated += rate * self.scale * 0.1
            if not self.pause[0] < at < self.pause[1]:
                delivered = min(generated, delivered + self.capacity * 0.1)
            if at >= finder.due_at:
                finder.observe(state(at, generated=int(generated), delivered=int(delivered)))

    def _change_rate(self, scale: float) -> None:
        self.scale = scale

    def _finish(self) -> None:
        self.finished = True


@pytest.mark.parametrize(("capacity", "held"), [(330.0, True), (40.0, True), (1e-9, False)])
def test_a_known_limit_is_found(capacity: float, held: bool) -> None:
    devices = [SimulatedDevice(f"Turbine {number}", Secret("t"), {}, 50.0) for number in range(2)]
    finder = LimitFinder(devices, LimitOptions(factor=2, hold_seconds=4))
    SimulatedPlatform(capacity).run(finder, 100)
    document = finder.as_document()
    assert document["complete"]
    failed = [each["rate"] for each in document["steps"] if not each["held"]]
    assert failed == [rate for rate in dict.fromkeys(failed) for _ in range(2)]  # each was tried twice
    assert [each["held"] for each in document["steps"]].count(True) > 0 or not held
    if not held:
        assert document["limit"] is None
        return
    # A step holds while 95 % are acknowledged, and the search stops at 5 %.
    assert capacity / 1.06 <= document["limit"]["rate"] <= capacity / 0.94
    assert document["limit"]["rate_per_device"] == pytest.approx(document["limit"]["rate"] / 2, abs=1e-3)
    assert document["limit"]["by"] == "platform"
    assert "acknowledged" in document["limit"]["reason"]


@pytest.mark.parametrize(
    "wrong", [{"factor": 1.0}, {"factor": float("nan")}, {"hold_seconds": 0}, {"max_latency_seconds": 0}]
)
def test_options_that_are_not_possible(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        LimitOptions(**wrong)
