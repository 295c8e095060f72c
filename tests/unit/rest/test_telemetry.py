from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pacifictool.rest.telemetry as telemetry_module
from pacifictool.errors import InvalidRequest, PlatformUnreachable, UnexpectedAnswer
from pacifictool.rest import EntityId, Platform, Point
from tests.support.scripted_platform import DROP, Reply, Request, ScriptedPlatform

ZONE = EntityId.asset("d7380000-e796-11f1-82e5-03a95f4b7a43")
PREFIX = f"/api/plugins/telemetry/ASSET/{ZONE.id}"
WRITE = f"{PREFIX}/timeseries/ANY"
READ = f"{PREFIX}/values/timeseries"
OK = Reply(content_type="")


def written(server: ScriptedPlatform) -> list[Any]:
    return [request.json for request in server.requests if request.path == WRITE]


def test_rows_go_out_in_order_of_time_and_the_newest_alone_at_the_end(
    server: ScriptedPlatform, platform: Platform
) -> None:
    server.on("POST", WRITE, OK)
    platform.telemetry.write(ZONE, [(3000, {"w": 3.0}), (1000, {"w": 1.0}), (2000, {"w": 2.0})])
    assert written(server) == [
        [{"ts": 1000, "values": {"w": 1.0}}, {"ts": 2000, "values": {"w": 2.0}}],
        {"ts": 3000, "values": {"w": 3.0}},
    ]


