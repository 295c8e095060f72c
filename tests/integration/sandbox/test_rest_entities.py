from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.sandbox_clients import RawDevice, Tenant, connect_packet

NULL = "13814000-1dd2-11b2-8080-808080808080"
UNKNOWN = "d58f8760-e796-11f1-82e5-03a95f4b7a43"
DEMO = ["Test Device A1", "Test Device A2", "Test Device A3", "Test Device B1", "Test Device C1"]


def refused(tenant: Tenant, method: str, path: str, body: Any = None) -> tuple[int, str, int]:
    document = tenant.call(method, path, body).json()
    return document["status"], document["message"], document["errorCode"]


def pages(tenant: Tenant, path: str, limit: int) -> list[list[str]]:
    found, offsets = [], ""
    while True:
        page = tenant.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{offsets}")
        found.append([item["name"] for item in page["data"]])
        link = page["nextPageLink"]
        assert page["hasNext"] == (link is not None)
        if link is None:
            return found
        offsets = f"&idOffset={link['idOffset']}&textOffset={quote(link['textOffset'])}"


@pytest.mark.parametrize("kind", ["device", "asset"])
def test_creation_finding_changing_and_deleting(tenant: Tenant, unique: str, kind: str) -> None:
    name, word = f"WS {unique}", kind.capitalize()
    made = tenant.post(f"/api/{kind}", {"name": name, "type": "WeatherStation", "unknown": 1})
    assert list(made) == ["id", "createdTime", "additionalInfo", "tenantId", "customerId", "name", "type"]
    assert made["id"]["entityType"] == kind.upper()
    assert made["customerId"] == {"entityType": "CUSTOMER", "id": NULL}
    assert made["additionalInfo"] is None
    path = f"/api/{kind}/{made['id']['id']}"
    assert tenant.get(path) == made
    by_name = f"/api/tenant/{kind}s?{kind}Name="
    assert tenant.get(by_name + quote(name)) == made
    assert refused(tenant, "GET", by_name + quote(name.lower())) == (404, "Requested item wasn't found!", 32)
    changed = tenant.post(f"/api/{kind}", {**made, "type": "Other", "additionalInfo": {"a": 1}})
    assert changed == {**made, "type": "Other", "additionalInfo": {"a": 1}}
    taken = (400, f"{word} with such name already exists!", 31)
    assert refused(tenant, "POST", f"/api/{kind}", {"name": name, "type": "Another"}) == taken
    response = tenant.call("DELETE", path)
    assert (response.status_code, response.content, "Content-Type" in response.headers) == (200, b"", False)
    for method in ("GET", "DELETE"):
        assert refused(tenant, method, path) == (404, "Requested item wasn't found!", 32)


@pytest.mark.parametrize(("kind", "word"), [("device", "Device"), ("asset", "Asset")])
def test_names_and_types_are_required_and_stored_unchanged(tenant: Tenant, unique: str, kind: str, word: str) -> None:
    path = f"/api/{kind}"
    assert refused(tenant, "POST", path, {"type": "x"}) == (400, f"{word} name should be specified!", 31)
    assert refused(tenant, "POST", path, {"name": unique}) == (400, f"{word} type should be specified!", 31)
    for name in (f"ws {unique}", f"WS {unique}", f" WS {unique} ", f"Zürich ☃ {unique}", f"a'b\"c\\ {unique}"):
        assert tenant.post(path, {"name": name, "type": "x"})["name"] == name
        assert tenant.get(f"/api/tenant/{kind}s?{kind}Name={quote(name)}")["name"] == name
    assert tenant.call("POST", path, {"name": "n" * 256, "type": "x"}).status_code == 500
    assert tenant.call("POST", path, {"name": {"a": 1}, "type": "x"}).status_code == 400


