from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from pacifictool.analytics.sinks.stored import DeviceReader
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import NotFound, UnexpectedAnswer
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Device, Platform, Session
from pacifictool.rest.entity_query import DEVICES_PER_REQUEST, DeviceQueries
from pacifictool.settings import Secret
from tests.support.scenarios import window_result as result
from tests.support.scripted_platform import Reply, ScriptedPlatform

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data", options=("--generation", "4")) as process:
        yield process


@pytest.fixture
def platform(sandbox: SandboxProcess) -> Iterator[Platform]:
    with Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"))) as platform:
        yield platform


@pytest.fixture(params=["queries", "a server before 3.1", "latest values that queries do not show"])
def reader(request: pytest.FixtureRequest, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> DeviceReader:
    def missing(*_: object) -> None:
        raise NotFound("No message available")

    if request.param == "a server before 3.1":
        monkeypatch.setattr(DeviceQueries, "latest", missing)
        monkeypatch.setattr(DeviceQueries, "names", missing)
    elif request.param != "queries":
        monkeypatch.setattr(DeviceQueries, "latest", lambda _self, ids, _key: dict.fromkeys(ids))
    return DeviceReader(platform)


def zones(count: int) -> list[str]:
    group = next(_numbers)
    return [f"Zone {group}.{n}" for n in range(count)]


def store(platform: Platform, results: Iterable[WindowResult]) -> list[Device]:
    devices = []
    for one in results:
        device = platform.devices.get_or_create(one.entity, "WeatherStation")
        platform.telemetry.write(device, [(one.window_end_ms, one.values)])
        devices.append(device)
    return devices


@pytest.mark.parametrize("count", [3, 30])
def test_what_is_stored_is_found(platform: Platform, reader: DeviceReader, count: int) -> None:
    names = zones(count)
    wanted = [result(zone, mean=n / 7) for n, zone in enumerate(names)]
    store(platform, wanted[1:])
    assert sorted(reader.among(wanted), key=wanted.index) == wanted[1:]
    store(platform, wanted[:1])
    assert sorted(reader.among(wanted), key=wanted.index) == wanted


def test_a_device_without_values_is_not_found(platform: Platform, reader: DeviceReader) -> None:
    [zone] = zones(1)
    platform.devices.create(zone, "WeatherStation")
    assert reader.among([result(zone)]) == []


def test_older_windows_are_found_behind_the_latest(platform: Platform, reader: DeviceReader) -> None:
    [zone] = zones(1)
    store(platform, [result(zone, 10_000, 1.5), result(zone, 30_000, 3.5)])
    wanted = [result(zone, 10_000, 1.5), result(zone, 20_000), result(zone, 30_000, 3.5), result(zone, 40_000)]
    assert sorted(reader.among(wanted), key=wanted.index) == [wanted[0], wanted[2]]


def test_another_mean_is_not_the_one(platform: Platform, reader: DeviceReader) -> None:
    [zone] = zones(1)
    store(platform, [result(zone, 10_000, 1.5), result(zone, 20_000, 2.5)])
    assert reader.among([result(zone, 10_000, 1.25), result(zone, 20_000, 2.25)]) == []


def test_all_values_of_a_result_must_be_there(platform: Platform, reader: DeviceReader) -> None:
    """A correction may leave the first one as it was, as a late record does with most maxima."""
    [zone] = zones(1)
    before = [
        replace(result(zone, end), values={"highest": 9.0, "mean": mean})
        for end, mean in ((10_000, 1.5), (20_000, 2.5))
    ]
    store(platform, before)
    assert sorted(reader.among(before), key=before.index) == before
    corrected = [replace(one, values={**one.values, "mean": 3.25}) for one in before]
    assert reader.among(corrected) == []
    assert reader.among([corrected[0], before[1]]) == [before[1]]


@pytest.mark.parametrize("mean", [7.0, 0.0, -1.5, 1e-9, 1e9, 0.1 + 0.2, 100 / 3, 12345678.123456789])
def test_any_number_is_recognised(platform: Platform, reader: DeviceReader, mean: float) -> None:
    [zone] = zones(1)
    store(platform, [result(zone, mean=mean)])
    assert reader.among([result(zone, mean=mean)]) == [result(zone, mean=mean)]


def test_a_device_that_was_deleted_and_made_again(platform: Platform, reader: DeviceReader) -> None:
    [zone] = zones(1)
    [device] = store(platform, [result(zone)])
    assert reader.among([result(zone)]) == [result(zone)]
    platform.devices.delete(device.id)
    assert reader.among([result(zone)]) == []
    store(platform, [result(zone, 20_000)])
    reader.among([result(zone, 20_000)])
    assert reader.among([result(zone, 20_000)]) == [result(zone, 20_000)]


def test_a_thousand_devices_cost_one_request(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    names = zones(30)
    wanted = [result(zone) for zone in names]
    store(platform, wanted)
    reader = DeviceReader(platform)
    assert len(reader.among(wanted)) == 30
    asked: list[str] = []
    request = Session.request

    def counted(self: Session, method: str, path: str, **more: object) -> object:
        asked.append(path)
        return request(self, method, path, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Session, "request", counted)
    assert len(reader.among(wanted)) == 30
    assert asked == ["/api/entitiesQuery/find"]
    assert DEVICES_PER_REQUEST >= 1000


def test_a_response_of_another_form_is_reported() -> None:
    with ScriptedPlatform() as server:
        server.on("POST", "/api/entitiesQuery/find", Reply(json={"data": [{"latest": {}}]}))
        session = Session(server.url, "tenant@thingsboard.org", Secret("tenant"))
        queries = DeviceQueries(session)
        with pytest.raises(UnexpectedAnswer, match="unknown form"):
            queries.latest(["x"], "windSpeed")
        with pytest.raises(UnexpectedAnswer, match="unknown form"):
            list(queries.names())
        session.close()
