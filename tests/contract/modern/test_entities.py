"""Devices, assets, profiles, and pages that are counted: docs/servers/4.x.md#devices-and-assets, docs/servers/4.x.md#pages."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.contract.api import NOBODY, Api, refusal
from tests.contract.factories import Made
from tests.contract.facts import Facts
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.versions import ByVersion

SECTION = "modern 2"
NOT_FOUND_BY_NAME = (404, 32, "Requested item wasn't found!")
MISSING = "Required request parameter 'pageSize'"


@pytest.fixture(scope="module")
def crowd(factory: ModernEntityFactory) -> list[Made]:
    """Five devices with a type of their own, in order of creation."""
    type_ = factory.name("crowd")
    return [factory.device(f"crowd-{number}", type=type_) for number in range(5)]


def page(api: Api, crowd: list[Made], **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/api/tenant/devices", **{"pageSize": 2, "page": 0, "type": crowd[0].type} | query)
    return found


def test_a_new_device(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    name = factory.name("station")
    saved = factory.create("device", {"name": name, "type": factory.type, "nosuch": 1})
    fact(SECTION, "its version", saved["version"], 1)
    fact(SECTION, "left-out label and additionalInfo", (saved["label"], saved["additionalInfo"]), (None, None))
    fact(SECTION, "it has a profile", saved["deviceProfileId"]["entityType"], "DEVICE_PROFILE")
    profile = api.get(f"/api/deviceProfile/{saved['deviceProfileId']['id']}")
    fact(SECTION, "an unknown type makes a profile of that name", profile["name"], factory.type)
    fact(SECTION, "which leads to no rule chain", profile["defaultRuleChainId"], None)
    untyped = factory.create("device", {"name": factory.name("untyped")})
    fact(SECTION, "without a type", untyped["type"], "default")
    again = factory.post("device", {"name": name, "type": factory.type})
    fact(SECTION, "a name twice", refusal(again), (400, 31, "Device with such name already exists!"))
    unique = factory.post("device", {"name": name, "type": factory.type}, nameConflictPolicy="UNIQUIFY")
    # 3.9.1 does not know the parameter.
    status = ByVersion({"3.9.1": 400, "4.3.1 to 4.3.1.3": 200})
    fact(SECTION, "UNIQUIFY", unique.status_code, status)
    if unique.status_code == 200:
        fact.holds(SECTION, "it has another name", unique.json()["name"].startswith(f"{name}_"), unique.json())


def test_versions(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    saved = factory.create("device", {"name": factory.name("versions"), "type": factory.type, "label": "a"})
    changed = factory.create("device", saved | {"label": "b"})
    fact(SECTION, "a change is a version more", (changed["label"], changed["version"]), ("b", 2))
    stale = factory.post("device", saved | {"label": "c"})
    expected = (409, 35, "Device was already changed by someone else")
    fact(SECTION, "a stale version", refusal(stale), expected)
    forced = factory.create("device", {key: value for key, value in saved.items() if key not in ("version", "label")})
    fact(SECTION, "without a version it always wins, and what is left out is null", forced["label"], None)
    asset = factory.create("asset", {"name": factory.name("versions"), "type": factory.type})
    factory.create("asset", asset | {"label": "b"})
    fact(SECTION, "a stale version of an asset", factory.post("asset", asset).status_code, 409)


def test_credentials(api: Api, factory: ModernEntityFactory, device: Made, fact: Facts) -> None:
    path = f"/api/device/{device.id}/credentials"
    credentials = api.get(path)
    fact(SECTION, "a token of 20 characters", len(credentials["credentialsId"]), 20)
    token = factory.name("token")[:20] + "T"
    made = factory.create("device", {"name": factory.name("with-token"), "type": factory.type}, accessToken=token)
    found = api.get(f"/api/device/{made['id']['id']}/credentials")["credentialsId"]
    fact(SECTION, "a token at creation", found, token)
    name = factory.name("second-with-token")
    taken = factory.post("device", {"name": name, "type": factory.type}, accessToken=token)
    in_use = (400, 31, "Device credentials are already assigned to another device!")
    fact(SECTION, "a token in use", refusal(taken), in_use)
    fact(SECTION, "then no device is made", factory.find_device(name), None)
    both = {
        "device": {"name": factory.name("with-credentials"), "type": factory.type},
        "credentials": {"credentialsType": "ACCESS_TOKEN", "credentialsId": f"{token}2"},
    }
    response = api.call("POST", "/api/device-with-credentials", json=both)
    fact(SECTION, "device-with-credentials", response.status_code, 200)
    factory.remember("device", response.json()["id"]["id"])
    changed = api.call("POST", "/api/device/credentials", json=credentials | {"credentialsId": token})
    fact(SECTION, "changing to a token in use", refusal(changed), in_use)
    without_id = {key: value for key, value in credentials.items() if key != "id"}
    refused = api.call("POST", "/api/device/credentials", json=without_id)
    expected = (400, 31, "Credentials for this device are already specified!")
    fact(SECTION, "credentials without their id", refusal(refused), expected)
    good = api.call("POST", "/api/device/credentials", json=credentials | {"credentialsId": f"{token}3"})
    fact(SECTION, "another token", (good.status_code, good.json()["credentialsId"]), (200, f"{token}3"))


def test_deleting(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    device = factory.device("to-delete")
    deleted = api.call("DELETE", f"/api/device/{device.id}")
    fact(SECTION, "deleting", (deleted.status_code, deleted.content), (200, b""))
    factory.forget("device", device.id)
    gone = (404, 32, f"Device with id [{device.id}] is not found")
    fact(SECTION, "deleting again", refusal(api.call("DELETE", f"/api/device/{device.id}")), gone)
    fact(SECTION, "getting it", refusal(api.call("GET", f"/api/device/{device.id}")), gone)
    fact(SECTION, "its credentials", api.call("GET", f"/api/device/{device.id}/credentials").status_code, 404)
    bad = refusal(api.call("GET", "/api/device/abc"))
    fact(SECTION, "an id that is none", bad[0], 400)


@pytest.mark.parametrize("kind", ["device", "asset"])
def test_looking_up_by_name(api: Api, factory: ModernEntityFactory, fact: Facts, kind: str) -> None:
    name = factory.name(f"{kind}-by-name")
    saved = factory.create(kind, {"name": name, "type": factory.type})
    path = f"/api/tenant/{kind}s"
    fact(SECTION, f"an {kind} by its name", api.get(path, **{f"{kind}Name": name})["id"], saved["id"])
    for other in (name.upper(), name[:-1]):
        response = api.call("GET", path, params={f"{kind}Name": other})
        fact(SECTION, f"{kind}: the name counts exactly", refusal(response), NOT_FOUND_BY_NAME)


def test_pages(api: Api, crowd: list[Made], fact: Facts) -> None:
    first = page(api, crowd)
    shape = (len(first["data"]), first["totalPages"], first["totalElements"], first["hasNext"])
    fact(SECTION, "the first page", shape, (2, 3, 5, True))
    last = page(api, crowd, page=2)
    fact(SECTION, "the last page", (len(last["data"]), last["hasNext"]), (1, False))
    beyond = page(api, crowd, page=9)
    fact(SECTION, "a page beyond the end", (beyond["data"], beyond["totalElements"]), ([], 5))
    whole = page(api, crowd, pageSize=2147483647)
    identifiers = [item["id"]["id"] for item in whole["data"]]
    fact(SECTION, "the default order is that of the ids' text", identifiers, sorted(identifiers))
    born = page(api, crowd, pageSize=10, sortProperty="createdTime", sortOrder="ASC")
    names = [item["name"] for item in born["data"]]
    fact(SECTION, "sorted by time of creation", names, [device.name for device in crowd])
    fact(SECTION, "an unknown type", page(api, crowd, type="contract-nosuch")["totalElements"], 0)


def test_searching(api: Api, crowd: list[Made], fact: Facts) -> None:
    middle = crowd[3].name[9:].upper()
    fact(SECTION, "a text within, in any case", page(api, crowd, textSearch=middle)["totalElements"], 1)
    wild = crowd[3].name.replace("crowd", "c%w_")
    fact(SECTION, "% and _ are wild cards", page(api, crowd, textSearch=wild)["totalElements"], 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"pageSize": 0}, (400, "Incorrect page link page size '0'. Page size must be greater than zero.")),
        ({"pageSize": -1}, (400, "Incorrect page link page size '-1'. Page size must be greater than zero.")),
        ({"page": -1}, (400, None)),
        ({"sortProperty": "nosuch"}, (500, "Database error")),
    ],
)
def test_refused_pages(api: Api, fact: Facts, query: dict[str, Any], expected: tuple[int, str | None]) -> None:
    status, _, message = refusal(api.call("GET", "/api/tenant/devices", params={"pageSize": 2, "page": 0} | query))
    fact(SECTION, f"a page with {query}", (status, message if expected[1] else None), expected)


def test_another_order_than_the_two(api: Api, fact: Facts) -> None:
    response = api.call("GET", "/api/tenant/devices", params={"pageSize": 2, "page": 0, "sortOrder": "UP"})
    expected = ByVersion({"4.3.1": 400, "3.9.1, 4.3.1.3": 200})
    fact(SECTION, "a page in the order UP", response.status_code, expected)


def test_a_page_needs_both_numbers(api: Api, fact: Facts) -> None:
    by_path = ByVersion({"3.9.1, 4.3.1": (400, 31, "Invalid UUID string: devices"), "4.3.1.3": (500, 2, MISSING)})
    fact(SECTION, "devices without a page", _start_of(api.call("GET", "/api/tenant/devices")), by_path)
    for query in ({"limit": 10}, {"pageSize": 10}):
        response = api.call("GET", "/api/tenant/devices", params=query)
        status = ByVersion({"3.9.1, 4.3.1": 400, "4.3.1.3": 500})
        fact(SECTION, f"devices with {query}", response.status_code, status)


def _start_of(response: requests.Response) -> tuple[int, int | None, str]:
    """The refusal; of a missing parameter only how its message begins."""
    status, code, message = refusal(response)
    return status, code, MISSING if message.startswith(MISSING) else message


def test_infos_and_bare_lists(api: Api, crowd: list[Made], fact: Facts) -> None:
    query = {"pageSize": 10, "page": 0, "type": crowd[0].type}
    infos = api.get("/api/tenant/deviceInfos", **query)["data"]
    fact(SECTION, "infos name the profile", {info["deviceProfileName"] for info in infos}, {crowd[0].type})
    fact(SECTION, "devices that never spoke are not active", {info["active"] for info in infos}, {False})
    found = api.get("/api/devices", deviceIds=f"{crowd[0].id},{NOBODY}")
    fact(SECTION, "by ids: an array without the unknown", [item["id"]["id"] for item in found], [crowd[0].id])
    types = api.get("/api/device/types")
    fact.holds(SECTION, "types in use", crowd[0].type in {entry["type"] for entry in types}, types)


def test_profiles(api: Api, factory: ModernEntityFactory, crowd: list[Made], fact: Facts) -> None:
    infos = api.get("/api/deviceProfileInfos", pageSize=10, page=0, textSearch=crowd[0].type)["data"]
    fact(SECTION, "a profile by its name", [info["name"] for info in infos], [crowd[0].type])
    used = api.call("DELETE", f"/api/deviceProfile/{infos[0]['id']['id']}")
    expected = (400, 31, "The device profile referenced by the devices cannot be deleted!")
    fact(SECTION, "a profile in use", refusal(used), expected)
    document = {
        "name": factory.name("profile"),
        "type": "DEFAULT",
        "transportType": "DEFAULT",
        "profileData": {"configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}},
    }
    saved = factory.create("deviceProfile", document)
    fact(SECTION, "a profile of our own", (saved["name"], saved["version"]), (document["name"], 1))
    fact(SECTION, "a profile without data", factory.post("deviceProfile", {"name": "x"}).status_code, 400)


def test_assets(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    name = factory.name("zone")
    saved = factory.create("asset", {"name": name, "type": factory.type})
    fact(SECTION, "an asset's profile", saved["assetProfileId"]["entityType"], "ASSET_PROFILE")
    again = factory.post("asset", {"name": name, "type": factory.type})
    fact(SECTION, "a name twice", refusal(again), (400, 31, "Asset with such name already exists!"))