def test_bad_ids_bodies_and_content_types(tenant: Tenant) -> None:
    assert refused(tenant, "GET", "/api/device/zz") == (400, "Invalid UUID string: zz", 31)
    assert refused(tenant, "GET", f"/api/asset/{UNKNOWN}") == (404, "Requested item wasn't found!", 32)
    gone = {"id": {"entityType": "DEVICE", "id": UNKNOWN}, "name": "x", "type": "y"}
    assert refused(tenant, "POST", "/api/device", gone)[0] == 404
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b"", b"5", b'{"name":NaN}', b"\xff"):
        response = tenant.call("POST", "/api/device", data=body, headers=headers)
        assert response.status_code == 400
        assert response.json()["exception"].endswith("HttpMessageNotReadableException")
    assert tenant.call("POST", "/api/device", data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("kind", ["device", "asset"])
def test_pages_in_order_of_creation(tenant: Tenant, unique: str, kind: str) -> None:
    type_ = f"Type {unique}"
    names = [f"{letter} {unique}" for letter in ("zz", "aa", "mm", "Zz2")]
    for name in names:
        tenant.post(f"/api/{kind}", {"name": name, "type": type_})
    path = f"/api/tenant/{kind}s?type={quote(type_)}"
    assert pages(tenant, path, 3) == [names[:3], names[3:]]
    assert pages(tenant, path, 4) == [names, []]
    assert pages(tenant, path, 100_000) == [names]
    assert pages(tenant, path + "&textSearch=ZZ", 100) == [[names[0], names[3]]]
    assert pages(tenant, path.upper().replace("/API/TENANT/", "/api/tenant/").replace("S?TYPE", "s?type").replace(
        kind.upper(), kind), 9) == [[]]  # fmt: skip
    link = tenant.get(path + "&limit=1&textSearch=zZ")["nextPageLink"]
    assert link == {
        "limit": 1,
        "textSearch": "zz",
        "textSearchBound": "z{",
        "textOffset": names[0],
        "idOffset": link["idOffset"],
    }
    # Only idOffset moves the page, and it may belong to a deleted entity.
    assert tenant.get(path + f"&limit=1&textOffset={quote(names[0])}")["data"][0]["name"] == names[0]
    tenant.delete(f"/api/{kind}/{link['idOffset']}")
    assert tenant.get(path + f"&limit=1&idOffset={link['idOffset']}")["data"][0]["name"] == names[1]
    assert {
        "tenantId": tenant.get("/api/auth/user")["tenantId"],
        "entityType": kind.upper(),
        "type": type_,
    } in tenant.get(f"/api/{kind}/types")


def test_bad_page_links(tenant: Tenant) -> None:
    for limit in (0, -1):
        status, message, code = refused(tenant, "GET", f"/api/tenant/devices?limit={limit}")
        assert (status, code) == (400, 31)
        assert message.startswith("Incorrect page link TextPageLink(")
    response = tenant.call("GET", "/api/tenant/devices?limit=abc")
    assert response.status_code == 400
    assert response.json()["exception"].endswith("MethodArgumentTypeMismatchException")
    assert refused(tenant, "GET", "/api/tenant/devices") == (400, "Invalid UUID string: devices", 31)
    assert refused(tenant, "GET", "/api/tenant/devices?limit=1&idOffset=x") == (400, "Invalid UUID string: x", 31)


def test_there_are_demo_devices_and_no_demo_assets(tenant: Tenant) -> None:
    devices = tenant.get("/api/tenant/devices?limit=100&type=default&textSearch=test")["data"]
    assert [device["name"] for device in devices] == DEMO
    a1 = devices[0]["id"]["id"]
    assert tenant.get(f"/api/device/{a1}/credentials")["credentialsId"] == "A1_TEST_TOKEN"
    for name in ("DHT11 Demo Device", "Raspberry Pi Demo Device"):
        assert tenant.get(f"/api/tenant/devices?deviceName={quote(name)}")["type"] == "default"


def test_credentials(tenant: Tenant, unique: str, connect: Any) -> None:
    identifier, token = tenant.device(f"C {unique}")
    path = f"/api/device/{identifier}/credentials"
    found = tenant.get(path)
    assert list(found) == ["id", "createdTime", "deviceId", "credentialsType", "credentialsId", "credentialsValue"]
    assert re.fullmatch(r"[A-Za-z0-9]{20}", token)
    session: RawDevice = connect(token)
    assert refused(tenant, "POST", "/api/device/credentials", {**found, "credentialsId": "A1_TEST_TOKEN"}) == (
        400,
        "Specified credentials are already registered!",
        31,
    )
    assert session.is_silent()
    longer = f"{unique}-".ljust(33, "x")
    assert tenant.post("/api/device/credentials", {**found, "credentialsId": longer})["credentialsId"] == longer
    session.expect(b"\xe0\x00")
    assert session.is_closed()
    connect(longer).acknowledged('{"a":1}')
    old: RawDevice = connect(None)
    old.send(connect_packet(token))
    old.expect(b"\x20\x02\x01\x05")
    assert tenant.call("GET", f"/api/device/{UNKNOWN}/credentials").status_code == 404


def test_a_customer_sees_the_devices_assigned_to_it_only(sandbox: Any, tenant: Tenant) -> None:
    customer = Tenant(sandbox.url, "customer@thingsboard.org", "customer")
    own, other = (
        tenant.get(f"/api/tenant/devices?deviceName={quote(name)}")["id"]["id"] for name in (DEMO[0], DEMO[3])
    )
    assert customer.get(f"/api/device/{own}")["name"] == DEMO[0]
    assert customer.call("GET", f"/api/device/{other}").status_code == 403
    assert customer.call("GET", f"/api/plugins/telemetry/DEVICE/{other}/keys/timeseries").status_code == 403
    assert customer.call("DELETE", f"/api/device/{own}").status_code == 403
