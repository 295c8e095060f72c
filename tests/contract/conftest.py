"""The server under test, and what every test of the contract needs."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from pacifictool.errors import PacificToolError
from pacifictool.rest import Platform
from tests.contract.api import Api
from tests.contract.factories import EntityFactory, Made
from tests.contract.facts import Facts, addresses
from tests.contract.server import FIRST, FOURTH, Server, named_generation, named_server, sandbox_server, version_of
from tests.contract.versions import OBSERVED_1, Version, is_within
from tests.contract.wire import Wire, connected

Connect = Callable[[Made], Wire]

_FACTS = "facts of section "
_DIFFERS = "differs on this version"
_checked: Counter[str] = Counter()
_differing: list[str] = []
_left_behind: list[str] = []


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("contract")
    try:
        named = named_server(folder, os.environ)
    except PacificToolError as error:
        pytest.fail(f"{error.message} {error.hint or ''}", pytrace=False)
    if named is not None:
        yield named
        return
    with sandbox_server(folder, os.environ) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def api(server: Server) -> Api:
    return Api(server.settings)


@pytest.fixture(scope="session")
def factory(server: Server, api: Api) -> Iterator[EntityFactory]:
    factory = EntityFactory(api, spare_the_server=not server.is_sandbox)
    yield factory
    left = factory.clean_up()
    _left_behind.extend(left)
    assert not left, left


@pytest.fixture(scope="session")
def platform(server: Server) -> Iterator[Platform]:
    with Platform.connect(server.settings) as platform:
        yield platform


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    """Opens sessions for devices, which the test's end closes."""
    with contextlib.ExitStack() as wires:
        yield lambda device: wires.enter_context(connected(server.settings.mqtt, device.token))


@pytest.fixture(scope="session")
def version(api: Api) -> Version:
    """That of the server under test; 1.x does not say it, and 1.4 is the one that was observed (docs/servers/index.md#reading-a-row)."""
    return version_of(api, os.environ, default=OBSERVED_1)


@pytest.fixture(scope="session")
def observed_on() -> str:
    """The versions on which the facts of this folder were observed (docs/servers/index.md#reading-a-row)."""
    return OBSERVED_1


@pytest.fixture
def fact(request: pytest.FixtureRequest, version: Version, observed_on: str) -> Iterator[Facts]:
    facts = Facts(version, observed_on)
    if not is_within(version, observed_on):
        # A test may not get on with a server that nobody has seen; what is known of it must hold all the same.
        others = (AssertionError, LookupError, TypeError, ValueError, requests.RequestException)
        request.applymarker(pytest.mark.xfail(raises=others, reason="not observed on this version", strict=False))
    yield facts
    request.node.user_properties.extend((_DIFFERS, text) for text in facts.differing)
    request.node.user_properties.extend((_FACTS + section, str(count)) for section, count in facts.checked.items())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folders = {Path(__file__).parent: FIRST, Path(__file__).parent / "modern": FOURTH}
    try:
        named = named_generation(os.environ)
    except PacificToolError as error:
        raise pytest.UsageError(f"{error.message} {error.hint or ''}") from None
    others = []
    for item in items:
        generation = folders.get(item.path.parent)
        if generation is None:
            continue
        item.add_marker(pytest.mark.kafka)
        if named not in (None, generation):
            others.append(item)
    if others:
        # Tests of another generation do not apply to the named server.
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        for name, value in report.user_properties:
            if name.startswith(_FACTS):
                _checked[name.removeprefix(_FACTS)] += int(str(value))
            elif name == _DIFFERS:
                _differing.append(str(value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _checked:
        terminalreporter.write_line(f"{_checked.total()} facts checked")
        for section, count in sorted(_checked.items()):
            terminalreporter.write_line(f"{count:>6} {addresses(section)}")
    if _differing:
        terminalreporter.write_line(
            f"{len(_differing)} facts differ on this version, on which nobody has observed them:"
        )
    for text in _differing:
        terminalreporter.write_line(text)
    for line in _left_behind:
        terminalreporter.write_line(f"Left behind on the server: {line}")
