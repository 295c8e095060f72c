"""The page "Your own data" shows what its examples are."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from itertools import pairwise

from pacifictool.scenario import load_scenario
from tests.support.documents import ROOT

EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "your-data.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"<!-- part of (\S+) -->\n```toml\n(.*?)```", PAGE, re.DOTALL)


def test_every_scenario_on_the_page_is_a_part_of_its_example() -> None:
    assert len(SHOWN) == PAGE.count("```toml") > 5
    for name, text in SHOWN:
        assert text in (EXAMPLES / name).read_text(encoding="utf-8"), name


def test_cold_rooms_are_shown_whole_in_thirty_lines() -> None:
    text = (EXAMPLES / "cold_rooms.toml").read_text(encoding="utf-8")
    assert SHOWN[0] == ("cold_rooms.toml", text)
    assert len(text.splitlines()) <= 30
    [sites] = load_scenario(EXAMPLES / "cold_rooms.toml").analytics
    functions = {(str(aggregate.key), aggregate.function) for aggregate in sites.telemetry.values()}
    assert functions == {
        (key, function) for key in ("temperature", "humidity") for function in ("min", "max", "mean", "p95", "count")
    }


def test_meters_are_rolled_up_by_hour_and_day_from_flats_to_houses_to_the_street() -> None:
    scenario = load_scenario(EXAMPLES / "meters.toml").with_fleet(200)
    found = {(each.group_by[0], each.window_ms // 3_600_000, len(scenario.groups(each))) for each in scenario.analytics}
    assert found == {
        (key, hours, groups) for key, groups in (("deviceName", 200), ("house", 20), ("street", 1)) for hours in (1, 24)
    }
    assert "two recorded days pass in 48 seconds" in (EXAMPLES / "meters.toml").read_text(encoding="utf-8").lower()


def test_the_recorded_meters_use_what_their_readings_differ_by() -> None:
    table = list(csv.DictReader((EXAMPLES / "meters.csv").read_text(encoding="utf-8").splitlines()[1:]))
    assert len(table) == 2 * 24 * 4
    for before, row in pairwise(table):
        for meter in ("single", "family", "away"):
            assert Decimal(row[f"energy_{meter}"]) - Decimal(before[f"energy_{meter}"]) == Decimal(row[f"used_{meter}"])
