"""What is on a platform, as its own REST API lists it: for tests that compare before and after, and clean up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.sandbox_clients import Tenant

Snapshot = dict[str, dict[str, Any]]
"""By kind, every entity by id, with all that the server says of it."""

WriteScenario = Callable[..., Path]
"""Writes a scenario; see tests/e2e/conftest.py."""


def snapshot(url: str) -> Snapshot:
    """Every device, asset, plugin and rule, and the client attributes of the devices."""
    tenant = Tenant(url)
    found: Snapshot = {
        "devices": _by_id(tenant.get("/api/tenant/devices?limit=100000")["data"]),
        "assets": _by_id(tenant.get("/api/tenant/assets?limit=100000")["data"]),
        "plugins": _by_id(tenant.get("/api/plugins")),
        "rules": _by_id(tenant.get("/api/rules")),
    }
    found["attributes"] = {
        device: {item["key"]: item["value"] for item in tenant.get(_attributes_path(device))}
        for device in found["devices"]
    }
    return found


def restore(url: str, before: Snapshot) -> None:
    """Deletes everything that was not there before."""
    tenant = Tenant(url)
    now = snapshot(url)
    for kind, path in (("rules", "rule"), ("plugins", "plugin"), ("devices", "device"), ("assets", "asset")):
        for identifier in now[kind].keys() - before[kind].keys():
            tenant.delete(f"/api/{path}/{identifier}")


def with_name(entities: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The entities of that exact name."""
    return [entity for entity in entities.values() if entity["name"] == name]


def _by_id(entities: list[dict[str, Any]]) -> dict[str, Any]:
    return {entity["id"]["id"]: entity for entity in entities}


def _attributes_path(device: str) -> str:
    return f"/api/plugins/telemetry/DEVICE/{device}/values/attributes/CLIENT_SCOPE"
