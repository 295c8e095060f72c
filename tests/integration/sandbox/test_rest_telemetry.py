from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.sandbox_clients import Tenant

UNKNOWN = "d58f8760-e796-11f1-82e5-03a95f4b7a43"
BASE = 1_500_000_000_000


@pytest.fixture
def asset(tenant: Tenant, unique: str) -> str:
    identifier: str = tenant.post("/api/asset", {"name": f"Station {unique}", "type": "WeatherStation"})["id"]["id"]
    return f"/api/plugins/telemetry/ASSET/{identifier}"


def write(tenant: Tenant, asset: str, body: str, scope: str = "ANY") -> tuple[int, str]:
    response = tenant.call("POST", f"{asset}/timeseries/{scope}", data=body)
    assert (response.status_code == 200) == ("Content-Type" not in response.headers or response.text == "")
    return response.status_code, response.text


def read(tenant: Tenant, asset: str, query: str) -> Any:
    return tenant.get(f"{asset}/values/timeseries?{query}")


def refused(tenant: Tenant, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    response = tenant.call(method, path, data=body)
    if response.text:
        assert response.headers["Content-Type"].startswith("text/plain")
    return response.status_code, response.text


@pytest.mark.parametrize("scope", ["ANY", "values", "LATEST_TELEMETRY", "WHATEVER", "WHATEVER/0"])
def test_every_form_of_telemetry_is_readable_at_once_as_text(tenant: Tenant, asset: str, scope: str) -> None:
    assert write(tenant, asset, '{"windSpeed":1.5}', scope) == (200, "")
    point = read(tenant, asset, "keys=windSpeed")["windSpeed"][0]
    assert point["value"] == "1.5"
    assert abs(point["ts"] - time.time() * 1000) < 10_000
    values = '{"windSpeed":2.5,"s":"str","b":true,"i":7}'
    assert write(tenant, asset, f'{{"ts":{BASE},"values":{values}}}', scope) == (200, "")
    assert read(tenant, asset, "keys=windSpeed,s,b,i") == {
        "windSpeed": [{"ts": BASE, "value": "2.5"}],
        "s": [{"ts": BASE, "value": "str"}],
        "b": [{"ts": BASE, "value": "true"}],
        "i": [{"ts": BASE, "value": "7"}],
    }
    assert write(tenant, asset, f'[{{"ts":"{BASE + 1}","values":{{"i":8}}}},{{"a":1}},{{"c":2.0}}]', scope)[0] == 200
    found = read(tenant, asset, "keys=i,a,c")
    assert [found[key][0]["value"] for key in ("i", "a", "c")] == ["8", "1", "2.0"]
    assert tenant.get(f"{asset}/keys/timeseries") == ["a", "b", "c", "i", "s", "windSpeed"]


def test_latest_is_the_last_written_and_unknown_keys_are_null_at_now(tenant: Tenant, asset: str) -> None:
    for timestamp, value in ((BASE + 9, 1), (BASE, 2)):
        write(tenant, asset, f'{{"ts":{timestamp},"values":{{"w":{value}}}}}')
    found = read(tenant, asset, "keys=w,nosuch")
    assert found["w"] == [{"ts": BASE, "value": "2"}]
    assert found["nosuch"][0]["value"] is None
    assert abs(found["nosuch"][0]["ts"] - time.time() * 1000) < 10_000


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{}", "No timeseries data found in request body!"),
        ("[]", "No timeseries data found in request body!"),
        ('{"ts":5,"values":{}}', "No timeseries data found in request body!"),
        ('{"a":null}', "Can't parse value: null"),
        ('{"a":{"a":1}}', 'Can\'t parse value: {"a":1}'),
        ('{"a":[1]}', "Can't parse value: [1]"),
        ("", "Unable to parse timeseries payload: Invalid JSON body!"),
        ('{"a":', "Unable to parse timeseries payload: Invalid JSON body!"),
        ('"str"', 'Can\'t parse value: "str"'),
        ("5", "Can't parse value: 5"),
        ('{"a":1e3}', "Big integer values are not supported!"),
        ('{"a":12345678901234567890}', "Big integer values are not supported!"),
    ],
)
def test_refused_telemetry(tenant: Tenant, asset: str, body: str, text: str) -> None:
    assert write(tenant, asset, body) == (400, text)


def test_refused_paths(tenant: Tenant, asset: str) -> None:
    base = "/api/plugins/telemetry"
    assert refused(tenant, "POST", f"{asset}/timeseries", '{"a":1}') == (400, "")
    for kind, word in (("ASSET", "Asset"), ("DEVICE", "Device")):
        path = f"{base}/{kind}/{UNKNOWN}/timeseries/ANY"
        assert refused(tenant, "POST", path, '{"a":1}') == (404, f"{word} with requested id wasn't found!")
    assert refused(tenant, "POST", f"{base}/ASSET/zz/timeseries/ANY", "{}") == (400, "Invalid UUID string: zz")
    unknown_kind = (400, "No enum constant org.thingsboard.server.common.data.EntityType.FOO")
    assert refused(tenant, "POST", f"{base}/FOO/{UNKNOWN}/timeseries/ANY", "{}") == unknown_kind
    assert refused(tenant, "DELETE", f"{asset}/timeseries?keys=a") == (400, "")
    assert refused(tenant, "GET", f"{asset}/values/nosuch") == (400, "")
    assert refused(tenant, "GET", f"{asset}/timeseries") == (400, "")


