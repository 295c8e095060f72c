"""The data of a new platform: the published demo devices with their published tokens."""

from __future__ import annotations

from pacifictool.sandbox.auth import Users
from pacifictool.sandbox.entities import Entities
from pacifictool.sandbox.ids import NULL_UUID, IdFactory
from pacifictool.sandbox.store import Store

DEVICES = (
    ("Test Device A1", "A1_TEST_TOKEN", "A"),
    ("Test Device A2", "A2_TEST_TOKEN", "A"),
    ("Test Device A3", "A3_TEST_TOKEN", "A"),
    ("Test Device B1", "B1_TEST_TOKEN", "B"),
    ("Test Device C1", "C1_TEST_TOKEN", "C"),
    ("DHT11 Demo Device", "DHT11_DEMO_TOKEN", ""),
    ("Raspberry Pi Demo Device", "RASPBERRY_PI_DEMO_TOKEN", ""),
)


def install(store: Store, users: Users, entities: Entities, ids: IdFactory) -> bool:
    """Fills a new database; returns False if it was already filled."""
    if store.meta("installed") is not None:
        return False
    customers = {"A": users.customer, "B": str(ids.new()), "C": str(ids.new()), "": NULL_UUID}
    for name, token, customer in DEVICES:
        entities.create("DEVICE", users.tenant, name, "default", customer=customers[customer], token=token)
    store.set_meta("installed", "1")
    return True
