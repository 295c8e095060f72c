from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from pacifictool.simulation.payload import PayloadWriter, StampSequence


def test_the_tutorials_form_to_the_byte() -> None:
    assert PayloadWriter("windSpeed", bare=True).write(0, 31) == b'{"windSpeed":"31"}'


def test_the_form_with_a_time_stamp() -> None:
    assert PayloadWriter("windSpeed").write(1795477550000, 31) == b'{"ts":1795477550000,"values":{"windSpeed":"31"}}'


@given(st.text(min_size=1), st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_key_and_number_give_json(key: str, value: float) -> None:
    assert json.loads(PayloadWriter(key).write(5, value)) == {"ts": 5, "values": {key: str(value)}}


@given(st.lists(st.integers(0, 10), min_size=1))
def test_stamps_increase_strictly_whatever_the_clock_says(clock: list[int]) -> None:
    stamps = StampSequence()
    given_out = [stamps.next(now) for now in clock]
    assert all(later > earlier for earlier, later in itertools.pairwise(given_out))
    assert all(stamp >= now for stamp, now in zip(given_out, clock, strict=True))


def test_stamps_follow_a_clock_that_runs() -> None:
    stamps = StampSequence()
    assert [stamps.next(now) for now in (100, 100, 90, 101, 250)] == [100, 101, 102, 103, 250]
