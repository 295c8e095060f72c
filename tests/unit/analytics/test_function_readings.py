from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.function_readings import CsvReadings, read_csv, require_pandas
from pacifictool.errors import RuntimeMissing, UsageError
from pacifictool.models.csv_file import CsvFormat
from pacifictool.scenario import ForwardingConfig

FORWARDING = ForwardingConfig.model_validate(
    {
        "topic": "t",
        "attributes": ["site"],
        "telemetry": ["temperature", "humidity"],
        "device": True,
        "valid": {"humidity": {"min": 0, "max": 100}},
    }
)


def read(folder: Path, text: str, group_by: tuple[str, ...] = (), forwarding: Any = None, **form: Any) -> CsvReadings:
    (folder / "Logger 7.csv").write_text(text, encoding="utf-8")
    return read_csv(folder / "Logger 7.csv", CsvFormat(**form), group_by=group_by, forwarding=forwarding)


def test_without_a_scenario_columns_are_what_they_hold(tmp_path: Path) -> None:
    found = read(
        tmp_path, "time;site;temperature;note\n2026-01-01T00:00:02Z;North;4,5;x\n2026-01-01;South;;\n", decimal=","
    )
    frame = found.frame
    assert list(frame) == ["ts", "deviceName", "site", "note", "temperature"]
    assert [str(kind) for kind in frame.dtypes[["ts", "temperature"]]] == ["datetime64[ms, UTC]", "float64"]
    assert frame.to_dict("list") == {
        "ts": list(frame["ts"]),
        "deviceName": ["Logger 7"],
        "site": ["North"],
        "note": ["x"],
        "temperature": [4.5],
    }
    assert (found.rows, dict(found.invalid)) == (2, {"no valid number": 1})


def test_rows_are_sorted_and_those_of_one_time_keep_their_order(tmp_path: Path) -> None:
    text = "ts,deviceName,v\n2000000002000,b,1\n2000000001000,a,2\n2000000002000,a,3\n"
    frame = read(tmp_path, text).frame
    assert list(frame["v"]) == [2, 1, 3]
    assert list(frame["deviceName"]) == ["a", "b", "a"]
    assert list(frame.index) == [0, 1, 2]


def test_a_scenario_says_what_is_a_key_and_what_is_valid(tmp_path: Path) -> None:
    text = (
        "ts,deviceName,site,room,humidity,further\n"
        "2026-01-01T00:00:00Z,a,North,1,50,1\n"
        "2026-01-01T00:00:01Z,a,,1,50,1\n"
        "2026-01-01T00:00:02Z,a,North,1,101,1\n"
    )
    found = read(tmp_path, text, ("site",), FORWARDING)
    assert list(found.frame) == ["ts", "deviceName", "site", "temperature", "humidity"]
    assert found.frame["temperature"].isna().all()  # forwarded, and not in the file
    assert list(found.frame["humidity"]) == [50]
    assert found.invalid == {"humidity is not within 0 and 100": 1, "site is missing": 1, "no valid number": 1}


def test_a_group_that_looks_like_a_number_is_a_text(tmp_path: Path) -> None:
    frame = read(tmp_path, "ts,room,v\n2026-01-01,007,1\n", ("room",)).frame
    assert list(frame["room"]) == ["007"]


@pytest.mark.parametrize("name", ["ts", "TIME", "Timestamp", "Date and time", "timestamp_utc", "date"])
def test_the_column_of_times_is_recognised(name: str, tmp_path: Path) -> None:
    assert len(read(tmp_path, f"v,{name}\n1,2026-01-01T10:00:00\n").frame) == 1


@pytest.mark.parametrize(
    ("text", "group_by", "message"),
    [
        ("when,v\n2026-01-01,1\n", (), "has no column of times, such as 'ts'; it has 'when', 'v'"),
        ("ts,site\n2026-01-01,North\n", (), "has no numbers"),
        ("ts,v\n2026-01-01,1\n", ("site",), "has no column 'site'; it has 'ts', 'v'"),
        ("ts,v\n1.2.2026,1\n", (), r"'1.2.2026' in line 2 of .* is not a time"),
        ("ts;v\n2026-01-01;1\n2026-01-01;4,5\n", (), r"'4,5' in line 3 .* decimal commas"),
    ],
)
def test_what_is_wrong_with_a_file(text: str, group_by: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        read(tmp_path, text, group_by)
    assert "--time-format" in str(raised.value.hint)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The file .* cannot be read: No such file"):
        read_csv(tmp_path / "none.csv", CsvFormat(), group_by=())


def test_missing_pandas_is_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    require_pandas()
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pandas" else found(name))
    with pytest.raises(RuntimeMissing, match=r"^Functions need pandas, which is not installed\.$") as raised:
        require_pandas()
    assert "pacifictool[analytics]" in str(raised.value.hint)
