from __future__ import annotations

import math

import pytest

from pacifictool.simulation.flow_control import DeviceFlowControl, FlowControl, WaitingLine
from pacifictool.simulation.loop import EventLoop
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.reading import Reading


def reading(first_sent: float, *, resent: int = 0) -> Reading:
    return Reading("Turbine", 0, 0, {}, b"", first_sent, resent=resent)


def platform(flow: FlowControl, *, rate: int, latency: float, seconds: float = 20.0) -> None:
    """Acknowledges `rate` readings per second, each after `latency`, in steps of a tenth of a second."""
    for step in range(round(seconds * 10)):
        now = 100 + step / 10
        flow.acknowledged([reading(now - latency)], now)
        flow.update(now, round((step + 1) * rate / 10))


def test_a_quick_platform_gets_all_that_is_allowed() -> None:
    flow = FlowControl(FleetOptions())
    assert flow.max_in_flight == 2_500
    platform(flow, rate=20, latency=0.05)
    assert (flow.max_in_flight, flow.timeout_seconds) == (10_000, 10)


@pytest.mark.parametrize(("rate", "in_flight"), [(300, 1_500), (5, 100), (50_000, 10_000)])
def test_the_queue_of_a_slow_platform_is_bounded_by_its_rate(rate: int, in_flight: int) -> None:
    flow = FlowControl(FleetOptions())
    platform(flow, rate=rate, latency=8.0)
    assert flow.max_in_flight == pytest.approx(in_flight, rel=0.05)
    assert flow.timeout_seconds == 16


def test_a_timeout_is_never_longer_than_a_reading_is_kept() -> None:
    flow = FlowControl(FleetOptions(give_up_after_seconds=30))
    flow.acknowledged([reading(0.0)], 29.0)
    assert flow.timeout_seconds == 30
    impatient = FlowControl(FleetOptions(give_up_after_seconds=5))
    assert impatient.timeout_seconds == 10


def test_a_repetition_says_nothing_about_the_latency() -> None:
    flow = FlowControl(FleetOptions())
    flow.acknowledged([reading(0.0, resent=1)], 29.0)
    assert flow.timeout_seconds == 10


def test_the_timeout_follows_a_platform_that_recovers() -> None:
    flow = FlowControl(FleetOptions())
    platform(flow, rate=300, latency=8.0)
    flow.update(130.0, 7_000)
    flow.update(141.0, 8_000)
    flow.update(142.0, 8_300)
    assert flow.timeout_seconds == 10
    assert flow.max_in_flight == 10_000


def test_repetitions_of_a_fleet_are_bounded() -> None:
    flow = FlowControl(FleetOptions())
    flow.update(0.0, 0)
    assert (flow.take_resends(700), flow.take_resends(700), flow.take_resends(700)) == (700, 300, 0)
    flow.acknowledged([reading(0.0, resent=1), reading(0.0)], 1.0)
    assert flow.take_resends(700) == 1
    flow.update(20.0, 0)  # those that are never acknowledged give their place back
    assert flow.take_resends(700) == 500


def test_qos_0_has_the_limits_of_the_options() -> None:
    flow = FlowControl(FleetOptions(qos=0))
    platform(flow, rate=5, latency=8.0)
    assert flow.max_in_flight == 10_000


def test_a_device_without_acknowledgements_tries_one_of_each_kind_less_and_less_often() -> None:
    flow = DeviceFlowControl(FlowControl(FleetOptions()))
    assert (flow.timeout_seconds, flow.room(100, 50)) == (10, (50, 50))
    now, waits = 10.0, []
    for _ in range(5):
        flow.timed_out(now, last_sent=now - 1)
        flow.timed_out(now, last_sent=-1.0)  # sent before that: nothing new
        waits.append(flow.timeout_seconds)
        assert flow.room(100, 100) == flow.room(100, 50) == (1, 2)
        assert (flow.room(1, 1), flow.room(1, 0)) == ((0, 0), (1, 1))  # where one at a time is the rule
        flow.sent(now, resends=1, new=0)
        assert flow.room(100, 50) == (0, 1)
        flow.sent(now, resends=0, new=1)
        assert flow.room(100, 50) == (0, 0)
        now += flow.timeout_seconds + 1
    assert waits == [20, 40, 80, 80, 80]
    assert flow.recover()
    assert (flow.timeout_seconds, flow.room(100, 50), flow.recover()) == (10, (50, 50), False)
    assert math.isfinite(flow.timeout_seconds)


class Device:
    """Takes up to `due` readings of the room that there is."""

    def __init__(self, room: list[int], due: int) -> None:
        self.wake_at = math.inf
        self.is_waiting = False
        self.due = due
        self.runs = 0
        self._room = room

    def run(self, now: float) -> None:
        self.runs += 1
        taken = min(self.due, max(0, self._room[0]))
        self.due -= taken
        self._room[0] -= taken


def test_waiting_devices_take_the_room_in_order_and_none_is_run_without_room() -> None:
    room = [0]
    loop = EventLoop()
    line = WaitingLine(loop, FlowControl(FleetOptions()), lambda: room[0])
    devices = [Device(room, due) for due in (3, 2, 2)]
    for device in [*devices, devices[0]]:
        line.add(device)
    room[0] = 4
    line.freed(4)
    line.run(loop.now)
    assert [(device.due, device.runs) for device in devices] == [(0, 1), (1, 1), (2, 0)]
    assert [device.is_waiting for device in devices] == [False, False, True]
    loop.close()


def test_waiting_devices_are_run_now_and_then_without_any_outcome() -> None:
    room = [5]
    loop = EventLoop()
    line = WaitingLine(loop, FlowControl(FleetOptions()), lambda: room[0])
    device = Device(room, 2)
    line.add(device)
    while not device.runs:
        loop.run_once()
    assert device.due == 0
    loop.close()