def test_ranges_exclude_their_bounds_and_come_newest_first(tenant: Tenant, asset: str) -> None:
    for step in range(11):
        write(tenant, asset, f'{{"ts":{BASE + step * 1000},"values":{{"d":{step + 0.5}}}}}')
    window = f"keys=d,nosuch&startTs={BASE}&endTs={BASE + 10_000}&interval=0"
    values = [point["value"] for point in read(tenant, asset, window)["d"]]
    assert values == [f"{step}.5" for step in range(9, 0, -1)]
    assert read(tenant, asset, window + "&limit=3") == {
        "d": [{"ts": BASE + step * 1000, "value": f"{step}.5"} for step in (9, 8, 7)]
    }
    assert read(tenant, asset, f"keys=d&startTs={BASE + 5}&endTs={BASE}&interval=0") == {}
    assert read(tenant, asset, f"keys=nosuch&startTs=0&endTs={BASE}&interval=0") == {}


def test_ranges_give_100_points_by_default(tenant: Tenant, asset: str) -> None:
    many = ",".join(f'{{"ts":{BASE + step},"values":{{"d":{step}}}}}' for step in range(150))
    write(tenant, asset, f"[{many}]")
    window = f"keys=d&startTs={BASE - 1}&endTs={BASE + 1000}&interval=0"
    assert len(read(tenant, asset, window)["d"]) == 100
    assert len(read(tenant, asset, window + "&limit=1000")["d"]) == 150


def test_aggregation(tenant: Tenant, asset: str) -> None:
    for step in range(10):
        body = f'{{"ts":{BASE + step * 1000},"values":{{"d":{step + 0.5},"l":{step},"s":"t{step}"}}}}'
        write(tenant, asset, body)
    write(tenant, asset, f'[{{"ts":{BASE + 1},"values":{{"mix":10}}}},{{"ts":{BASE + 2},"values":{{"mix":99.5}}}}]')

    def aggregate(key: str, function: str, start: int, end: int, interval: int) -> list[tuple[int, str]]:
        query = f"keys={key}&startTs={BASE + start}&endTs={BASE + end}&interval={interval}&agg={function}"
        return [(point["ts"] - BASE, point["value"]) for point in read(tenant, asset, query).get(key, [])]

    assert aggregate("l", "COUNT", 0, 10_000, 3000) == [(1500, "2"), (4500, "2"), (7500, "2")]
    assert aggregate("d", "AVG", 0, 10_000, 10_000) == [(5000, "5.5")]
    assert aggregate("l", "AVG", -1, 4000, 4001) == [(1999, "1")]
    assert aggregate("d", "MIN", 0, 10_000, 10_000) == [(5000, "1.5")]
    assert aggregate("d", "MAX", 0, 10_000, 10_000) == [(5000, "9.5")]
    assert aggregate("d", "SUM", 0, 3000, 3000) == [(1500, "4.0")]
    assert aggregate("s", "AVG", 0, 10_000, 10_000) == []
    assert aggregate("s", "SUM", 0, 10_000, 10_000) == []
    assert aggregate("s", "MAX", 0, 10_000, 10_000) == [(5000, "t9")]
    assert aggregate("s", "COUNT", 0, 10_000, 10_000) == [(5000, "9")]
    for function, value in (("COUNT", "1"), ("AVG", "10"), ("MAX", "10"), ("SUM", "10")):
        assert aggregate("mix", function, 0, 1000, 1000) == [(500, value)]
    assert len(aggregate("d", "NONE", 0, 10_000, 10_000)) == 9


@pytest.mark.parametrize(
    ("query", "status", "exception"),
    [
        ("", 400, "MissingServletRequestParameterException"),
        ("keys=", 400, "MissingServletRequestParameterException"),
        ("keys=d&startTs=1&endTs=2", 400, None),
        ("keys=d&startTs=1&interval=0", 400, None),
        ("keys=d&endTs=1&interval=0", 400, None),
        ("keys=d&startTs=1&endTs=2&interval=-1", 400, None),
        ("keys=d&startTs=x&endTs=2&interval=0", 500, "NumberFormatException"),
        ("keys=d&startTs=1&endTs=2&interval=5&agg=avg", 500, "IllegalArgumentException"),
        ("keys=d&startTs=1&endTs=2&interval=0&limit=0", 503, "AsyncRequestTimeoutException"),
        ("keys=d,,l&startTs=1&endTs=2&interval=0", 503, "AsyncRequestTimeoutException"),
    ],
)
def test_refused_reads(tenant: Tenant, asset: str, query: str, status: int, exception: str | None) -> None:
    response = tenant.call("GET", f"{asset}/values/timeseries?{query}")
    assert response.status_code == status
    assert (response.text == "") == (exception is None)
    if exception is not None:
        assert response.json()["exception"].endswith(exception)


