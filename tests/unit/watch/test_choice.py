from __future__ import annotations

from io import StringIO

import pytest

from pacifictool.console import Console
from pacifictool.scenario import parse_scenario
from pacifictool.watch.choice import Choice, natural, shown_of
from pacifictool.watch.described import describe
from pacifictool.watch.flow import flows_of, verdict_of
from pacifictool.watch.model import (
    AnalyticsView,
    DeviceView,
    GroupView,
    PlatformState,
    ResultView,
    Snapshot,
    VerdictCode,
)
from pacifictool.watch.screen import changed_choice, hint_of
from pacifictool.watch.states import AlarmsState, JobState, WatchedTopicState
from pacifictool.watch.terminal import line, view

NOW = 1_000_000_000
ROOMS = {"Room 10": (5.0, 1.0), "Room 2": (7.0, 9.0), "Hall": (None, None), "Room 1": (6.0, 2.0)}
"""Value and age by name."""


@pytest.mark.parametrize(
    ("choice", "expected", "cut"),
    [
        (Choice(), ["Room 10", "Room 2", "Hall", "Room 1"], ""),
        (Choice(sort="name"), ["Hall", "Room 1", "Room 2", "Room 10"], ""),
        (Choice(sort="value"), ["Room 2", "Room 1", "Room 10", "Hall"], ""),
        (Choice(sort="age"), ["Hall", "Room 2", "Room 1", "Room 10"], ""),
        (Choice(sort="age", limit=2), ["Hall", "Room 2"], "showing 2 of 4"),
        (Choice(search="ROOM 1"), ["Room 10", "Room 1"], "2 of 4 match"),
        (Choice(search="room", limit=1), ["Room 10"], "showing 1 of 3"),
        (Choice(search="x"), [], "0 of 4 match"),
        (Choice(limit=0), [], "showing 0 of 4"),
    ],
)
def test_groups_are_searched_sorted_and_cut(choice: Choice, expected: list[str], cut: str) -> None:
    shown = shown_of(ROOMS, choice, name=str, value=lambda room: ROOMS[room][0], age=lambda room: ROOMS[room][1])
    assert (shown.items, shown.cut_text()) == (expected, cut)


def test_names_with_numbers_sort_as_a_person_would() -> None:
    names = ["b", "a10b", "a9", "10", "9", "", "a"]
    assert sorted(names, key=natural) == ["", "9", "10", "a", "a9", "a10b", "b"]


SCENARIO = parse_scenario(
    """
units = { temperature = "°C" }
labels = { device = "sensor", site = "shop" }
[forwarding]
topic = "t"
attributes = ["site"]
telemetry = ["temperature", "humidity"]
[[analytics]]
name = "shops"
group_by = ["site"]
window = "5m"
slide = "1m"
telemetry = { temperature = "mean(temperature)", hottest = "max(temperature)", readings = "count()" }
[[analytics]]
name = "all"
entity = "All shops"
window = "1h"
telemetry = { mean = "mean(temperature)" }
""",
    source="test",
)
WORDS = describe(SCENARIO)


def snapshot() -> Snapshot:
    shops = tuple(
        GroupView(
            f"Shop {number}",
            "asset",
            results=(ResultView(NOW - 30_000, {"temperature": number + 0.25, "hottest": 9.5, "readings": 300.0}, 300),),
        )
        for number in range(30)
    )
    everything = GroupView("All shops", None, unknown="The platform has no asset or device of this name yet.")
    platform = PlatformState(
        "http://localhost:8080",
        "4.x",
        analytics=(AnalyticsView(WORDS.analytics[0], shops, 30), AnalyticsView(WORDS.analytics[1], (everything,), 1)),
        devices=(DeviceView("Sensor 1", {"site": "Shop 1"}, {"temperature": 5.5, "humidity": 40}, NOW, 1.0),),
        devices_total=1,
        reporting=1,
        rate=1.0,
    )
    topic, job = WatchedTopicState("t", "id", {0: 10}, rate=1.0), JobState("folder", "console", is_running=True)
    verdict = verdict_of(platform, topic, job, 0, now_ms=NOW, words=WORDS)
    flows = flows_of(platform, topic, job, now_ms=NOW, words=WORDS)
    return Snapshot(NOW, WORDS, platform, AlarmsState(), topic, job, 0, (), flows, verdict)


def drawn(choice: Choice, width: int) -> str:
    out = StringIO()
    Console(out, colour=False, width=width).print(view(snapshot(), width=width, choice=choice))
    return out.getvalue()


def test_a_table_per_analytics_with_units_says_what_it_cuts() -> None:
    text = drawn(Choice(limit=5, sort="value", key="temperature"), 140)
    assert "shops: one result over 5 min every 1 min (showing 5 of 30)" in text
    for heading in ("Shop", "temperature (°C)", "hottest (°C)", "readings", "humidity"):
        assert heading in text
    assert text.index("Shop 29") < text.index("Shop 28")
    assert "all: one mean every 1 h" in text
    only = drawn(Choice(analytics="all"), 140)
    assert "shops:" not in only


def test_a_narrow_terminal_shows_fewer_keys_and_says_so() -> None:
    text = drawn(Choice(analytics="shops", limit=3), 60)
    assert "1 of 3 keys" in text
    assert max(map(len, text.splitlines())) <= 60


def test_an_analytics_whose_first_window_is_open_is_not_stale() -> None:
    assert snapshot().verdict.code is VerdictCode.FLOWING


def test_a_plain_line_has_at_most_twenty_groups() -> None:
    text = line(snapshot())
    assert "shops: Shop 0 temperature (°C) 0.25, hottest (°C) 9.50, readings 300 (" in text
    assert "and 10 more shops" in text


def test_documents_have_only_the_chosen_groups() -> None:
    document = snapshot().as_document(choice=Choice(analytics="shops", limit=2))
    shops, everything = document["analytics"]
    assert [group["name"] for group in shops["groups"]] == ["Shop 0", "Shop 1"]
    assert (shops["groups_found"], shops["groups_total"], shops["fresh"]) == (30, 30, 30)
    assert everything["groups"] == []
    assert [key["unit"] for key in shops["keys"]] == ["°C", "°C", None]


def test_keys_change_order_and_analytics() -> None:
    names = ("shops", "all")
    choice = changed_choice(Choice(), "s", names)
    assert choice.sort == "name"
    assert changed_choice(choice, "sss", names).sort == "scenario"
    seen = [changed_choice(Choice(), "a" * times, names).analytics for times in range(4)]
    assert seen == [None, "shops", "all", None]
    assert changed_choice(Choice(), "\x1b[A", names) == Choice(), "an arrow is not a letter"
    assert changed_choice(Choice(), "a", ("zones",)) == Choice()
    assert hint_of(Choice(sort="age"), 2) == "q quits, a analytics, s sort (age)"
