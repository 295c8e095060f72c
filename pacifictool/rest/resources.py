"""Devices and assets: both are found by an exact name that is unique within the tenant."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pacifictool.errors import AlreadyExists, InvalidRequest, NotFound, UnexpectedAnswer
from pacifictool.rest.creation import check_names, create_idempotently, name_changed
from pacifictool.rest.entities import Asset, Credentials, Device
from pacifictool.rest.http import VERSION_CONFLICT, Session, segment
from pacifictool.rest.paging import Paging
from pacifictool.settings import Secret

Entity = TypeVar("Entity", Device, Asset)


class NamedResources(Generic[Entity]):
    """Lists, finds, creates, updates and deletes resources of one kind. Subclasses say which."""

    _entity: type[Entity]
    _path: ClassVar[str]
    """Singular, for example /api/device."""
    _tenant_path: ClassVar[str]
    """Plural, for example /api/tenant/devices."""
    _name_parameter: ClassVar[str]

    def __init__(self, session: Session, paging: Callable[[], Paging]) -> None:
        self._session = session
        self._paging = paging
        self._types: set[str] = set()
        """Types of which something was created."""
        self._creating = threading.Lock()

    def list(self, type: str | None = None, text_search: str | None = None) -> Iterator[Entity]:  # noqa: A002
        """Every one of them, page by page. `text_search` keeps names that begin with it, whatever the case."""
        params: dict[str, str] = {}
        if type is not None:
            params["type"] = type
        if text_search:
            params["textSearch"] = text_search
        paging = self._paging()
        beginning = (text_search or "").lower() if paging.searches_anywhere else ""
        for item in paging.items(self._session, self._tenant_path, params):
            entity = self._entity.from_json(item)
            if entity.name.lower().startswith(beginning):
                yield entity

    def find(self, name: str) -> Entity | None:
        """The one of exactly that name (case and spaces count), or None."""
        found = self._find_alike(name)
        return found if found is not None and found.name == name else None

    def _find_alike(self, name: str) -> Entity | None:
        """What the server finds by `name`: some databases compare texts without regard to case or trailing spaces."""
        if not name:
            return None
        try:
            document = self._session.request("GET", self._tenant_path, params={self._name_parameter: name}, expect=dict)
        except NotFound:
            return None
        return self._entity.from_json(document)

    def get(self, entity_id: str) -> Entity:
        """The one with that UUID. Raises NotFound."""
        return self._entity.from_json(self._session.request("GET", f"{self._path}/{segment(entity_id)}", expect=dict))

    def create(self, name: str, type: str, additional_info: Mapping[str, Any] | None = None) -> Entity:  # noqa: A002
        """Creates one. Raises AlreadyExists when the name is taken, whatever the type, NameChanged when the server
        keeps another name.

        When the connection breaks in the middle, looks the name up before trying again, and adopts what it finds if it
        is of that type and no older than the call.
        """
        document: dict[str, Any] = {"name": name, "type": type}
        if additional_info is not None:
            document["additionalInfo"] = dict(additional_info)

        def find_like_this() -> Entity | None:
            found = self.find(name)
            return found if found is not None and found.type == type else None

        def create() -> Entity:
            return create_idempotently(self._session, self._path, document, self._entity.from_json, find_like_this)

        try:
            return self._first_of_type_alone(type, create)
        except AlreadyExists as error:
            raise AlreadyExists(
                f"The {self._entity.noun} {name!r} already exists at {self._session.url}.",
                hint=f"Use another name, or the {self._entity.noun} that is there.",
                **error.details,
            ) from error

    def get_or_create(self, name: str, type: str, additional_info: Mapping[str, Any] | None = None) -> Entity:  # noqa: A002
        """The one of that name, created with `type` if there is none.

        One that exists is returned as it is, whatever its type; so is one that somebody else creates meanwhile.
        Raises NameChanged when the server keeps another name, or takes the name for another.
        """
        found = self.find(name)
        return found if found is not None else self.create_or_get(name, type, additional_info)

    def create_or_get(self, name: str, type: str, additional_info: Mapping[str, Any] | None = None) -> Entity:  # noqa: A002
        """Like `get_or_create`, with one request less when the name is free."""
        try:
            return self.create(name, type, additional_info)
        except AlreadyExists:
            found = self._find_alike(name)
            if found is None:
                raise
            if found.name != name:
                raise name_changed(self._session, name, found.name, found.id, "there before") from None
            return found

    def change_type(self, entity: Entity, type: str) -> Entity:  # noqa: A002
        """Gives it another type; everything else stays."""
        # Where a type is the name of a profile (later generations), a given profile takes precedence over the type.
        profile = {key: None for key in ("deviceProfileId", "assetProfileId") if key in entity.raw}
        return self._first_of_type_alone(type, lambda: self.update(entity, type=type, **profile))

    def _first_of_type_alone(self, type: str, change: Callable[[], Entity]) -> Entity:  # noqa: A002
        """What `change` returns, which gives something this type. The first waits for nobody, and all others for it: a
        server may make the profile of the type with it, and refuse a second request that does the same
        (docs/servers/2.x-3.x.md#devices-and-assets, row 2)."""
        with self._creating:
            if type not in self._types:
                first = change()
                self._types.add(type)
                return first
        return change()

    def update(self, entity: Entity, **changes: Any) -> Entity:
        """Saves it with changed fields, named as in the platform's JSON; everything else stays.

        When somebody else has changed it since it was read, it is read again and saved with the changes once more.
        Raises NameChanged when the server keeps another name or type than `changes` say.
        """
        try:
            saved = self._save({**entity.raw, **changes})
        except InvalidRequest as error:
            if error.status != VERSION_CONFLICT:
                raise
            saved = self._save({**self.get(entity.id).raw, **changes})
        updated = self._entity.from_json(saved)
        if updated.id != entity.id:
            raise UnexpectedAnswer(
                f"The server saved {entity.name!r} under another id ({updated.id} instead of {entity.id})."
            )
        check_names(self._session, changes, saved, entity.id, "changed just now")
        return updated

    def _save(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return self._session.request("POST", self._path, json=document, repeatable=True, expect=dict)

    def delete(self, entity_id: str) -> None:
        """Deletes it with all its data. Raises NotFound when there is none (but not when a repeat finds it gone)."""
        self._session.request("DELETE", f"{self._path}/{segment(entity_id)}")

    def types(self) -> builtins.list[str]:
        """Every type that is in use."""
        items = self._session.request("GET", f"{self._path}/types", expect=list)
        found = [item.get("type") for item in items if isinstance(item, dict)]
        if len(found) != len(items) or not all(isinstance(item, str) for item in found):
            raise UnexpectedAnswer(f"The server lists the types of its {self._entity.noun}s in an unknown form.")
        return [str(item) for item in found]


class Assets(NamedResources[Asset]):
    """The tenant's assets."""

    _entity = Asset
    _path = "/api/asset"
    _tenant_path = "/api/tenant/assets"
    _name_parameter = "assetName"


class Devices(NamedResources[Device]):
    """The tenant's devices, and the credentials by which they log in over MQTT."""

    _entity = Device
    _path = "/api/device"
    _tenant_path = "/api/tenant/devices"
    _name_parameter = "deviceName"

    def created_by(self, gateway: Device) -> set[str]:
        """The ids of all devices that the gateway has created."""
        relations = self._session.request(
            "GET", "/api/relations", params={"fromId": gateway.id, "fromType": gateway.entity_type}, expect=list
        )
        return {
            str(relation["to"].get("id"))
            for relation in relations
            if isinstance(relation, dict) and relation.get("type") == "Created" and isinstance(relation.get("to"), dict)
        }

    def credentials(self, device_id: str) -> Credentials:
        """What the device identifies itself with. Raises NotFound."""
        return Credentials.from_json(
            self._session.request("GET", f"{self._path}/{segment(device_id)}/credentials", expect=dict)
        )

    def token(self, device_id: str) -> Secret:
        """The device's access token. Raises NotFound; InvalidRequest when it uses a certificate instead."""
        return self.credentials(device_id).token

    def token_by_name(self, name: str) -> Secret:
        """The access token of the device of that name. Raises NotFound."""
        device = self.find(name)
        if device is None:
            raise NotFound(f"There is no device {name!r} at {self._session.url}.", hint="Names are case-sensitive.")
        return self.token(device.id)

    def set_token(self, device_id: str, token: Secret) -> Credentials:
        """Gives the device another access token; a session that is open with the old one is closed by the server.

        Raises AlreadyExists when another device has that token.
        """
        if not token.reveal():
            raise InvalidRequest("An access token cannot be empty.")
        current = self.credentials(device_id)
        # Without a version (3.8 and later) ours take precedence, whoever changed the credentials since they were read.
        document = {
            **{key: value for key, value in current.raw.items() if key != "version"},
            "credentialsType": "ACCESS_TOKEN",
            "credentialsId": token.reveal(),
            "credentialsValue": None,
        }
        return Credentials.from_json(
            self._session.request("POST", f"{self._path}/credentials", json=document, repeatable=True, expect=dict)
        )
