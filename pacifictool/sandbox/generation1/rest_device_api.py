"""The HTTP device API: `/api/v1/{token}/…` (docs/servers/1.x.md#http-device-api)."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.devices import SandboxDevice, SandboxDevices, requested_attributes
from pacifictool.sandbox.generation1.device_api import (
    ATTRIBUTES,
    TELEMETRY,
    parse_message,
)
from pacifictool.sandbox.generation1.engine import RuleEngine
from pacifictool.sandbox.http import Api, empty_response, json_response, read_body
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.refusals import FrameworkRefusal, TextRefusal
from pacifictool.sandbox.values import PayloadRefused

TIMEOUT_SECONDS = 60.0
"""http.request_timeout of a server (docs/servers/1.x.md#http-device-api, row 2)."""


class HttpDeviceController1:
    """Telemetry and attributes over HTTP; they run through the rules like those over MQTT."""

    def __init__(self, devices: SandboxDevices, engine: RuleEngine) -> None:
        self._devices = devices
        self._engine = engine

    def add_routes(self, api: Api) -> None:
        api.open_route(("POST",), "/api/v1/{token}/telemetry", lambda request: self._publish(request, TELEMETRY))
        api.open_route(("POST",), "/api/v1/{token}/attributes", lambda request: self._publish(request, ATTRIBUTES))
        api.open_route(("GET",), "/api/v1/{token}/attributes", self._attributes)

    def _device(self, request: Request) -> SandboxDevice:
        device = self._devices.by_token(request.path_params["token"])
        if device is None:
            raise TextRefusal(401)
        return device

    async def _publish(self, request: Request, topic: str) -> Response:
        device = self._device(request)
        body = await read_body(request)
        try:
            message = parse_message(topic, body)
        except PayloadRefused:
            raise TextRefusal(400) from None
        result: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def done(error: str | None) -> None:
            if not result.done():
                result.set_result(error)

        self._engine.process(device, message, now_ms(), done)
        try:
            failure = await asyncio.wait_for(result, TIMEOUT_SECONDS)
        except TimeoutError:
            failure = "timed out"
        if failure is not None:
            # A server responds only when its timeout is over (docs/servers/1.x.md#http-device-api, row 2).
            raise FrameworkRefusal(
                503,
                "No message available",
                "org.springframework.web.context.request.async.AsyncRequestTimeoutException",
            )
        return empty_response()

    async def _attributes(self, request: Request) -> Response:
        query = request.query_params
        found = requested_attributes(self._device(request), query.get("clientKeys"), query.get("sharedKeys"))
        return json_response(found)
