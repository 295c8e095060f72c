from __future__ import annotations

import pytest

from pacifictool.errors import NotFound
from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, EntityId, Platform


def test_attributes_come_back_with_their_types(real: Platform, unique: str) -> None:
    device = real.devices.create(f"WS {unique}", "WeatherStation")
    values: dict[str, float | int | str | bool] = {"f": 1000.0, "i": 7, "s": "Zone é", "b": False}
    real.attributes.set_server(device, values)
    real.attributes.set_shared(device, {"limit": 3})
    assert real.attributes.get(device, SERVER_SCOPE) == values
    assert real.attributes.get(device, SHARED_SCOPE) == {"limit": 3}
    assert real.attributes.get(device, CLIENT_SCOPE) == {}
    assert real.attributes.get(device) == {**values, "limit": 3}
    assert real.attributes.get(device, SERVER_SCOPE, ["i", "nosuch"]) == {"i": 7}
    real.attributes.delete(device, SERVER_SCOPE, ["i", "nosuch"])
    assert real.attributes.get(device, SERVER_SCOPE, ["i", "f"]) == {"f": 1000.0}


def test_an_entity_that_is_gone(real: Platform) -> None:
    with pytest.raises(NotFound, match="Device with requested id wasn't found"):
        real.attributes.set_server(EntityId.device("13814000-1dd2-11b2-8080-808080808081"), {"a": 1})
