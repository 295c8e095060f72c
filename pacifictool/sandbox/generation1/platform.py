"""A complete 1.x platform: store, rule engine, REST application and device API."""

from __future__ import annotations

from starlette.applications import Starlette

from pacifictool.sandbox.alarms import SandboxAlarms
from pacifictool.sandbox.auth import TokenIssuer, Users
from pacifictool.sandbox.devices import SandboxDevices
from pacifictool.sandbox.entities import Entities, install_demo
from pacifictool.sandbox.events import EventLog
from pacifictool.sandbox.faults import Faults
from pacifictool.sandbox.generation1 import rest_auth
from pacifictool.sandbox.generation1.components import Components
from pacifictool.sandbox.generation1.device_api import DeviceApi1
from pacifictool.sandbox.generation1.engine import RuleEngine
from pacifictool.sandbox.generation1.lifecycle import LifecycleService
from pacifictool.sandbox.generation1.rest_alarms import AlarmController1
from pacifictool.sandbox.generation1.rest_components import ComponentController
from pacifictool.sandbox.generation1.rest_dashboards import DashboardController1
from pacifictool.sandbox.generation1.rest_device_api import HttpDeviceController1
from pacifictool.sandbox.generation1.rest_entities import EntityController1
from pacifictool.sandbox.generation1.rest_telemetry import TelemetryController1
from pacifictool.sandbox.http import Api
from pacifictool.sandbox.ids import IdFactory
from pacifictool.sandbox.kafka import LoginProperties
from pacifictool.sandbox.rest_events import EventController
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import AttributeStore, TelemetryStore


class Platform1:
    """Everything behind the two listeners. `start` before serving, `close` after."""

    def __init__(
        self,
        store: Store,
        key: bytes,
        *,
        access_seconds: float,
        refresh_seconds: float,
        faults: Faults,
        login: LoginProperties,
    ) -> None:
        self._store = store
        ids = IdFactory(store.newest())
        self._users = Users(store, ids)
        tokens = TokenIssuer(key, self._users, access_seconds, refresh_seconds)
        entities = Entities(store, ids)
        telemetry, attributes = TelemetryStore(store), AttributeStore(store)
        devices = SandboxDevices(entities, attributes)
        events = EventLog(store, ids)
        components = Components(store, ids)
        if install_demo(store, self._users, entities, ids):
            components.install_demo(self._users.tenant)
        store.commit()
        self._engine = RuleEngine(store, telemetry, devices, events, login)
        self._lifecycle = LifecycleService(store, components, self._engine, events)
        self.device_api = DeviceApi1(store, entities, devices, self._engine)
        api = Api(tokens, faults)
        rest_auth.add_routes(api, self._users, tokens)
        ComponentController(components, self._lifecycle).add_routes(api)
        EntityController1(store, entities, devices, telemetry, self.device_api).add_routes(api)
        TelemetryController1(store, entities, devices, telemetry, attributes, self.device_api).add_routes(api)
        EventController(store).add_routes(api)
        AlarmController1(store, SandboxAlarms(store, ids), entities).add_routes(api)
        DashboardController1(store, ids).add_routes(api)
        HttpDeviceController1(devices, self._engine).add_routes(api)
        self.application: Starlette = api.application()

    async def start(self) -> None:
        """Starts the plugins and rules that are ACTIVE."""
        await self._lifecycle.start()

    def close(self) -> None:
        """Stops the producers and closes the database."""
        self._engine.close()
        self._store.close()