def test_attributes_of_both_server_scopes(tenant: Tenant, asset: str) -> None:
    for scope, body in (("SERVER_SCOPE", '{"n":1.5,"b":true}'), ("SHARED_SCOPE", '{"s":"x","l":7,"gone":null,"o":{}}')):
        response = tenant.call("POST", f"{asset}/attributes/{scope}", data=body)
        assert (response.status_code, response.text) == (200, "")
    assert tenant.call("POST", f"{asset}/SERVER_SCOPE", data='{"short":1}').status_code == 200
    found = tenant.get(f"{asset}/values/attributes")
    assert [list(item) for item in found] == [["lastUpdateTs", "key", "value"]] * 5
    assert {item["key"]: item["value"] for item in found} == {"n": 1.5, "b": True, "s": "x", "l": 7, "short": 1}
    assert tenant.get(f"{asset}/keys/attributes") == ["b", "l", "n", "s", "short"]
    assert tenant.get(f"{asset}/keys/attributes/SHARED_SCOPE") == ["l", "s"]
    only = tenant.get(f"{asset}/values/attributes/SERVER_SCOPE?keys=n,nosuch,s")
    assert [(item["key"], item["value"]) for item in only] == [("n", 1.5)]
    assert tenant.get(f"{asset}/values/attributes/NOSUCH_SCOPE") == []
    for _ in range(2):
        assert tenant.call("DELETE", f"{asset}/SERVER_SCOPE?keys=n").status_code == 200
    assert tenant.get(f"{asset}/keys/attributes/SERVER_SCOPE") == ["b", "short"]


@pytest.mark.parametrize(
    ("scope", "body", "text"),
    [
        ("CLIENT_SCOPE", '{"a":1}', ""),
        ("NOSUCH", '{"a":1}', ""),
        ("SERVER_SCOPE", "{", "Unable to parse attributes payload: Invalid JSON body!"),
        ("SERVER_SCOPE", '[{"a":1}]', ""),
        ("SERVER_SCOPE", "{}", "No attributes data found in request body!"),
        ("SERVER_SCOPE", '{"a":{"b":1}}', "No attributes data found in request body!"),
    ],
)
def test_refused_attributes(tenant: Tenant, asset: str, scope: str, body: str, text: str) -> None:
    assert refused(tenant, "POST", f"{asset}/attributes/{scope}", body) == (400, text)
    unknown = f"/api/plugins/telemetry/ASSET/{UNKNOWN}/attributes/SERVER_SCOPE"
    assert refused(tenant, "POST", unknown, '{"a":1}') == (404, "Asset with requested id wasn't found!")


def test_telemetry_of_a_deleted_asset_is_gone(tenant: Tenant, unique: str) -> None:
    name = {"name": f"Gone {unique}", "type": "x"}
    first = tenant.post("/api/asset", name)["id"]["id"]
    path = "/api/plugins/telemetry/ASSET/{}"
    assert write(tenant, path.format(first), '{"a":1}')[0] == 200
    tenant.delete(f"/api/asset/{first}")
    assert tenant.call("GET", path.format(first) + "/keys/timeseries").status_code == 404
    second = tenant.post("/api/asset", name)["id"]["id"]
    assert tenant.get(path.format(second) + "/keys/timeseries") == []


@pytest.mark.parametrize("bound", [-(2**63) + 1, 2**63 - 1, 0])
def test_the_widest_ranges_can_be_read(tenant: Tenant, asset: str, bound: int) -> None:
    write(tenant, asset, f'{{"ts":{BASE},"values":{{"d":1}}}}')
    for query in (f"startTs={bound}&endTs={2**63 - 1}", f"startTs={-(2**63) + 1}&endTs={bound}"):
        for rest in ("interval=0", f"interval={2**63 - 1}&agg=COUNT", "interval=1&agg=COUNT&limit=2147483647"):
            assert tenant.call("GET", f"{asset}/values/timeseries?keys=d&{query}&{rest}").status_code == 200
    assert tenant.call("GET", f"/api/tenant/assets?limit={2**31}").status_code == 400
    assert tenant.call("GET", f"{asset}/values/timeseries?keys=d&startTs={2**63}&endTs=1&interval=0").status_code == 500


def test_names_with_lone_surrogates(tenant: Tenant, unique: str) -> None:
    headers = {"Content-Type": "application/json"}
    body = f'{{"name":"\\ud800{unique}","type":"x"}}'
    assert tenant.call("POST", "/api/asset", data=body, headers=headers).json()["name"] == f"?{unique}"
