"""docs/servers/1.x.md#telemetry-over-rest: time series over REST."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from pacifictool.rest import Platform, Point
from tests.contract.api import (
    EMPTY_BAD_REQUEST,
    EMPTY_OK,
    NOBODY,
    Api,
    bare,
    framework_error,
    plain,
    refusal,
    silent,
    text_error,
)
from tests.contract.factories import EntityFactory, Made
from tests.contract.facts import Facts
from tests.contract.waiting import eventually

START = 1_500_000_000_000
SECOND = 1000
CLOCK_TOLERANCE_MS = 60_000


@pytest.fixture(scope="module", params=["ASSET", "DEVICE"])
def either(request: pytest.FixtureRequest, factory: EntityFactory) -> Made:
    """An asset and a device in turn: time series are the same for both."""
    return factory.asset("series") if request.param == "ASSET" else factory.device("series")


@pytest.fixture
def asset(factory: EntityFactory) -> Made:
    """A new asset, without the data of other tests."""
    return factory.asset("series")


def write(api: Api, made: Made, body: str | Any, scope: str = "/ANY", **options: Any) -> requests.Response:
    sent = {"body": body} if isinstance(body, str) else {"json": body}
    return api.call("POST", f"{made.path}/timeseries{scope}", **sent, **options)


def read(api: Api, made: Made, **params: Any) -> requests.Response:
    return api.call("GET", f"{made.path}/values/timeseries", params=params)


def latest(api: Api, made: Made, key: str) -> dict[str, Any]:
    found: dict[str, Any] = read(api, made, keys=key).json()[key][0]
    return found


def series(*values: Any, start: int = START) -> list[dict[str, Any]]:
    return [{"ts": start + number * SECOND, "values": {"d": value}} for number, value in enumerate(values)]


def span(start: int, end: int, **more: Any) -> dict[str, Any]:
    return {"keys": "d", "startTs": START + start, "endTs": START + end, "interval": 0} | more


@pytest.mark.parametrize(
    "body",
    [
        '{"windSpeed":1.5}',
        '{"ts":1500000000000,"values":{"windSpeed":2.5,"s":"str","b":true,"i":7}}',
        '[{"ts":1500000000000,"values":{"x":1}},{"ts":1500000001000,"values":{"x":2}}]',
        '[{"a":1},{"b":2}]',
        '{"ts":"1500000000000","values":{"t":1}}',
        '{"e":1.5e3}',
    ],
)
def test_accepted_forms(api: Api, either: Made, fact: Facts, body: str) -> None:
    fact("5", f"writing {body}", bare(write(api, either, body)), EMPTY_OK)


@pytest.mark.parametrize("scope", ["/ANY", "/LATEST_TELEMETRY", "/WHATEVER", "/ANY/3600000"])
def test_the_scope_is_required_but_ignored(api: Api, asset: Made, fact: Facts, scope: str) -> None:
    fact("5", f"writing to {scope}", bare(write(api, asset, {"x": 1}, scope)), EMPTY_OK)
    fact("5", f"what was written to {scope} is read without it", latest(api, asset, "x")["value"], "1")


def test_writing_without_a_scope(api: Api, asset: Made, fact: Facts) -> None:
    fact("5", "writing without a scope", silent(write(api, asset, {"x": 1}, "")), EMPTY_BAD_REQUEST)


def test_the_content_type_of_a_write_is_not_checked(api: Api, asset: Made, fact: Facts) -> None:
    for content_type in ("text/plain", None):
        response = write(api, asset, {"x": 1}, content_type=content_type)
        fact("5", f"writing with Content-Type {content_type}", bare(response), EMPTY_OK)


NO_DATA = "No timeseries data found in request body!"
UNREADABLE = "Unable to parse timeseries payload: Invalid JSON body!"
TOO_BIG = "Big integer values are not supported!"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{}", NO_DATA),
        ("[]", NO_DATA),
        ('{"ts":1500000000000,"values":{}}', NO_DATA),
        ('{"x":null}', "Can't parse value: null"),
        ('{"x":{"a":1}}', 'Can\'t parse value: {"a":1}'),
        ('{"x":[1]}', "Can't parse value: [1]"),
        ('{"x":', UNREADABLE),
        ("", UNREADABLE),
        ('"str"', 'Can\'t parse value: "str"'),
        ("5", "Can't parse value: 5"),
        ('{"x":1e3}', TOO_BIG),
        ('{"x":1e400}', TOO_BIG),
        ('{"x":12345678901234567890}', TOO_BIG),
    ],
)
def test_refused_forms(api: Api, asset: Made, fact: Facts, body: str, text: str) -> None:
    fact("5", f"writing {body!r}", plain(write(api, asset, body)), text_error(400, text))


def test_writing_to_what_does_not_exist(api: Api, asset: Made, fact: Facts) -> None:
    def write_to(path: str) -> requests.Response:
        return api.call("POST", f"/api/plugins/telemetry/{path}/timeseries/ANY", json={"x": 1})

    for kind in ("ASSET", "DEVICE"):
        text = f"{kind.capitalize()} with requested id wasn't found!"
        fact("5", f"an unknown {kind}", plain(write_to(f"{kind}/{NOBODY}")), text_error(404, text))
    fact("5", "a bad UUID", plain(write_to("ASSET/zz")), text_error(400, "Invalid UUID string: zz"))
    no_kind = "No enum constant org.thingsboard.server.common.data.EntityType.FOO"
    fact("5", "a bad entity type", plain(write_to(f"FOO/{asset.id}")), text_error(400, no_kind))


def test_a_bad_token_is_refused_in_json(api: Api, asset: Made, fact: Facts) -> None:
    response = write(api, asset, {"x": 1}, authorization="Bearer garbage")
    fact("5", "a bad token", refusal(response), (401, 10, "Invalid username or password"))


@pytest.mark.parametrize(
    ("literal", "text"),
    [("3", "3"), ("3.0", "3.0"), ("1.5", "1.5"), ('"3.10"', "3.10"), ("true", "true"), ("-7", "-7")],
)
def test_values_come_back_as_texts(api: Api, either: Made, fact: Facts, literal: str, text: str) -> None:
    write(api, either, f'{{"ts":{START},"values":{{"typed":{literal}}}}}')
    fact("5", f"{literal} comes back as a text", latest(api, either, "typed"), {"ts": START, "value": text})


def test_what_is_written_is_readable_at_once(api: Api, asset: Made, fact: Facts) -> None:
    seen = []
    for number in range(20):
        write(api, asset, {"ts": START + number, "values": {"n": number}})
        seen.append(latest(api, asset, "n"))
    fact("5", "20 of 20", seen, [{"ts": START + number, "value": str(number)} for number in range(20)])


def test_a_value_without_ts_gets_the_servers_time(api: Api, asset: Made, fact: Facts) -> None:
    before = api.server_time_ms()
    write(api, asset, {"now": 1})
    written = latest(api, asset, "now")["ts"]
    fact.holds("5", "ts is the server's time", before <= written <= api.server_time_ms(), written - before)


def test_a_numeric_text_as_ts(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, {"ts": str(START + 5), "values": {"t": 1}})
    fact("5", "ts as a text", latest(api, asset, "t")["ts"], START + 5)


def test_deleting_time_series_is_not_supported(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, {"x": 1})
    response = api.call("DELETE", f"{asset.path}/timeseries/ANY", params={"keys": "x"})
    fact("5", "DELETE of time series", response.status_code, 400)
    fact("5", "the value is still there", latest(api, asset, "x")["value"], "1")


def test_unknown_keys_are_null_now(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, {"ts": START, "values": {"known": 2}})
    before = api.server_time_ms()
    response = read(api, asset, keys="known,nosuch")
    fact("5", "a latest value", response.json()["known"], [{"ts": START, "value": "2"}])
    unknown = response.json()["nosuch"]
    fact("5", "an unknown key has one value, null", [item["value"] for item in unknown], [None])
    distance = abs(unknown[0]["ts"] - before)
    fact.holds("5", "an unknown key is dated now", distance < CLOCK_TOLERANCE_MS, distance)


@pytest.mark.parametrize("params", [{}, {"keys": ""}])
def test_keys_are_required(api: Api, asset: Made, fact: Facts, params: dict[str, str]) -> None:
    fact("5", f"latest with {params}", framework_error(read(api, asset, **params))[:2], (400, "Bad Request"))


def test_latest_is_what_was_written_last(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, {"ts": START + 2000, "values": {"x": 2}})
    write(api, asset, {"ts": START + 1000, "values": {"x": 1}})
    fact("5", "an older ts written later is the latest", latest(api, asset, "x"), {"ts": START + 1000, "value": "1"})


def test_the_list_of_keys(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, {"windSpeed": 1.5, "s": "str", "b": True, "i": 7})
    found = api.get(f"{asset.path}/keys/timeseries")
    fact("5", "the keys that have values", sorted(found), ["b", "i", "s", "windSpeed"])


@pytest.fixture(scope="module")
def ten(api: Api, factory: EntityFactory) -> Made:
    """0.5 to 9.5, one per second from START on."""
    made = factory.device("ten")
    response = write(api, made, series(*(number + 0.5 for number in range(10))))
    assert response.status_code == 200
    return made


@pytest.mark.parametrize("missing", ["startTs", "endTs", "interval"])
def test_a_range_needs_all_three(api: Api, ten: Made, fact: Facts, missing: str) -> None:
    params = span(0, 10_000)
    del params[missing]
    fact("5", f"a range without {missing}", silent(read(api, ten, **params)), EMPTY_BAD_REQUEST)


def test_a_range_is_newest_first(api: Api, ten: Made, fact: Facts) -> None:
    expected = {"d": [{"ts": START + second * SECOND, "value": f"{second}.5"} for second in (9, 8, 7)]}
    fact("5", "a range with a limit", read(api, ten, **span(0, 10_000, limit=3)).json(), expected)


def test_bounds_are_exclusive(api: Api, ten: Made, fact: Facts) -> None:
    found = read(api, ten, **span(1000, 4000)).json()["d"]
    fact("5", "both bounds are exclusive", [item["ts"] - START for item in found], [3000, 2000])


def test_ranges_without_points(api: Api, ten: Made, fact: Facts) -> None:
    fact("5", "an unknown key", read(api, ten, **span(0, 10_000, keys="nosuch")).json(), {})
    fact("5", "no data in the range", read(api, ten, **span(20_000, 30_000)).json(), {})
    fact("5", "start behind end", read(api, ten, **span(10_000, 0)).json(), {})
    fact("5", "a negative interval", silent(read(api, ten, **span(0, 10_000, interval=-1))), EMPTY_BAD_REQUEST)


def test_a_range_has_a_hundred_points_by_default(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, series(*range(105)))
    # On a busy server reads after a write need a moment (docs/servers/1.x.md#telemetry-over-rest, row 10).
    every = eventually(
        lambda: read(api, asset, **span(-1, 200_000, limit=1000)).json().get("d", []), lambda some: len(some) == 105
    )
    fact("5", "a higher limit gives all", len(every), 105)
    found = read(api, asset, **span(-1, 200_000)).json()["d"]
    fact("5", "the newest hundred", [item["value"] for item in found], [str(value) for value in range(104, 4, -1)])


@pytest.mark.parametrize(
    ("aggregation", "value"), [("AVG", "5.5"), ("MIN", "1.5"), ("MAX", "9.5"), ("SUM", "49.5"), ("COUNT", "9")]
)
def test_aggregation_over_one_bucket(api: Api, ten: Made, fact: Facts, aggregation: str, value: str) -> None:
    response = read(api, ten, **span(0, 10_000, interval=10_000, agg=aggregation))
    expected = {"d": [{"ts": START + 5000, "value": value}]}
    fact("5", f"{aggregation} is dated at the middle of its bucket", response.json(), expected)


def test_points_on_the_border_of_buckets_vanish(api: Api, ten: Made, fact: Facts) -> None:
    found = read(api, ten, **span(0, 9000, interval=3000, agg="COUNT")).json()["d"]
    fact("5", "COUNT of buckets of three", [item["value"] for item in found], ["2", "2", "2"])


def test_an_interval_of_zero_means_no_aggregation(api: Api, ten: Made, fact: Facts) -> None:
    found = read(api, ten, **span(0, 3000, interval=0, agg="AVG")).json()["d"]
    fact("5", "interval=0 gives points", sorted(item["value"] for item in found), ["1.5", "2.5"])


def test_aggregations_are_upper_case(api: Api, ten: Made, fact: Facts) -> None:
    response = read(api, ten, **span(0, 10_000, interval=10_000, agg="avg"))
    fact("5", "agg=avg", framework_error(response)[:2], (500, "Internal Server Error"))


def test_a_bad_start(api: Api, ten: Made, fact: Facts) -> None:
    response = read(api, ten, **span(0, 10_000, startTs="yesterday"))
    fact("5", "a bad startTs", framework_error(response), (500, "Internal Server Error", "NumberFormatException"))


def aggregated(api: Api, made: Made, aggregation: str) -> list[str]:
    found = read(api, made, **span(-1, 9_999, interval=10_000, agg=aggregation)).json()
    return [item["value"] for item in found.get("d", [])]


def test_longs_hide_doubles_from_aggregation(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, series(1, 1, 2, 10.5))
    for aggregation, value in (("SUM", "4"), ("COUNT", "3"), ("MAX", "2"), ("AVG", "1")):
        fact("5", f"{aggregation} of 1, 1, 2 and 10.5", aggregated(api, asset, aggregation), [value])


def test_aggregation_of_texts(api: Api, asset: Made, fact: Facts) -> None:
    write(api, asset, series("10", "9", "x"))
    for aggregation, values in (("AVG", []), ("SUM", []), ("MIN", ["10"]), ("MAX", ["x"]), ("COUNT", ["3"])):
        fact("5", f"{aggregation} of texts", aggregated(api, asset, aggregation), values)


def test_the_rest_client_hides_all_that(platform: Platform, asset: Made, fact: Facts) -> None:
    rows = [(START + number * SECOND, {"d": number + 0.5}) for number in range(10)]
    platform.telemetry.write(asset.entity, reversed(rows))
    found = platform.telemetry.latest(asset.entity, ["d", "nosuch"])
    fact("5", "the client's latest is the newest", found["d"], Point(START + 9 * SECOND, 9.5))
    fact("5", "the client knows no unknown keys", found["nosuch"], None)
    points = platform.telemetry.range(asset.entity, "d", START, START + 4 * SECOND)
    expected = [Point(START + number * SECOND, number + 0.5) for number in range(4)]
    fact("5", "the client's range is half open and oldest first", points, expected)
    fact("5", "the client lists keys", platform.telemetry.keys(asset.entity), ["d"])
