"""Which target a job's alarms have, and when the platform is asked for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pacifictool.analytics.alarms import AlarmSource
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.launch import open_alarms
from pacifictool.analytics.sinks.alarms import ConsoleAlarmTarget, RestAlarmTarget
from pacifictool.analytics.state.alarm_store import SeriesAlarms
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.errors import PlatformUnreachable
from pacifictool.progress import SILENT
from tests.support.scenarios import rules_of

SITES = {"name": "sites", "group_by": ["site"], "telemetry": {"temperature": "mean(temperature)"}}
SCORES = {"name": "scores", "group_by": ["site"], "function": "scoring:score"}
HIGH = {"type": "High", "analytics": "sites", "when": "temperature > 10.0"}
NORTH = AlarmSource(
    "asset", "North", "High", "condition", "MAJOR", 10_000, 20_000,
    {"condition": "temperature > 10.0", "values": {"temperature": 11.25}},
)  # fmt: skip


class Platform:
    """Counts how often it is asked for."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.asked = 0
        self.is_down = is_down
        self.closed = 0

    def connect(self) -> Any:
        self.asked += 1
        if self.is_down:
            raise PlatformUnreachable("It is away.")
        return SimpleNamespace(close=self.close)

    def close(self) -> None:
        self.closed += 1


def opened(
    sink: str, rules: RecordRules, folder: Path, platform: Platform, write: Callable[[str], None] = print
) -> Any:
    options: Any = SimpleNamespace(
        write=write, connect=platform.connect, settings=SimpleNamespace(url="http://h"), scenario=SimpleNamespace(asset_type="Site")
    )  # fmt: skip
    return open_alarms(sink, options, rules, folder, stop=threading.Event(), reporter=SILENT)


@pytest.mark.parametrize(
    ("sink", "rules", "asked"),
    [
        ("rest", rules_of(SITES, alarms=[HIGH]), 0),  # the sink has asked
        ("kafka", rules_of(SITES, alarms=[HIGH]), 1),
        ("kafka", rules_of(SCORES), 0),  # it may never raise one
    ],
)
def test_the_platform_is_asked_when_it_is_needed(tmp_path: Path, sink: str, rules: RecordRules, asked: int) -> None:
    platform = Platform()
    with opened(sink, rules, tmp_path, platform) as target:
        assert isinstance(target, RestAlarmTarget)
        assert platform.asked == asked
        target.platform()
        target.platform()
        assert platform.asked == 1
    assert platform.closed == 1


def test_a_platform_that_is_down_is_reported_at_the_first_start(tmp_path: Path) -> None:
    with (
        pytest.raises(PlatformUnreachable),
        opened("kafka", rules_of(SITES, alarms=[HIGH]), tmp_path, Platform(is_down=True)),
    ):
        pass


def test_without_alarms_there_is_no_target_unless_some_are_left(tmp_path: Path) -> None:
    rules = rules_of(SITES)
    folder = tmp_path / "job"
    with opened("rest", rules, folder, Platform()) as target:
        assert target is None
    with Checkpoint(folder, "readings", rules) as checkpoint:
        checkpoint.check_identity({"topic": "readings", "target": "rest http://h"})
        checkpoint.store.keep_alarms([SeriesAlarms(("sites", "North"), [], [NORTH])])
    with opened("rest", rules, folder, Platform()) as target:
        assert isinstance(target, RestAlarmTarget)


def test_with_the_screen_as_sink_alarms_are_lines(tmp_path: Path) -> None:
    lines: list[str] = []
    platform = Platform()
    with opened("console", rules_of(SITES, alarms=[HIGH]), tmp_path, platform, lines.append) as target:
        assert isinstance(target, ConsoleAlarmTarget)
        target.raise_alarm(NORTH, again=False)
        target.clear(NORTH.place, "")
    assert lines == [
        "1970-01-01T00:00:20Z  North  MAJOR alarm High  (temperature > 10.0)  temperature 11.25",
        "North  alarm High cleared",
    ]
    assert platform.asked == 0
