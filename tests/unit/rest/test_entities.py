from __future__ import annotations

from typing import Any

import pytest

from pacifictool.errors import InvalidRequest, UnexpectedAnswer
from pacifictool.rest import Asset, Credentials, Device, EntityId, LifecycleEvent, Plugin, Rule, User
from pacifictool.rest.entities import Reader, entity_id_of

ID = "d58f8760-e796-11f1-82e5-03a95f4b7a43"
TENANT = {"entityType": "TENANT", "id": "18f7a6f0-e796-11f1-82e5-03a95f4b7a43"}
DEVICE: dict[str, Any] = {
    "id": {"entityType": "DEVICE", "id": ID},
    "createdTime": 1795477043926,
    "additionalInfo": {"gateway": True},
    "tenantId": TENANT,
    "customerId": {"entityType": "CUSTOMER", "id": "13814000-1dd2-11b2-8080-808080808080"},
    "name": "WS-1",
    "type": "WeatherStation",
    "label": "of a later generation",
}
EVENT: dict[str, Any] = {
    "id": {"id": ID},
    "createdTime": 1795477043926,
    "type": "LC_EVENT",
    "body": {
        "server": "vm",
        "event": "ACTIVATED",
        "success": False,
        "error": "a.B: outer\n\tat x\nCaused by: c.D: inner\n",
    },
}


def test_a_device_with_fields_that_we_do_not_know() -> None:
    device = Device.from_json(DEVICE)
    assert (device.id, device.name, device.type) == (ID, "WS-1", "WeatherStation")
    assert (device.created_time, device.tenant_id) == (1795477043926, TENANT["id"])
    assert device.is_gateway
    assert device.raw["label"] == "of a later generation"
    assert device.entity_id == EntityId("DEVICE", ID) == EntityId.device(ID) == entity_id_of(device)
    assert device.entity_id.as_json() == DEVICE["id"]
    assert hash(device) == hash(Device.from_json({**DEVICE, "label": None}))


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "text"},
        {"id": {"entityType": "ASSET", "id": ID}},
        {"id": {"entityType": "DEVICE", "id": "../../api/secret"}},
        {"id": {"entityType": "DEVICE", "id": 5}},
        {"name": None},
        {"name": 5},
        {"type": []},
        {"createdTime": "yesterday"},
        {"createdTime": True},
        {"tenantId": None},
    ],
)
def test_a_device_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        Device.from_json({**DEVICE, **change})
    assert next(iter(change)) in caught.value.message


@pytest.mark.parametrize("document", [None, [], "text", 5, {}])
@pytest.mark.parametrize("kind", [Device, Asset, Plugin, Rule, Credentials, User, LifecycleEvent])
def test_nothing_is_read_from_the_wrong_type(kind: Any, document: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        kind.from_json(document)


def test_credentials_do_not_show_their_token() -> None:
    document = {
        "id": {"id": ID},
        "deviceId": {"entityType": "DEVICE", "id": ID},
        "credentialsType": "ACCESS_TOKEN",
        "credentialsId": "v9IhwDhl4FEsJrfoMoAn",
        "credentialsValue": None,
    }
    credentials = Credentials.from_json(document)
    assert credentials.token.reveal() == "v9IhwDhl4FEsJrfoMoAn"
    assert "v9Ihw" not in repr(credentials)
    certificate = Credentials.from_json({**document, "credentialsType": "X509_CERTIFICATE"})
    with pytest.raises(InvalidRequest, match="X509_CERTIFICATE"):
        _ = certificate.token


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EVENT["body"]["error"], "a.B: outer; c.D: inner"),
        ("just this", "just this"),
        ("a.B: x c.D: inner\nCaused by: c.D: inner", "a.B: x c.D: inner"),
        (None, "the server gives no reason"),
        ("\n \n", "the server gives no reason"),
        ("x" * 5000, "x" * 400 + "…"),
    ],
)
def test_the_reason_of_a_failed_start(error: str | None, reason: str) -> None:
    event = LifecycleEvent.from_json({**EVENT, "body": {**EVENT["body"], "error": error}})
    assert not event.success
    assert event.reason == reason


def test_a_reader_names_what_is_wrong() -> None:
    with pytest.raises(UnexpectedAnswer, match="describes a thing with nothing where 'name' should be a text"):
        Reader({}, "thing").text("name")
