"""docs/servers/4.x.md#telemetry-over-rest: telemetry and attributes over REST."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.contract.api import NOBODY, Api, plain, refusal, text_error
from tests.contract.factories import Made
from tests.contract.facts import Facts
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.versions import ByVersion
from tests.contract.waiting import eventually

SECTION = "modern 4"
START = 1_795_470_000_000


@pytest.fixture
def asset(factory: ModernEntityFactory) -> Made:
    return factory.asset()


def post(api: Api, made: Made, body: Any, *, path: str = "timeseries/ANY") -> Any:
    if isinstance(body, str | bytes):
        return api.call("POST", f"{made.path}/{path}", body=body)
    return api.call("POST", f"{made.path}/{path}", json=body)


def latest(api: Api, made: Made, keys: str = "windSpeed", **query: Any) -> Any:
    return api.get(f"{made.path}/values/timeseries", keys=keys, **query)


def points(api: Api, made: Made, **query: Any) -> list[tuple[int, str]]:
    found = api.get(f"{made.path}/values/timeseries", keys="windSpeed", **query)
    return [(point["ts"], point["value"]) for point in found.get("windSpeed", [])]


@pytest.mark.parametrize("path", ["timeseries/ANY", "timeseries/SERVER_SCOPE", "timeseries/ANY/60"])
def test_writing(api: Api, asset: Made, fact: Facts, path: str) -> None:
    response = post(api, asset, {"windSpeed": 35}, path=path)
    fact(SECTION, f"writing to {path}", (response.status_code, response.content), (200, b""))
    fact(SECTION, "reading it at once", latest(api, asset)["windSpeed"][0]["value"], "35")


@pytest.mark.parametrize(
    ("literal", "text", "typed"),
    [
        ('"31"', "31", 31),
        ('"31.50"', "31.5", 31.5),
        ("31.0", "31.0", 31.0),
        ("1e3", "1000", 1000),
        ("true", "true", True),
        ('"gale"', "gale", "gale"),
        ("NaN", "NaN", "NaN"),
        ("1e400", "1" + "0" * 400, "1" + "0" * 400),
        ('{"a":1}', '{"a":1}', {"a": 1}),
    ],
)
def test_values(api: Api, asset: Made, fact: Facts, literal: str, text: str, typed: Any) -> None:
    fact(SECTION, f"{literal} is taken", post(api, asset, f'{{"windSpeed":{literal}}}').status_code, 200)
    fact(SECTION, f"{literal} as text", latest(api, asset)["windSpeed"][0]["value"], text)
    found = latest(api, asset, useStrictDataTypes="true")["windSpeed"][0]["value"]
    fact(SECTION, f"{literal} by its type", (type(found), found), (type(typed), typed))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"a":1,"b":null}', "Unable to parse time series payload. Invalid JSON body: Can't parse value: null"),
        ("{}", "No time series data found in request body!"),
        ("[]", "No time series data found in request body!"),
        ("{bad", "Unable to parse time series payload: Invalid JSON body!"),
    ],
)
def test_refused_telemetry(api: Api, asset: Made, fact: Facts, body: str, text: str) -> None:
    fact(SECTION, f"telemetry {body}", plain(post(api, asset, body)), text_error(400, text))


def test_more_telemetry(api: Api, asset: Made, factory: ModernEntityFactory, fact: Facts) -> None:
    fact(SECTION, "a time that is none", post(api, asset, '{"ts":"abc","values":{"a":1}}').status_code, 400)
    fact(SECTION, "a negative time", post(api, asset, {"ts": -5, "values": {"a": 1}}).status_code, 200)
    fact(SECTION, "an array without times", post(api, asset, [{"a": 1}, {"a": 2}]).status_code, 200)
    nobody = Made("ASSET", NOBODY, "", "")
    found = plain(post(api, nobody, {"a": 1}))
    fact(SECTION, "an unknown asset", found, text_error(404, "Asset with requested id wasn't found!"))
    wrong = Made("NOSUCH", asset.id, "", "")
    fact(SECTION, "an unknown type", refusal(post(api, wrong, {"a": 1}))[0], 400)


def test_latest_is_the_newest_time(api: Api, asset: Made, fact: Facts) -> None:
    post(api, asset, {"ts": START + 5000, "values": {"windSpeed": 5}})
    post(api, asset, {"ts": START + 1000, "values": {"windSpeed": 1}})
    newest = {"ts": START + 5000, "value": "5"}
    fact(SECTION, "latest is not what was written last", latest(api, asset)["windSpeed"], [newest])
    post(api, asset, {"ts": START + 5000, "values": {"windSpeed": 6}})
    fact(SECTION, "the same time overwrites", latest(api, asset)["windSpeed"], [newest | {"value": "6"}])
    missing = latest(api, asset, "windSpeed,nosuch")["nosuch"]
    fact(SECTION, "a missing key", missing[0]["value"], None)
    everything = api.get(f"{asset.path}/values/timeseries")
    fact(SECTION, "without keys: all of them", list(everything), ["windSpeed"])
    fact(SECTION, "keys", api.get(f"{asset.path}/keys/timeseries"), ["windSpeed"])


def test_ranges(api: Api, asset: Made, fact: Facts) -> None:
    post(api, asset, [{"ts": START + number * 1000, "values": {"windSpeed": number}} for number in range(4)])
    within = {"startTs": START + 1000, "endTs": START + 3000}
    expected = [(START + 2000, "2"), (START + 1000, "1")]
    fact(SECTION, "a range holds its start and not its end, newest first", points(api, asset, **within), expected)
    fact(SECTION, "in order", points(api, asset, **within, orderBy="ASC"), expected[::-1])
    fact(SECTION, "with a limit", points(api, asset, **within, limit=1), expected[:1])
    open_end = points(api, asset, startTs=START)
    fact(SECTION, "without an end: the latest", open_end, [(START + 3000, "3")])
    nothing = api.get(f"{asset.path}/values/timeseries", keys="windSpeed", startTs=1, endTs=2)
    fact(SECTION, "a range without data", nothing, {})
    response = api.call("GET", f"{asset.path}/values/timeseries", params={"keys": "windSpeed", "limit": 0} | within)
    fact(SECTION, "limit 0", plain(response), text_error(400, "Page size must not be less than one"))


def test_deleting_telemetry(api: Api, asset: Made, fact: Facts) -> None:
    post(api, asset, [{"ts": START + number * 1000, "values": {"windSpeed": number}} for number in range(3)])
    path = f"{asset.path}/timeseries/delete"
    neither = api.call("DELETE", path, params={"keys": "windSpeed"})
    text = "When deleteAllDataForKeys is false, start and end timestamp values shouldn't be empty"
    fact(SECTION, "without a range", plain(neither), text_error(400, text))
    part = api.call("DELETE", path, params={"keys": "windSpeed", "startTs": START, "endTs": START + 1000})
    fact(SECTION, "a range", part.status_code, 200)
    left = points(api, asset, startTs=START, endTs=START + 9000)
    fact(SECTION, "its end stays", left, [(START + 2000, "2"), (START + 1000, "1")])
    everything = api.call("DELETE", path, params={"keys": "windSpeed", "deleteAllDataForKeys": "true"})
    fact(SECTION, "everything", everything.status_code, 200)
    fact(SECTION, "then nothing is the latest", latest(api, asset)["windSpeed"][0]["value"], None)


def test_attributes(api: Api, device: Made, fact: Facts) -> None:
    for scope in ("SERVER_SCOPE", "SHARED_SCOPE"):
        response = post(api, device, {"zone": "A", "count": "7"}, path=scope)
        fact(SECTION, f"attributes of {scope}", (response.status_code, response.content), (200, b""))
    found = api.get(f"{device.path}/values/attributes/SHARED_SCOPE")
    values = {item["key"]: item["value"] for item in found}
    count = values.pop("count")
    fact(SECTION, "the others are as sent", values, {"zone": "A"})
    by_version = ByVersion({"3.9.1": "7", "4.3.1 to 4.3.1.3": 7})
    fact(SECTION, "texts that are numbers become numbers from 4.x on", count, by_version)
    keys = api.get(f"{device.path}/keys/attributes/SERVER_SCOPE")
    fact.holds(SECTION, "a device has the server attribute active", "active" in keys, keys)
    empty = plain(post(api, device, "{}", path="SERVER_SCOPE"))
    fact(SECTION, "no attributes", empty, text_error(400, "No attributes data found in request body!"))
    null = post(api, device, '{"a":null}', path="SERVER_SCOPE").status_code
    fact(SECTION, "a null", null, ByVersion({"3.9.1": 400, "4.3.1 to 4.3.1.3": 500}))
    for path in ("CLIENT_SCOPE", "attributes/CLIENT_SCOPE"):
        refused = post(api, device, {"a": 1}, path=path)
        fact(SECTION, f"writing to {path}", (refused.status_code, refused.text), (400, "Invalid scope: CLIENT_SCOPE"))
    unknown = post(api, device, {"a": 1}, path="NO_SCOPE").status_code
    fact(SECTION, "an unknown scope", unknown, ByVersion({"3.9.1": 500, "4.3.1 to 4.3.1.3": 400}))
    for scope in ("SHARED_SCOPE", "CLIENT_SCOPE"):
        deleted = api.call("DELETE", f"{device.path}/{scope}", params={"keys": "zone"})
        fact(SECTION, f"deleting from {scope}", deleted.status_code, 200)
    left = api.get(f"{device.path}/keys/attributes/SHARED_SCOPE")
    fact(SECTION, "what is left", left, ["count"])


def test_times_are_those_of_now(api: Api, asset: Made, fact: Facts) -> None:
    before = api.server_time_ms()
    post(api, asset, {"windSpeed": 1})
    timestamp = latest(api, asset)["windSpeed"][0]["ts"]
    fact.holds(
        SECTION,
        "without a time it is now",
        before - 1000 <= timestamp <= before + 60_000,
        (before, timestamp, time.time()),
    )


def test_latest_values_of_many_devices(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    """What `aggregate --sink gateway` reads back with; the shape is that of the public documentation."""
    full, empty = factory.device(), factory.device()
    post(api, full, {"ts": START, "values": {"windSpeed": 100 / 7}})
    unknown = "784f394c-42b6-435a-983c-b7beff2784f9"
    newest_first = {"key": {"type": "ENTITY_FIELD", "key": "createdTime"}, "direction": "DESC"}

    def find(entity_filter: dict[str, Any], page_size: int) -> dict[str, Any]:
        response = api.call(
            "POST",
            "/api/entitiesQuery/find",
            json={
                "entityFilter": entity_filter,
                "entityFields": [{"type": "ENTITY_FIELD", "key": "name"}],
                "latestValues": [{"type": "TIME_SERIES", "key": "windSpeed"}],
                "pageLink": {"pageSize": page_size, "page": 0, "sortOrder": newest_first},
            },
        )
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    listed = {"type": "entityList", "entityType": "DEVICE", "entityList": [full.id, empty.id, unknown]}
    found = eventually(
        lambda: {item["entityId"]["id"]: item["latest"] for item in find(listed, 2000)["data"]},
        lambda items: items.get(full.id, {}).get("TIME_SERIES", {}).get("windSpeed", {}).get("ts") == START,
    )
    fact(SECTION, "a query by ids leaves out unknown ones", set(found), {full.id, empty.id})
    fact(SECTION, "its name", found[full.id]["ENTITY_FIELD"]["name"]["value"], full.name)
    shown = found[full.id]["TIME_SERIES"]["windSpeed"]
    fact(SECTION, "its latest value", (shown["ts"], float(shown["value"])), (START, 100 / 7))
    nothing = found[empty.id].get("TIME_SERIES", {}).get("windSpeed", {}).get("value", "")
    fact(SECTION, "a key without a value", nothing, "")
    everything = {"type": "entityName", "entityType": "DEVICE", "entityNameFilter": ""}
    page = find(everything, 2)
    names = [item["latest"]["ENTITY_FIELD"]["name"]["value"] for item in page["data"]]
    fact(SECTION, "all devices, the newest first", names, [empty.name, full.name])
    fact(SECTION, "more follow", page["hasNext"], True)
