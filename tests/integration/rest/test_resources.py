from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pacifictool.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    PlatformError,
)
from pacifictool.rest import Platform
from pacifictool.settings import Secret


def test_sixteen_threads_that_want_one_asset_get_the_same(real: Platform, unique: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: real.assets.get_or_create(f"Zone {unique}", "WeatherStation"), range(32)))
    assert len({asset.id for asset in found}) == 1


# With a sandbox

NAMES = ["WS 1/é", 'quotes " and \\', " spaces ", "%2F&?#=+;", "日本語 🌬", "x" * 200, "tab\there"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_kinds_reach_the_server_and_come_back(real: Platform, unique: str, name: str) -> None:
    created = real.assets.create(f"{name}{unique}", "WeatherStation", {"note": name})
    found = real.assets.find(f"{name}{unique}")
    assert found == created
    assert found is not None
    assert found.additional_info == {"note": name}
    assert real.assets.get(created.id) == created
    assert real.assets.find(f"{name}{unique} ") is None


def test_the_life_of_a_device(real: Platform, unique: str) -> None:
    device = real.devices.create(f"WS {unique}", "WeatherStation", {"gateway": True})
    assert device.is_gateway
    with pytest.raises(AlreadyExists):
        real.devices.create(device.name, "other")
    changed = real.devices.change_type(device, f"Pump {unique}")
    assert (changed.id, changed.type, changed.is_gateway) == (device.id, f"Pump {unique}", True)
    assert f"Pump {unique}" in real.devices.types()
    token = real.devices.token(device.id)
    assert token == real.devices.token_by_name(device.name)
    assert len(token.reveal()) == 20
    real.devices.set_token(device.id, Secret(f"token-{unique}"))
    assert real.devices.token(device.id) == Secret(f"token-{unique}")
    other = real.devices.create(f"WS other {unique}", "WeatherStation")
    with pytest.raises(AlreadyExists):
        real.devices.set_token(other.id, Secret(f"token-{unique}"))
    with pytest.raises(InvalidRequest):
        real.devices.set_token(other.id, Secret(""))
    real.devices.delete(device.id)
    for call in (real.devices.get, real.devices.delete, real.devices.token):
        with pytest.raises(NotFound):
            call(device.id)
    with pytest.raises(NotFound, match="There is no device"):
        real.devices.token_by_name(device.name)


def test_who_we_are(real: Platform) -> None:
    user = real.whoami()
    assert (user.email, user.authority) == ("tenant@thingsboard.org", "TENANT_ADMIN")


def test_bad_ids_are_refused_by_the_server(real: Platform) -> None:
    with pytest.raises(InvalidRequest, match="Invalid UUID string"):
        real.devices.get("notauuid")
    with pytest.raises(PlatformError):
        real.assets.get("")
