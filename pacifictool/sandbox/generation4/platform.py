"""A complete 4.x platform: store, rule engine, REST application and device API."""

from __future__ import annotations

from starlette.applications import Starlette

from pacifictool.sandbox.alarms import SandboxAlarms
from pacifictool.sandbox.auth import Users
from pacifictool.sandbox.devices import SERVER, SandboxDevices
from pacifictool.sandbox.entities import DEMO_DEVICES, install_demo
from pacifictool.sandbox.faults import Faults
from pacifictool.sandbox.generation4.demo_data import install_rule_chains
from pacifictool.sandbox.generation4.device_api import DeviceApi4
from pacifictool.sandbox.generation4.documents import Documents
from pacifictool.sandbox.generation4.engine import RuleEngine4
from pacifictool.sandbox.generation4.entities import Details, Entities4
from pacifictool.sandbox.generation4.events import EventLog4
from pacifictool.sandbox.generation4.http import Api4
from pacifictool.sandbox.generation4.nodes import Tools
from pacifictool.sandbox.generation4.profiles import Profiles
from pacifictool.sandbox.generation4.rest_alarms import AlarmController4
from pacifictool.sandbox.generation4.rest_auth import AuthController
from pacifictool.sandbox.generation4.rest_device_api import HttpDeviceController4
from pacifictool.sandbox.generation4.rest_entities import EntityController4
from pacifictool.sandbox.generation4.rest_profiles import DashboardController4, ProfileController
from pacifictool.sandbox.generation4.rest_queries import EntityQueryController
from pacifictool.sandbox.generation4.rest_rule_chains import EventController4, RuleChainController
from pacifictool.sandbox.generation4.rest_telemetry import TelemetryController4
from pacifictool.sandbox.generation4.rule_chains import RuleChains
from pacifictool.sandbox.generation4.telemetry import TelemetryStore4
from pacifictool.sandbox.generation4.tokens import TokenIssuer4
from pacifictool.sandbox.ids import IdFactory, now_ms
from pacifictool.sandbox.kafka import LoginProperties
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import AttributeStore


class Platform4:
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
        users = Users(store, ids)
        documents = Documents(store, ids)
        tokens = TokenIssuer4(key, users, documents, access_seconds, refresh_seconds)
        profiles = Profiles(documents)
        entities = Entities4(store, ids, profiles)
        telemetry, attributes = TelemetryStore4(store), AttributeStore(store)
        devices = SandboxDevices(entities, attributes)
        self._engine = RuleEngine4(store, Tools(devices, telemetry, login), profiles, EventLog4(store, ids))
        self._chains = RuleChains(store, ids, documents, self._engine)
        if install_demo(store, users, entities, ids):
            self._install(users.tenant, entities, profiles, devices)
        store.commit()
        self.device_api = DeviceApi4(store, entities, profiles, devices, self._engine, faults)
        api = Api4(tokens, faults)
        AuthController(store, users, tokens, documents).add_routes(api)
        RuleChainController(self._chains).add_routes(api)
        ProfileController(store, documents, entities, profiles, self._engine).add_routes(api)
        DashboardController4(store, documents).add_routes(api)
        TelemetryController4(store, entities, devices, telemetry, attributes, self.device_api, faults).add_routes(api)
        EntityQueryController(store, telemetry).add_routes(api)
        EventController4(store).add_routes(api)
        AlarmController4(store, SandboxAlarms(store, ids), entities).add_routes(api)
        HttpDeviceController4(devices, self.device_api).add_routes(api)
        EntityController4(store, entities, documents, profiles, devices, telemetry, self.device_api, faults).add_routes(
            api
        )
        self.application: Starlette = api.application()

    def _install(self, tenant: str, entities: Entities4, profiles: Profiles, devices: SandboxDevices) -> None:
        for kind in ("DEVICE", "ASSET"):
            profiles.get_or_create(kind, tenant, "")
        for name, _, _ in DEMO_DEVICES:
            entity = entities.find_by_name("DEVICE", tenant, name)
            assert entity is not None
            entities.save_details(entity, Details())
            devices.put_attributes(devices.for_entity(entity), SERVER, {"active": False}, now_ms())
        install_rule_chains(self._chains, tenant)

    async def start(self) -> None:
        """Starts the rule chains."""
        await self._chains.start()

    def close(self) -> None:
        """Stops the producers and closes the database."""
        self._engine.close()
        self._store.close()
