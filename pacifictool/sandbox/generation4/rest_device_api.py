"""The HTTP device API: `/api/v1/{token}/…` (docs/servers/4.x.md#http-device-api)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.devices import SandboxDevice, SandboxDevices, requested_attributes
from pacifictool.sandbox.generation4.device_api import ATTRIBUTES, TELEMETRY, DeviceApi4, NothingToDo
from pacifictool.sandbox.generation4.http import Api4, json_response
from pacifictool.sandbox.http import empty_response, read_body
from pacifictool.sandbox.refusals import TextRefusal
from pacifictool.sandbox.values import PayloadRefused


class HttpDeviceController4:
    """Telemetry and attributes over HTTP; they run through the rule chains like those over MQTT."""

    def __init__(self, devices: SandboxDevices, device_api: DeviceApi4) -> None:
        self._devices = devices
        self._device_api = device_api

    def add_routes(self, api: Api4) -> None:
        api.open_route(("POST",), "/api/v1/{token}/telemetry", lambda request: self._publish(request, TELEMETRY))
        api.open_route(("POST",), "/api/v1/{token}/attributes", lambda request: self._publish(request, ATTRIBUTES))
        api.open_route(("GET",), "/api/v1/{token}/attributes", self._attributes)

    def _device(self, request: Request) -> SandboxDevice:
        device = self._devices.by_token(request.path_params["token"])
        if device is None:
            raise TextRefusal(401)
        if not self._device_api.admits(device):
            raise TextRefusal(500)
        return device

    async def _publish(self, request: Request, topic: str) -> Response:
        device = self._device(request)
        body = await read_body(request)
        try:
            self._device_api.take(device, topic, body)
        except NothingToDo:
            return empty_response()
        except PayloadRefused:
            raise TextRefusal(
                500, f"java.io.EOFException: End of input at line 1 column {len(body) + 1} path $."
            ) from None
        return empty_response()

    async def _attributes(self, request: Request) -> Response:
        query = request.query_params
        found = requested_attributes(self._device(request), query.get("clientKeys"), query.get("sharedKeys"))
        return json_response(found)
