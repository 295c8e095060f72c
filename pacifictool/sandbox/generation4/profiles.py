"""Device and asset profiles. A device's `type` is its profile's name; an unknown type creates a profile."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from pacifictool.sandbox.generation4.documents import ASSET_PROFILE, DEVICE_PROFILE, Document, Documents
from pacifictool.sandbox.generation4.refusals import DATABASE
from pacifictool.sandbox.refusals import PlatformRefusal

DEFAULT = "default"

RACE_SECONDS: Final = 0.05
"""How long a request takes to create a profile. Another that looks for it meanwhile creates it, too, and fails."""

_DEFAULT_DATA = {
    "configuration": {"type": "DEFAULT"},
    "transportConfiguration": {"type": "DEFAULT"},
    "provisionConfiguration": {"type": "DISABLED", "provisionDeviceSecret": None},
    "alarms": None,
}
_COMMON: Document = {
    "name": "",
    "description": None,
    "image": None,
    "default": False,
    "defaultRuleChainId": None,
    "defaultDashboardId": None,
    "defaultQueueName": None,
    "defaultEdgeRuleChainId": None,
    "externalId": None,
}
_DEVICE_ONLY: Document = {
    "type": "DEFAULT",
    "transportType": "DEFAULT",
    "provisionType": "DISABLED",
    "profileData": _DEFAULT_DATA,
    "provisionDeviceKey": None,
    "firmwareId": None,
    "softwareId": None,
}
TEMPLATES: dict[str, Document] = {DEVICE_PROFILE: {**_COMMON, **_DEVICE_ONLY}, ASSET_PROFILE: _COMMON}
"""All fields of a profile with their defaults."""


def profile_kind(kind: str) -> str:
    """The kind of profile that a DEVICE or ASSET has."""
    return DEVICE_PROFILE if kind == "DEVICE" else ASSET_PROFILE


class Profiles:
    """Finds or creates profiles by name."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get_or_create(self, kind: str, tenant: str, name: str) -> Document:
        """The profile of a type of DEVICE or ASSET; "" is the default one. A new one is not committed yet."""
        profiles = profile_kind(kind)
        found = self._documents.find_by_name(profiles, tenant, name or DEFAULT)
        if found is not None:
            return found
        content: dict[str, Any] = TEMPLATES[profiles] | {
            "name": name or DEFAULT,
            "default": (name or DEFAULT) == DEFAULT,
        }
        return self._documents.create(profiles, tenant, content)

    async def get_or_create_in_a_race(self, kind: str, tenant: str, name: str) -> Document:
        """Like `get_or_create`, for an entity that is created or gets another type.

        Raises the 500 refusal when another request has created the profile since this one looked for it
        (docs/servers/2.x-3.x.md#devices-and-assets, row 2).
        """
        profiles = profile_kind(kind)
        if self._documents.find_by_name(profiles, tenant, name or DEFAULT) is None:
            await asyncio.sleep(RACE_SECONDS)
            if self._documents.find_by_name(profiles, tenant, name or DEFAULT) is not None:
                raise PlatformRefusal(500, "Database error", DATABASE)
        return self.get_or_create(kind, tenant, name)

    def default_rule_chain(self, tenant: str, type_: str) -> str | None:
        """The rule chain that messages of devices of a type enter instead of the root chain."""
        found = self._documents.find_by_name(DEVICE_PROFILE, tenant, type_)
        chain = None if found is None else found["defaultRuleChainId"]
        return None if chain is None else str(chain["id"])
