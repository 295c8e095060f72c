from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pacifictool.diagnosis.checks import Check, Line, Status
from pacifictool.diagnosis.server import server_checks
from pacifictool.diagnosis.surroundings import Surroundings

MakeSurroundings = Callable[..., Surroundings]
Look = Callable[[list[Check], str], list[Line]]


@pytest.mark.parametrize(
    ("ahead", "status", "said"),
    [
        (0.0, Status.OK, "of this machine's"),
        (30.5, Status.WARNING, r"^At least (29|30) s ahead of this machine's\.$"),
        (-31.5, Status.WARNING, r"^At least (30|31) s behind this machine's\.$"),
    ],
)
def test_a_clock_that_is_off_is_worth_a_warning(
    surroundings: MakeSurroundings, look: Look, ahead: float, status: Status, said: str
) -> None:
    """A server of another time cannot be had here: its word is made up, in whole seconds as a token tells it."""
    around = surroundings()
    session = SimpleNamespace(server_time_ms=lambda: int(time.time() + ahead) * 1000)
    around.platform = cast(Any, SimpleNamespace(session=session))
    [line] = look(server_checks(around), "clock-platform")
    assert line.status is status
    assert re.search(said, line.seen)
    assert line.cause == (None if status is Status.OK else "clock-skew")
    assert (line.mend is None) == (status is Status.OK)
