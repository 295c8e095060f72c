"""The tables on both generations, read and written as Spark's workers do it, without Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql.datasource import EqualTo, Filter, GreaterThanOrEqual, In, StringStartsWith
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from pacifictool.errors import InvalidRequest, NotFound
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform, paging
from pacifictool.spark import entities
from pacifictool.spark.login import PlatformLogin
from pacifictool.spark.options import parse_options
from pacifictool.spark.reader import READABLE, PlatformReader, table_columns
from pacifictool.spark.writer import WRITABLE, RowWriter, WrittenPart
from tests.integration.spark.conftest import login_of

NOW_MS = 1_795_477_550_000


def read(
    login: PlatformLogin, table: str, *filters: Filter, schema: StructType | None = None, **options: Any
) -> list[dict[str, Any]]:
    """The rows, planned and read as Spark does it."""
    parsed = parse_options(READABLE[table].options, {name: str(value) for name, value in options.items()}, table)
    reader = PlatformReader(login, table, schema or table_columns(table, parsed), parsed, 2)
    assert reader.pushFilters(list(filters)) == []
    return [row for part in reader.partitions() for batch in reader.read(part) for row in batch.to_pylist()]


def write(login: PlatformLogin, table: str, *batches: pa.RecordBatch, **options: Any) -> list[WrittenPart]:
    """Writes each batch as a task of its own."""
    parsed = parse_options(WRITABLE[table], {name: str(value) for name, value in options.items()}, table)
    writer = RowWriter(login, table, from_arrow_schema(batches[0].schema), parsed)
    parts = [writer.write(iter([batch])) for batch in batches]
    writer.settle(parts)
    return parts


def frame(names: Sequence[str], ts_ms: Sequence[int], **columns: Any) -> pa.RecordBatch:
    ts = pa.array([ms * 1000 for ms in ts_ms], pa.timestamp("us", tz="UTC"))
    return pa.record_batch({"name": list(names), "ts": ts, **columns})


def names_of(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["name"] for row in rows)


def test_lists_of_entities_by_pages_types_and_names(
    login: PlatformLogin, platform: Platform, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{unique} {number}" for number in range(7)]
    for number, name in enumerate(names):
        platform.devices.create(name, f"T{number % 2} {unique}", {"gateway": number == 0})
    asset = platform.assets.create(names[0], f"T0 {unique}")
    for method, size in (("TextPaging", 3), ("NumberPaging", 3)):
        monkeypatch.setattr(getattr(paging, method).__init__, "__defaults__", (size,))
    login = login.at(login.url.replace("127.0.0.1", "localhost"), None)  # a client of its own, with small pages

    rows = [row for row in read(login, "devices") if row["name"] in names]
    assert names_of(rows) == names
    assert {row["entity_kind"] for row in rows} == {"device"}
    assert [row["additional_info"] for row in rows if row["name"] == names[0]] == ['{"gateway": true}']
    assert names_of(read(login, "devices", entity_type=f"T1 {unique}")) == names[1::2]
    assert names_of(read(login, "devices", EqualTo(("type",), f"T1 {unique}"), names=",".join(names[:2]))) == [names[1]]
    assert names_of(read(login, "devices", In(("name",), (names[2], "nobody")))) == [names[2]]
    assert names_of(read(login, "devices", StringStartsWith(("name",), unique))) == names
    assert [row["entity_id"] for row in read(login, "assets", names=names[0])] == [asset.id]
    monkeypatch.setattr(entities, "_LOOKED_UP", 1)  # the list is read instead
    assert names_of(read(login, "devices", names=",".join(names[:4]))) == names[:4]


def test_attributes_latest_and_series(login: PlatformLogin, platform: Platform, unique: str) -> None:
    device = platform.devices.create(unique, "T")
    asset = platform.assets.create(unique, "T")
    for entity in (device, asset):
        platform.telemetry.write(entity, [(NOW_MS + 1000 * n, {"a": n / 4, "b": f"x{n}"}) for n in range(25)])
        platform.attributes.set_server(entity, {"site": "North", "floor": 3})
    platform.attributes.set_shared(device, {"floor": 4})

    rows = read(login, "attributes", EqualTo(("key",), "floor"), names=unique)
    assert sorted((row["entity_kind"], row["scope"], row["value"], row["text"]) for row in rows) == [
        ("asset", "SERVER_SCOPE", 3.0, "3"), ("device", "SERVER_SCOPE", 3.0, "3"), ("device", "SHARED_SCOPE", 4.0, "4"),
    ]  # fmt: skip
    assert all(row["ts"] is not None for row in rows)
    assert {row["scope"] for row in read(login, "attributes", names=unique, scope="shared")} == {"SHARED_SCOPE"}

    latest = read(login, "latest", EqualTo(("entity_kind",), "asset"), names=unique)
    assert {(row["entity_id"], row["key"], row["value"], row["text"]) for row in latest} == {
        (asset.id, "a", 6.0, "6.0"), (asset.id, "b", None, "x24"),
    }  # fmt: skip
    assert read(login, "latest", names=unique, keys="nothing") == []

    series = read(login, "timeseries", names=unique, page_size=4)
    assert len(series) == 100
    assert Counter((row["entity_kind"], row["key"]) for row in series) == dict.fromkeys(
        [(kind, key) for kind in ("asset", "device") for key in "ab"], 25
    )
    begin = next(row["ts"] for row in series if row["text"] == "x20")
    found = read(
        login, "timeseries", EqualTo(("key",), "b"), GreaterThanOrEqual(("ts",), begin), names=unique,
        entity_kind="device", end="2027-01-01", partitions=8,
    )  # fmt: skip
    assert sorted(row["text"] for row in found) == ["x20", "x21", "x22", "x23", "x24"]

    wide = read(login, "timeseries", names=unique, keys="a,b,c", layout="wide", page_size=3, entity_kind="device")
    assert sorted((row["a"], row["b"], row["c"]) for row in wide) == [(n / 4, None, None) for n in range(25)]


def test_what_is_read_again_may_be_gone(login: PlatformLogin, platform: Platform, unique: str) -> None:
    device = platform.devices.create(unique, "T")
    parsed = parse_options(READABLE["timeseries"].options, {"names": unique}, "")
    for table in ("timeseries", "latest", "attributes", "alarms"):
        parsed = parse_options(READABLE[table].options, {"names": unique, "entity_kind": "device"}, "")
        reader = PlatformReader(login, table, READABLE[table].schema, parsed, 2)
        parts = reader.partitions()
        if table == "timeseries":
            platform.devices.delete(device.id)
            device = platform.devices.create(unique, "T")
        assert [row for part in parts for batch in reader.read(part) for row in batch.to_pylist()] == [] or (
            table == "attributes"  # 4.x: each device has the attribute `active`
        )


def test_aggregates_where_the_server_counts_every_point(login: PlatformLogin, platform: Platform, unique: str) -> None:
    device = platform.devices.create(unique, "T")
    start = NOW_MS // 60_000 * 60_000
    platform.telemetry.write(device, [(start + 1000 * n, {"a": float(n)}) for n in range(180)])
    asked: dict[str, Any] = {
        "names": unique, "keys": "a", "aggregation": "AVG", "interval": "1m", "start": iso(start),
        "end": iso(start + 180_000), "partitions": 4,
    }  # fmt: skip
    if platform.generation() == "1.x":
        with pytest.raises(InvalidRequest, match="its aggregates leave out points on the bounds of intervals"):
            read(login, "timeseries", **asked)
        return
    rows = read(login, "timeseries", **asked)
    assert sorted((row["ts"].timestamp() * 1000 - start, row["value"]) for row in rows) == [
        (30_000, 29.5), (90_000, 89.5), (150_000, 149.5),
    ]  # fmt: skip


def iso(ms: int) -> str:
    from pacifictool.tools.times import utc_time

    return utc_time(ms).isoformat()


def test_alarms_of_entities(login: PlatformLogin, platform: Platform, unique: str) -> None:
    device, asset = platform.devices.create(unique, "T"), platform.assets.create(unique, "T")
    platform.alarms.raise_alarm(asset, "Too warm", "MAJOR", {"mean": 9.5}, NOW_MS, NOW_MS)
    cleared = platform.alarms.raise_alarm(device, "Too cold", "MINOR", {}, NOW_MS, NOW_MS)
    platform.alarms.clear(cleared.id)
    rows = read(login, "alarms", names=unique)
    assert {(row["entity_kind"], row["alarm_type"], row["severity"], row["active"], row["details"]) for row in rows} == {
        ("asset", "Too warm", "MAJOR", True, '{"mean": 9.5}'), ("device", "Too cold", "MINOR", False, "{}"),
    }  # fmt: skip
    assert [row["name"] for row in read(login, "alarms", names=unique, active="true")] == [unique]


def test_what_is_written_twice_is_there_once(login: PlatformLogin, platform: Platform, unique: str) -> None:
    device = platform.devices.create(unique, "T")
    batch = frame([unique] * 50, [NOW_MS + n for n in range(50)], a=[n / 3 for n in range(50)], t=["x"] * 50)
    parts = write(login, "timeseries", batch)
    assert [part.rows for part in parts] == [50]
    write(login, "timeseries", batch.slice(10, 20), batch)
    points = platform.telemetry.range(device, "a", 0, 2 * NOW_MS)
    assert [(point.ts_ms, point.value) for point in points] == [(NOW_MS + n, n / 3) for n in range(50)]


def test_the_latest_value_is_the_newest_whatever_was_written_last(
    login: PlatformLogin, platform: Platform, unique: str
) -> None:
    device = platform.devices.create(unique, "T")
    newer = frame([unique] * 2, [NOW_MS + 2, NOW_MS + 3], a=[2, 3], b=pa.array([20, None], pa.int64()))
    write(login, "timeseries", newer, frame([unique] * 2, [NOW_MS, NOW_MS + 1], a=[0, 1], b=[0, 10]))
    found = platform.telemetry.latest(device, ["a", "b"])
    assert {key: (point.ts_ms - NOW_MS, point.value) for key, point in found.items() if point} == {
        "a": (3, 3), "b": (2, 20),
    }  # fmt: skip


def test_attributes_are_written_by_scope(login: PlatformLogin, platform: Platform, unique: str) -> None:
    asset = platform.assets.create(unique, "T")
    write(login, "attributes", pa.record_batch({"name": [unique], "site": ["North"], "n": [3]}), entity_kind="asset")
    shared = pa.record_batch({"entity_id": [asset.id], "entity_kind": ["asset"], "key": ["tier"], "value": [1.5]})
    write(login, "attributes", shared, scope="shared")
    assert platform.attributes.get(asset, "SERVER_SCOPE") == {"site": "North", "n": 3}
    assert platform.attributes.get(asset, "SHARED_SCOPE") == {"tier": 1.5}
    client = pa.record_batch({"name": [unique], "entity_kind": ["asset"], "scope": ["CLIENT_SCOPE"], "site": ["x"]})
    with pytest.raises(InvalidRequest, match="CLIENT_SCOPE cannot be written over REST"):
        write(login, "attributes", client)


def test_an_entity_that_does_not_exist_is_an_error_or_created(
    login: PlatformLogin, platform: Platform, unique: str
) -> None:
    batch = frame([unique] * 2, [NOW_MS, NOW_MS + 1], a=[1, 2])
    with pytest.raises(NotFound) as caught:
        write(login, "timeseries", batch)
    assert str(caught.value).startswith(f"Of 2 rows from device {unique} at 2026-11-23 23:45:50Z (1795477550000) to ")
    assert "create=true" in str(caught.value.hint)
    with pytest.raises(InvalidRequest, match="of which type"):
        write(login, "timeseries", batch, create="true")
    write(login, "timeseries", batch, create="true", entity_type="Pump")
    device = platform.devices.find(unique)
    assert device is not None
    assert device.type == "Pump"

    # Deleted and created again while a stream goes on: the new one gets what follows.
    platform.devices.delete(device.id)
    again = platform.devices.create(unique, "Pump")
    write(login, "timeseries", batch)
    assert platform.telemetry.keys(again) == ["a"]


def test_a_rate_limit_only_takes_time(tmp_path: Path) -> None:
    options = ("--generation", "4", "--rest-rate-limit", "20:0.5")
    with SandboxProcess(tmp_path / "data", options=options) as process:
        login = login_of(process)
        names = [f"Sensor {number}" for number in range(12)]
        batch = frame(names * 2, [NOW_MS] * 12 + [NOW_MS + 1] * 12, a=[float(n) for n in range(24)])
        write(login, "timeseries", batch, create="true", entity_type="T")
        rows = read(login, "timeseries", entity_type="T", keys="a", concurrency=16)
        assert sorted(row["value"] for row in rows) == [float(n) for n in range(24)]
