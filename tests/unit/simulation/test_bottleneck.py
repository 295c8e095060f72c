from __future__ import annotations

import pytest

from pacifictool.simulation.bottleneck import Bottleneck, LoadMeter, bottleneck


def found(
    *, busy: float, held_back: int, lag: float = 0.01, loop_lag: float = 0.001, seconds: int = 10
) -> Bottleneck | None:
    """What limits ten devices that want 500 readings/s and get 300."""
    meter = LoadMeter()
    for second in range(seconds + 1):
        meter.update(100.0 + second, second * busy, second * 300, held_back=held_back, taking=10)
    meter.update(1000.0, 0.0, 0, held_back=0, taking=0)  # nobody takes readings any more
    return bottleneck(meter, target_rate=500, lag_seconds=lag, loop_lag_seconds=loop_lag, confirmed=True)


@pytest.mark.parametrize(
    ("busy", "held_back", "lag", "loop_lag", "by"),
    [
        (0.2, 0, 0.01, 0.001, None),
        (0.95, 0, 0.01, 0.001, None),  # busy, but in time
        (0.2, 6, 5.0, 0.001, "platform"),
        (0.95, 6, 5.0, 0.001, "machine"),
        (0.95, 0, 5.0, 0.001, "machine"),
        (0.2, 6, 5.0, 2.0, "machine"),  # not busy, but it does not get the processor
        (0.2, 0, 5.0, 0.001, None),  # late after an outage
    ],
)
def test_who_is_the_limit(busy: float, held_back: int, lag: float, loop_lag: float, by: str | None) -> None:
    limit = found(busy=busy, held_back=held_back, lag=lag, loop_lag=loop_lag)
    assert (None if limit is None else limit.by) == by


def test_the_sentence_has_the_evidence() -> None:
    limit = found(busy=0.2, held_back=6)
    assert limit is not None
    assert limit.sentence == (
        "The platform is the limit: it acknowledged 300 of 500 readings/s, and devices waited for it 60% of the time, while"
        " the simulator was busy only 20% of it."
    )
    limit = found(busy=0.97, held_back=6, loop_lag=1.5)
    assert limit is not None
    assert limit.sentence == (
        "This machine is the limit: the simulator was busy 97% of the time and up to 1.5 s late itself (p99), with 300 of"
        " 500 readings/s; simulate fewer devices on it, or use more of its cores (--processes) or several machines (--shard)."
    )


def test_a_run_without_any_time_says_nothing() -> None:
    assert found(busy=1.0, held_back=10, lag=5.0, seconds=0) is None
