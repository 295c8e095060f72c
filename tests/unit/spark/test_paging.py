"""Time series page by page: whatever the page size and the server's idea of bounds, every point comes exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType, TimestampType

from pacifictool.errors import NotFound
from pacifictool.rest import Platform, Session
from pacifictool.rest.generation import generation_of
from pacifictool.rest.telemetry import Telemetry
from pacifictool.server_version import parse_server_version
from pacifictool.spark.entities import EntityRef
from pacifictool.spark.filters import Selection
from pacifictool.spark.options import SeriesOptions
from pacifictool.spark.reader import PlatformReader, _time_bounds
from pacifictool.spark.timeseries import SERIES, SeriesQuery, read_series

Points = dict[str, dict[int, int]]
"""By key and timestamp."""
WIDE = StructType(
    [StructField("name", StringType()), StructField("ts", TimestampType()), StructField("a", LongType()),
     StructField("b", DoubleType())]
)  # fmt: skip
BOUNDS: dict[str, tuple[str, Callable[[int, int, int], bool]]] = {
    # docs/servers/1.x.md#telemetry-over-rest, rows 16 and 17; docs/servers/4.x.md#telemetry-over-rest, row 7.
    "1.x, SQL": ("1.4", lambda ts, start, end: start < ts < end),
    "1.x, Cassandra": ("1.4", lambda ts, start, end: start < ts <= end),
    "4.x": ("4.3.1", lambda ts, start, end: start <= ts < end),
}


class MemorySession:
    """Responds to requests for telemetry as a server of a kind."""

    url = "memory:"

    def __init__(self, kind: str, devices: dict[str, Points]) -> None:
        self.version, self._within = BOUNDS[kind]
        self._devices = devices

    def request(self, _method: str, path: str, *, params: Any = None, expect: type[Any]) -> Any:
        device = path.split("/")[5]
        if device not in self._devices:
            raise NotFound("gone")
        points = self._devices[device]
        if path.endswith("/keys/timeseries"):
            return list(points)
        found = {}
        for key in params["keys"].split(","):
            inside = [ts for ts in points.get(key, {}) if self._within(ts, params["startTs"], params["endTs"])]
            newest = sorted(inside, reverse=True)[: params["limit"]]
            if newest:
                found[key] = [{"ts": ts, "value": str(points[key][ts])} for ts in newest]
        return found


class MemoryPlatform:
    def __init__(self, session: MemorySession) -> None:
        traits = generation_of(parse_server_version(session.version)).telemetry
        self.telemetry = Telemetry(cast(Session, session), lambda: traits)


def devices() -> st.SearchStrategy[dict[str, Points]]:
    series = st.dictionaries(st.integers(1, 40), st.integers(0, 9), max_size=25)
    return st.dictionaries(
        st.sampled_from(["d1", "d2", "d3"]), st.dictionaries(st.sampled_from(["a", "b", "c"]), series, max_size=3)
    )


def read(kind: str, found: dict[str, Points], schema: StructType, *, gone: bool = False, **query: Any) -> list[Any]:
    platform = cast(Platform, MemoryPlatform(MemorySession(kind, found)))
    entities = [EntityRef("device", name, name, "T") for name in [*found, *(["gone"] if gone else [])]]
    start_ms, end_ms, size = query.pop("start"), query.pop("end"), query.pop("size")
    selection = query.pop("selection", Selection())
    asked = SeriesQuery(schema, query.pop("keys", None), selection, SeriesOptions(page_size=size), **query)
    batches = read_series(platform, asked, entities, start_ms, end_ms, 2)
    return [row for batch in batches for row in batch.to_pylist()]


def ms(row: Any) -> int:
    milliseconds: float = row["ts"].timestamp() * 1000
    return round(milliseconds)


@given(
    st.sampled_from(list(BOUNDS)), devices(), st.integers(1, 42), st.integers(1, 42), st.integers(2, 7), st.booleans()
)
def test_the_long_layout_has_every_point_once(
    kind: str, found: dict[str, Points], start: int, end: int, size: int, knows_keys: bool
) -> None:
    keys = ("a", "b") if knows_keys else None
    rows = read(kind, found, SERIES, start=start, end=end, size=size, keys=keys, gone=True)
    wanted = Counter(
        (name, key, ts, float(value), str(value))
        for name, points in found.items()
        for key, series in points.items()
        for ts, value in series.items()
        if start <= ts < end and (keys is None or key in keys)
    )
    assert Counter((row["name"], row["key"], ms(row), row["value"], row["text"]) for row in rows) == wanted


@given(st.sampled_from(list(BOUNDS)), devices(), st.integers(1, 42), st.integers(1, 42), st.integers(2, 7))
def test_the_wide_layout_has_every_row_once_and_whole(
    kind: str, found: dict[str, Points], start: int, end: int, size: int
) -> None:
    types = {"a": LongType(), "b": DoubleType()}
    rows = read(kind, found, WIDE, start=start, end=end, size=size, key_types=types, gone=True)
    wanted = Counter(
        (name, ts, points.get("a", {}).get(ts), points.get("b", {}).get(ts))
        for name, points in found.items()
        for ts in {*points.get("a", {}), *points.get("b", {})}
        if start <= ts < end
    )
    assert Counter((row["name"], ms(row), row["a"], row["b"]) for row in rows) == wanted


@given(st.integers(1, 10**9), st.integers(2, 10**9), st.integers(0, 9), st.sampled_from([1, 1000, 60_000]))
def test_slices_of_time_cover_it_without_overlap(start: int, length: int, slices: int, interval: int) -> None:
    bounds = _time_bounds(start, start + length, slices, interval)
    assert bounds == sorted(set(bounds))
    assert (bounds[0], bounds[-1]) == (start, start + length)
    assert len(bounds) <= max(slices, 1) + 1
    assert all((bound - start) % interval == 0 for bound in bounds[:-1])


def test_a_reader_is_pickled_with_what_it_was_asked(tmp_path: Any) -> None:
    import pickle

    from pacifictool.settings import Secret
    from pacifictool.spark.login import PlatformLogin

    login = PlatformLogin("http://127.0.0.1:1", "me", Secret("hunter2"))
    reader = PlatformReader(login, "timeseries", WIDE, SeriesOptions(), 2)
    assert b"hunter2" in pickle.dumps(reader)
    assert "hunter2" not in f"{reader.__dict__}"
