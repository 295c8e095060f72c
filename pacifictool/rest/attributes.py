"""Attributes: values of a device or asset that are not time series.

There are three scopes. SERVER_SCOPE and SHARED_SCOPE are set over REST. CLIENT_SCOPE is what a device says about
itself: a server responds with 400 to everybody else (docs/servers/1.x.md#attributes-over-rest, row 2). So it is set
over MQTT or HTTP with the device's access token, and only read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pacifictool.errors import InvalidRequest, UnexpectedAnswer
from pacifictool.rest.entities import AnyEntity, telemetry_path
from pacifictool.rest.http import Session
from pacifictool.rest.values import Value, encode_object

CLIENT_SCOPE = "CLIENT_SCOPE"
SERVER_SCOPE = "SERVER_SCOPE"
SHARED_SCOPE = "SHARED_SCOPE"
SCOPES = (CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE)


class AttributeEntry(NamedTuple):
    """One attribute as the server keeps it."""

    key: str
    value: Any
    """With its type: a number, text, true or false, or whatever JSON holds."""
    updated_ms: int | None
    """When it was last written, in ms since the epoch; None when the server does not say."""


class Attributes:
    """Reads and writes attributes. Usable from many threads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, entity: AnyEntity, scope: str | None = None, keys: Sequence[str] | None = None) -> dict[str, Any]:
        """Attributes by key, with their types. Without `scope`: of all scopes; which one a key is from is not known.

        With `keys`, only those; keys that do not exist are left out.
        """
        return {entry.key: entry.value for entry in self.entries(entity, scope, keys)}

    def entries(
        self, entity: AnyEntity, scope: str | None = None, keys: Sequence[str] | None = None
    ) -> list[AttributeEntry]:
        """As `get`, with the time of the last change."""
        path = f"{telemetry_path(entity)}/values/attributes"
        if scope is not None:
            path += f"/{_checked(scope)}"
        params: dict[str, str] = {}
        if keys is not None:
            if not keys:
                return []
            params["keys"] = ",".join(keys)
        found = []
        for item in self._session.request("GET", path, params=params, expect=list):
            if not isinstance(item, dict) or not isinstance(item.get("key"), str) or "value" not in item:
                raise UnexpectedAnswer("The server lists an attribute without a key or value.")
            updated = item.get("lastUpdateTs")
            found.append(AttributeEntry(item["key"], item["value"], updated if isinstance(updated, int) else None))
        return found

    def set_server(self, entity: AnyEntity, values: Mapping[str, Value]) -> None:
        """Sets attributes that only the server side sees."""
        self._set(entity, SERVER_SCOPE, values)

    def set_shared(self, entity: AnyEntity, values: Mapping[str, Value]) -> None:
        """Sets attributes that the device may read."""
        self._set(entity, SHARED_SCOPE, values)

    def delete(self, entity: AnyEntity, scope: str, keys: Sequence[str]) -> None:
        """Deletes attributes; unknown keys are not an error."""
        if keys:
            path = f"{telemetry_path(entity)}/{_checked(scope)}"
            self._session.request("DELETE", path, params={"keys": ",".join(keys)})

    def _set(self, entity: AnyEntity, scope: str, values: Mapping[str, Value]) -> None:
        if values:
            body = encode_object(values).encode("ascii")
            self._session.request("POST", f"{telemetry_path(entity)}/attributes/{scope}", body=body, repeatable=True)


def _checked(scope: str) -> str:
    if scope not in SCOPES:
        raise InvalidRequest(f"{scope!r} is not an attribute scope.", hint=f"Use one of {', '.join(SCOPES)}.")
    return scope
