"""The server of 4.x under test: one that the environment names, or a sandbox of that generation."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from pacifictool.errors import PacificToolError
from tests.contract.api import Api
from tests.contract.factories import Made
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.modern.wire import ModernConnect, ModernWire, connected
from tests.contract.server import FOURTH, Server, named_server, sandbox_server, version_of
from tests.contract.versions import OBSERVED_4, Version


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("contract-modern")
    try:
        named = named_server(folder, os.environ)
    except PacificToolError as error:
        pytest.fail(f"{error.message} {error.hint or ''}", pytrace=False)
    if named is not None:
        yield named
        return
    with sandbox_server(folder, os.environ, FOURTH) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def api(server: Server) -> Api:
    return Api(server.settings)


@pytest.fixture(scope="session")
def version(api: Api) -> Version:
    """That of the server under test. Raises SettingsError for one before 3.3.3 that the environment does not name."""
    return version_of(api, os.environ, default=None)


@pytest.fixture(scope="session")
def observed_on() -> str:
    """The versions on which the facts of this folder were observed (docs/servers/index.md#reading-a-row)."""
    return OBSERVED_4


@pytest.fixture(scope="session")
def factory(api: Api) -> Iterator[ModernEntityFactory]:
    factory = ModernEntityFactory(api)
    yield factory
    left = factory.clean_up()
    assert not left, f"Left behind on the server: {left}"


@pytest.fixture
def connect(server: Server) -> Iterator[ModernConnect]:
    """Opens sessions for devices, which the test's end closes."""
    with contextlib.ExitStack() as wires:

        def open_one(device: Made) -> ModernWire:
            return wires.enter_context(connected(server.settings.mqtt, device.token))

        yield open_one


@pytest.fixture
def device(factory: ModernEntityFactory) -> Made:
    return factory.device()