def test_one_row_is_one_request(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", WRITE, OK)
    platform.telemetry.write(ZONE, [(1000, {"windSpeed": 1000.0})])
    assert server.requests[-1].body == b'{"ts":1000,"values":{"windSpeed":1000.0}}'
    assert server.requests[-1].headers["content-type"] == "application/json"


def test_rows_of_one_time_become_one_row(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", WRITE, OK)
    platform.telemetry.write(ZONE, [(1000, {"a": 1}), (1000, {"b": 2}), (1000, {"a": 3})])
    assert written(server) == [{"ts": 1000, "values": {"a": 3, "b": 2}}]


def test_points_by_key(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", WRITE, OK)
    platform.telemetry.write(ZONE, {"a": [Point(1000, 1), Point(2000, "x")], "b": [Point(2000, True)]})
    assert written(server) == [[{"ts": 1000, "values": {"a": 1}}], {"ts": 2000, "values": {"a": "x", "b": True}}]


def test_many_rows_are_split(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", WRITE, OK)
    platform.telemetry.write(ZONE, [(number, {"a": number}) for number in range(2501)])
    assert [len(rows) if isinstance(rows, list) else 1 for rows in written(server)] == [1000, 1000, 500, 1]


@pytest.mark.parametrize("rows", [[], {}, [(1000, {})], {"a": []}])
def test_nothing_is_sent_for_nothing(server: ScriptedPlatform, platform: Platform, rows: Any) -> None:
    platform.telemetry.write(ZONE, rows)
    platform.telemetry.write_now(ZONE, {})
    assert not server.requests


@pytest.mark.parametrize(
    "rows",
    [
        [(1000, {"a": float("nan")})],
        [(1000, {"a": 1}), (2000, {"a": float("inf")})],
        [(1000, {"a": None})],
        [(-1, {"a": 1})],
        [(2**63, {"a": 1})],
        [(1000.5, {"a": 1})],
        [(True, {"a": 1})],
        {"a": [Point(1000, None)]},
    ],
)
def test_nothing_is_sent_when_a_part_cannot_be_kept(server: ScriptedPlatform, platform: Platform, rows: Any) -> None:
    with pytest.raises(InvalidRequest):
        platform.telemetry.write(ZONE, rows)
    assert not server.requests


def test_a_write_with_times_is_repeated_and_one_without_is_not(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", WRITE, DROP, OK)
    platform.telemetry.write(ZONE, [(1000, {"a": 1})])
    assert written(server) == [{"ts": 1000, "values": {"a": 1}}] * 2
    server.on("POST", WRITE, DROP, OK)
    with pytest.raises(PlatformUnreachable):
        platform.telemetry.write_now(ZONE, {"a": 1})
    assert written(server)[2:] == [{"a": 1}]


@pytest.mark.parametrize("keys", [["a", ""], ["a,b"], [""]])
def test_keys_that_would_confuse_the_server_are_not_asked_for(
    server: ScriptedPlatform, platform: Platform, keys: list[str]
) -> None:
    with pytest.raises(InvalidRequest):
        platform.telemetry.latest(ZONE, keys)
    with pytest.raises(InvalidRequest):
        platform.telemetry.range(ZONE, keys[-1], 0, 10)
    assert not server.requests


def test_latest_of_no_key_asks_nothing(server: ScriptedPlatform, platform: Platform) -> None:
    assert platform.telemetry.latest(ZONE, []) == {}
    assert not server.requests


def test_latest_of_very_many_keys(server: ScriptedPlatform, platform: Platform) -> None:
    def response(request: Request) -> Reply:
        keys = request.query["keys"].split(",")
        assert len(request.query["keys"]) < 2000
        return Reply(json={key: [{"ts": 5, "value": "7"}] for key in keys})

    server.on("GET", READ, response)
    keys = [f"sensor {number}" for number in range(333)]
    assert platform.telemetry.latest(ZONE, keys) == dict.fromkeys(keys, Point(5, 7))


@pytest.mark.parametrize(
    "response",
    [
        {"a": "text"},
        {"a": [5]},
        {"a": [{"value": "1"}]},
        {"a": [{"ts": "soon", "value": "1"}]},
        {"a": [{"ts": True, "value": "1"}]},
        {"a": [{"ts": 1, "value": {}}]},
        [],
    ],
)
def test_responses_of_a_lying_server(server: ScriptedPlatform, platform: Platform, response: Any) -> None:
    server.on("GET", READ, Reply(json=response))
    with pytest.raises(UnexpectedAnswer):
        platform.telemetry.latest(ZONE, ["a"])
    with pytest.raises(UnexpectedAnswer):
        platform.telemetry.range(ZONE, "a", 0, 10)


# Ranges, on servers of all kinds

INSIDE: dict[str, Callable[[int, int, int], bool]] = {
    "1.x in SQL mode": lambda start, ts, end: start < ts < end,
    "1.x in Cassandra mode": lambda start, ts, end: start < ts <= end,
    "2.0 and later": lambda start, ts, end: start <= ts < end,
}


def series(stored: set[int], inside: Callable[[int, int, int], bool]) -> Callable[[Request], Reply]:
    """Responds as a server does: newest first, cut off at the limit, {} for nothing."""

    def response(request: Request) -> Reply:
        query = request.query
        assert query["interval"] == "0"
        start, end, limit = int(query["startTs"]), int(query["endTs"]), int(query["limit"])
        assert limit > 0
        found = sorted((ts for ts in stored if inside(start, ts, end)), reverse=True)[:limit]
        return Reply(json={query["keys"]: [{"ts": ts, "value": str(ts * 2)} for ts in found]} if found else {})

    return response


@pytest.mark.parametrize("kind", INSIDE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stored=st.sets(st.integers(0, 60)),
    start=st.integers(-5, 65),
    length=st.integers(-5, 70),
    limit=st.none() | st.integers(0, 70),
)
def test_a_range_holds_its_start_and_not_its_end_on_every_server(
    server: ScriptedPlatform,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    stored: set[int],
    start: int,
    length: int,
    limit: int | None,
) -> None:
    monkeypatch.setattr(telemetry_module, "RANGE_PAGE", 7)
    server.on("GET", READ, series(stored, INSIDE[kind]))
    expected = [Point(ts, ts * 2) for ts in sorted(stored) if start <= ts < start + length]
    if limit is not None:
        expected = expected[-limit:] if limit else []
    assert platform.telemetry.range(ZONE, "k", start, start + length, limit) == expected


def test_a_server_that_repeats_a_page_of_points_does_not_keep_us(
    server: ScriptedPlatform, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_module, "RANGE_PAGE", 3)
    server.on("GET", READ, Reply(json={"k": [{"ts": ts, "value": "1"} for ts in (5, 4, 3)]}))
    assert [point.ts_ms for point in platform.telemetry.range(ZONE, "k", 0, 10)] == [3, 4, 5]
    assert server.count("GET", READ) == 2
