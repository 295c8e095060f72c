from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pacifictool.doctor.checks import CheckContext, CheckResult, CheckStatus, DoctorCheck
from pacifictool.doctor.platform import PLATFORM_CHECKS

MakeContext = Callable[..., CheckContext]
RunCheck = Callable[[Sequence[DoctorCheck], str, CheckContext], list[CheckResult]]


@pytest.mark.parametrize(
    ("ahead", "status", "expected"),
    [
        (0.0, CheckStatus.OK, "of this machine's"),
        (30.5, CheckStatus.WARNING, r"^At least (29|30) s ahead of this machine's\.$"),
        (-31.5, CheckStatus.WARNING, r"^At least (30|31) s behind this machine's\.$"),
    ],
)
def test_a_clock_that_differs_is_a_warning(
    make_context: MakeContext, run_check: RunCheck, ahead: float, status: CheckStatus, expected: str
) -> None:
    """A server with another clock is not available here: its time is invented, in whole seconds as in a token."""
    context = make_context()
    session = SimpleNamespace(server_time_ms=lambda: int(time.time() + ahead) * 1000)
    context.platform = cast(Any, SimpleNamespace(session=session))
    [result] = run_check(PLATFORM_CHECKS, "clock-platform", context)
    assert result.status is status
    assert re.search(expected, result.text)
    assert result.code == (None if status is CheckStatus.OK else "clock-skew")
    assert (result.fix is None) == (status is CheckStatus.OK)
