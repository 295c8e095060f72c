"""Attributes: values of a device or asset that are not time series.

There are three scopes. SERVER_SCOPE and SHARED_SCOPE are set over REST. CLIENT_SCOPE is what a device says about
itself: a server responds with 400 to everybody else (docs/servers/1.x.md#attributes-over-rest, row 2). So it is set
over MQTT or HTTP with the device's access token, and only read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pacifictool.errors import InvalidRequest, UnexpectedAnswer
from pacifictool.rest.entities import AnyEntity, telemetry_path
from pacifictool.rest.http import Session
from pacifictool.rest.values import Value, encode_object

CLIENT_SCOPE = "CLIENT_SCOPE"
SERVER_SCOPE = "SERVER_SCOPE"
SHARED_SCOPE = "SHARED_SCOPE"
SCOPES = (CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE)


class Attributes:
    """Reads and writes attributes. Usable from many threads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, entity: AnyEntity, scope: str | None = None, keys: Sequence[str] | None = None) -> dict[str, Any]:
        """Attributes by key, with their types. Without `scope`: of all scopes; which one a key is from is not known.

        With `keys`, only those; keys that do not exist are left out.
        """
        path = f"{telemetry_path(entity)}/values/attributes"
        if scope is not None:
            path += f"/{_checked(scope)}"
        params: dict[str, str] = {}
        if keys is not None:
            if not keys:
                return {}
            params["keys"] = ",".join(keys)
        found: dict[str, Any] = {}
        for item in self._session.request("GET", path, params=params, expect=list):
            if not isinstance(item, dict) or not isinstance(item.get("key"), str) or "value" not in item:
                raise UnexpectedAnswer("The server lists an attribute without a key or value.")
            found[item["key"]] = item["value"]
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
