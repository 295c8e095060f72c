"""Devices and the credentials by which they log in over MQTT."""

from __future__ import annotations

from pacifictool.errors import InvalidRequest, NotFound
from pacifictool.rest.entities import Credentials, Device
from pacifictool.rest.named import NamedEntities
from pacifictool.rest.session import segment
from pacifictool.settings import Secret


class Devices(NamedEntities[Device]):
    """The tenant's devices."""

    _entity = Device
    _path = "/api/device"
    _tenant_path = "/api/tenant/devices"
    _name_parameter = "deviceName"

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
        # Without a version (3.8 and later) ours wins, whoever changed the credentials since they were read.
        document = {
            **{key: value for key, value in current.raw.items() if key != "version"},
            "credentialsType": "ACCESS_TOKEN",
            "credentialsId": token.reveal(),
            "credentialsValue": None,
        }
        return Credentials.from_json(
            self._session.request("POST", f"{self._path}/credentials", json=document, repeatable=True, expect=dict)
        )
