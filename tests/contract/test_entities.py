"""Devices and assets, their names, pages and credentials.

docs/servers/1.x.md#devices, docs/servers/1.x.md#assets, docs/servers/1.x.md#pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from pacifictool.errors import AlreadyExists
from pacifictool.rest import Platform
from pacifictool.settings import Secret
from tests.contract.api import NOBODY, NOT_FOUND, NULL_ID, Api, framework_error, refusal
from tests.contract.factories import EntityFactory
from tests.contract.facts import Facts

MORE_THAN_A_PAGE = 105


@dataclass(frozen=True, slots=True)
class Kind:
    """DEVICE or ASSET, and the identifier of its section in `SECTIONS`."""

    word: str
    section: str

    @property
    def path(self) -> str:
        return f"/api/{self.word}"

    @property
    def pages(self) -> str:
        return f"/api/tenant/{self.word}s"

    @property
    def noun(self) -> str:
        return self.word.capitalize()


@pytest.fixture(params=[Kind("device", "3"), Kind("asset", "4")], ids=lambda kind: str(kind.word))
def kind(request: pytest.FixtureRequest) -> Kind:
    assert isinstance(request.param, Kind)
    return request.param


@dataclass(frozen=True, slots=True)
class Four:
    """Four entities of one kind and type; they are not created in the order of their names."""

    kind: Kind
    type: str
    prefix: str
    names: list[str]


@pytest.fixture(scope="module", params=[Kind("device", "3"), Kind("asset", "4")], ids=lambda kind: str(kind.word))
def four(request: pytest.FixtureRequest, factory: EntityFactory) -> Four:
    kind = request.param
    assert isinstance(kind, Kind)
    prefix = factory.name("Page") + "-"
    found = Four(kind, factory.name("paged"), prefix, [prefix + end for end in ("zz", "aa", "mm", "BB")])
    for name in found.names:
        factory.create(kind.word, {"name": name, "type": found.type})
    return found


def page(api: Api, four: Four, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.get(four.kind.pages, **params)
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [item["name"] for item in found["data"]]


def test_creation_returns_the_whole_entity(api: Api, factory: EntityFactory, fact: Facts, kind: Kind) -> None:
    name, tenant = factory.name("whole"), api.user["tenantId"]
    response = factory.post(kind.word, {"name": name, "type": "Weather"})
    fact(kind.section, "creation returns 200", response.status_code, 200)
    saved = response.json()
    identifier, created = saved.pop("id"), saved.pop("createdTime")
    expected = {
        "additionalInfo": None,
        "tenantId": tenant,
        "customerId": {"entityType": "CUSTOMER", "id": NULL_ID},
        "name": name,
        "type": "Weather",
    }
    fact(kind.section, "the saved entity", saved, expected)
    fact(kind.section, "the id names the kind", identifier["entityType"], kind.word.upper())
    distance = abs(api.server_time_ms() - created)
    fact.holds(kind.section, "createdTime is the server's time in ms", distance < 60_000, distance)
    read = api.get(f"{kind.path}/{identifier['id']}")
    fact(kind.section, "what is read is what was saved", read, response.json())


def test_names_are_unique_and_exact(api: Api, factory: EntityFactory, fact: Facts, kind: Kind) -> None:
    name = factory.name("unique")
    factory.create(kind.word, {"name": name, "type": "one"})
    for type_ in ("one", "another"):
        again = factory.post(kind.word, {"name": name, "type": type_})
        expected = (400, 31, f"{kind.noun} with such name already exists!")
        fact(kind.section, f"the same name with type {type_}", refusal(again), expected)


def test_device_names_are_case_sensitive_and_not_trimmed(api: Api, factory: EntityFactory, fact: Facts) -> None:
    name = factory.name("kept")
    factory.create("device", {"name": name, "type": "one"})
    for other, what in ((name.upper(), "another case"), (f" {name} ", "spaces around"), (f"{name}-風車-ü", "unicode")):
        saved = factory.post("device", {"name": other, "type": "one"})
        fact("3", f"a name with {what} is accepted", saved.status_code, 200)
        fact("3", f"a name with {what} is kept", saved.json()["name"], other)


@pytest.mark.parametrize("missing", ["name", "type"])
def test_name_and_type_are_required(factory: EntityFactory, fact: Facts, kind: Kind, missing: str) -> None:
    document = {"name": factory.name("half"), "type": "one"}
    del document[missing]
    expected = (400, 31, f"{kind.noun} {missing} should be specified!")
    fact(kind.section, f"creation without {missing}", refusal(factory.post(kind.word, document)), expected)


def test_an_id_in_the_body_means_update(api: Api, factory: EntityFactory, fact: Facts) -> None:
    saved = factory.create("device", {"name": factory.name("changed"), "type": "one"})
    changed = factory.post("device", saved | {"type": "two"})
    fact("3", "an update returns 200", changed.status_code, 200)
    fact("3", "an update keeps the id", changed.json()["id"], saved["id"])
    fact("3", "an update changes what it says", api.get(f"/api/device/{saved['id']['id']}")["type"], "two")


def test_what_does_not_exist(api: Api, fact: Facts) -> None:
    for method in ("GET", "DELETE"):
        unknown = api.call(method, f"/api/device/{NOBODY}")
        fact("3", f"{method} of an unknown device", refusal(unknown), NOT_FOUND)
        bad = api.call(method, "/api/device/notauuid")
        fact("3", f"{method} of a bad UUID", refusal(bad)[:2], (400, 31))


def test_deletion(api: Api, factory: EntityFactory, fact: Facts, kind: Kind) -> None:
    saved = factory.create(kind.word, {"name": factory.name("gone"), "type": "one"})
    path = f"{kind.path}/{saved['id']['id']}"
    deleted = api.call("DELETE", path)
    fact(kind.section, "deletion returns nothing", (deleted.status_code, deleted.content), (200, b""))
    factory.forget(kind.word, saved["id"]["id"])
    fact(kind.section, "deletion again", refusal(api.call("DELETE", path)), NOT_FOUND)
    by_name = api.call("GET", kind.pages, params={f"{kind.word}Name": saved["name"]})
    fact(kind.section, "the name is gone", refusal(by_name)[0], 404)


def test_look_up_by_name(api: Api, factory: EntityFactory, fact: Facts, kind: Kind) -> None:
    saved = factory.create(kind.word, {"name": factory.name("with space and +"), "type": "one"})

    def look_up(name: str) -> Any:
        return api.call("GET", kind.pages, params={f"{kind.word}Name": name})

    fact(kind.section, "a look-up by name gives one object", look_up(saved["name"]).json(), saved)
    fact(kind.section, "no such name", refusal(look_up(saved["name"] + "-not")), NOT_FOUND)
    if kind.word == "device":
        fact("3", "the look-up is case-sensitive", look_up(saved["name"].upper()).status_code, 404)


def test_paging(api: Api, fact: Facts, four: Four) -> None:
    section = four.kind.section
    search = four.prefix.upper()
    first = page(api, four, limit=3, type=four.type, textSearch=search)
    fact(section, "the order is that of creation", names(first), four.names[:3])
    link = first["nextPageLink"]
    expected = {
        "limit": 3,
        "textSearch": four.prefix.lower(),
        "textSearchBound": four.prefix.lower()[:-1] + ".",
        "textOffset": four.names[2].lower(),
        "idOffset": first["data"][2]["id"]["id"],
    }
    fact(section, "the link to the next page", link, expected)
    fact(section, "a full page has a next one", first["hasNext"], True)
    offsets = {"idOffset": link["idOffset"], "textOffset": link["textOffset"]}
    second = page(api, four, limit=3, type=four.type, textSearch=search, **offsets)
    fact(section, "the second page goes on behind the first", names(second), four.names[3:])
    fact(section, "the last page has no link", (second["nextPageLink"], second["hasNext"]), (None, False))


def test_a_full_last_page_announces_one_more(api: Api, fact: Facts, four: Four) -> None:
    section = four.kind.section
    full = page(api, four, limit=4, type=four.type)
    fact(section, "four items with limit 4", (len(full["data"]), full["hasNext"]), (4, True))
    link = full["nextPageLink"]
    after = page(api, four, limit=4, type=four.type, idOffset=link["idOffset"], textOffset=link["textOffset"])
    fact(section, "the page after a full last one", after, {"data": [], "nextPageLink": None, "hasNext": False})


def test_only_the_id_offset_counts(api: Api, fact: Facts, four: Four) -> None:
    again = page(api, four, limit=2, type=four.type, textOffset=four.names[1].lower())
    fact(four.kind.section, "textOffset alone gives page 1 again", names(again), four.names[:2])
    onward = page(api, four, limit=2, type=four.type, idOffset=again["nextPageLink"]["idOffset"])
    fact(four.kind.section, "idOffset alone goes on", names(onward), four.names[2:])


def test_searching(api: Api, fact: Facts, four: Four) -> None:
    section = four.kind.section
    found = page(api, four, limit=10, textSearch=(four.prefix + "b").upper())
    fact(section, "a search finds prefixes of names, whatever the case", names(found), [four.names[3]])
    inside = page(api, four, limit=10, type=four.type, textSearch="page-")
    fact(section, "a search does not find the inside of names", names(inside), [])
    other_case = page(api, four, limit=10, type=four.type.upper())
    fact(section, "the type is case-sensitive", other_case, {"data": [], "nextPageLink": None, "hasNext": False})
    everything = page(api, four, limit=100_000, type=four.type)
    fact(section, "a limit of 100,000 is accepted", names(everything), four.names)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_must_hold_something(api: Api, fact: Facts, limit: int) -> None:
    status, code, message = refusal(api.call("GET", "/api/tenant/devices", params={"limit": limit}))
    start = "Incorrect page link TextPageLink("
    fact("3", f"limit={limit}", (status, code, message[: len(start)]), (400, 31, start))


def test_the_limit_must_be_a_number(api: Api, fact: Facts) -> None:
    words = api.call("GET", "/api/tenant/devices", params={"limit": "abc"})
    fact("3", "limit=abc", framework_error(words)[:2], (400, "Bad Request"))
    none = api.call("GET", "/api/tenant/devices")
    fact("3", "no limit meets another route", refusal(none), (400, 31, "Invalid UUID string: devices"))


def test_more_than_a_hundred(api: Api, platform: Platform, factory: EntityFactory, fact: Facts) -> None:
    type_ = factory.name("many")
    made = [
        factory.create("asset", {"name": factory.name("many"), "type": type_})["name"] for _ in range(MORE_THAN_A_PAGE)
    ]
    first = api.get("/api/tenant/assets", limit=100, type=type_)
    fact("4", "a page of 100", (names(first), first["hasNext"]), (made[:100], True))
    link = first["nextPageLink"]
    second = api.get(
        "/api/tenant/assets", limit=100, type=type_, idOffset=link["idOffset"], textOffset=link["textOffset"]
    )
    fact("4", "the rest behind the first hundred", (names(second), second["hasNext"]), (made[100:], False))
    listed = [asset.name for asset in platform.assets.list(type=type_)]
    fact("4", "the client lists more than a hundred", listed, made)


def test_types(api: Api, factory: EntityFactory, fact: Facts, kind: Kind) -> None:
    type_ = factory.name("typed")
    factory.create(kind.word, {"name": factory.name("typed"), "type": type_})
    entry = {"tenantId": api.user["tenantId"], "entityType": kind.word.upper(), "type": type_}
    found = [item for item in api.get(f"{kind.path}/types") if item["type"] == type_]
    fact(kind.section, "the list of types names ours once", found, [entry])


def test_credentials(api: Api, factory: EntityFactory, fact: Facts) -> None:
    device = factory.device()
    found = api.get(f"/api/device/{device.id}/credentials")
    keys = {"id", "createdTime", "deviceId", "credentialsType", "credentialsId", "credentialsValue"}
    fact("3", "the keys of credentials", set(found), keys)
    fact("3", "credentials name their device", found["deviceId"], {"entityType": "DEVICE", "id": device.id})
    kinds = (found["credentialsType"], found["credentialsValue"])
    fact("3", "credentials are an access token", kinds, ("ACCESS_TOKEN", None))
    shape = re.fullmatch("[0-9A-Za-z]{20}", found["credentialsId"]) is not None
    fact("3", "a token is 20 letters and digits", shape, True)
    unknown = api.call("GET", f"/api/device/{NOBODY}/credentials")
    fact("3", "credentials of an unknown device", unknown.status_code, 404)


def test_setting_credentials(api: Api, factory: EntityFactory, fact: Facts) -> None:
    device, other = factory.device(), factory.device()
    found = api.get(f"/api/device/{device.id}/credentials")
    long_token = f"{factory.run}{'t' * 33}"[:33]
    changed = api.call("POST", "/api/device/credentials", json=found | {"credentialsId": long_token})
    fact("3", "a token of 33 characters is accepted", changed.status_code, 200)
    read = api.get(f"/api/device/{device.id}/credentials")["credentialsId"]
    fact("3", "the token is changed", read, long_token)
    taken = api.call("POST", "/api/device/credentials", json=found | {"credentialsId": other.token})
    fact("3", "a token in use", refusal(taken), (400, 31, "Specified credentials are already registered!"))


def test_the_rest_client_on_devices(platform: Platform, factory: EntityFactory, fact: Facts) -> None:
    made = factory.device("client", type="Turbine")
    device = platform.devices.find(made.name)
    assert device is not None
    fact("3", "the client finds by name", (device.id, device.type), (made.id, "Turbine"))
    fact("3", "the client finds nothing else", platform.devices.find(made.name.upper()), None)
    fact("3", "the client reads the token", platform.devices.token(device.id), Secret(made.token))
    with pytest.raises(AlreadyExists) as refused:
        platform.devices.create(made.name, "Other")
    fact("3", "the client translates a taken name", refused.value.status, 400)
    fact("3", "get_or_create takes what is there", platform.devices.get_or_create(made.name, "Other").type, "Turbine")


def test_the_rest_client_on_assets(platform: Platform, factory: EntityFactory, fact: Facts) -> None:
    made = factory.asset("client")
    fact("4", "get_or_create takes what is there", platform.assets.get_or_create(made.name, made.type).id, made.id)
    platform.assets.delete(made.id)
    factory.forget("asset", made.id)
    fact("4", "the client deletes", platform.assets.find(made.name), None)
