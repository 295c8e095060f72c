from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import pytest

from pacifictool.analytics.sinks.rest import CONNECTIONS, LISTED_FROM, Entity, RestSink
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    PacificToolError,
    PlatformUnreachable,
    ServerFault,
)
from pacifictool.rest.entities import Asset
from tests.support.recorders import RecordingCallback
from tests.support.scenarios import window_result as result
from tests.support.waiting import wait_until


class FaultyPlatform:
    """Faults on demand; the end-to-end tests use the real client and platform."""

    def __init__(self) -> None:
        self.assets: dict[str, Asset] = {}
        self.written: dict[str, list[tuple[int, Mapping[str, float]]]] = defaultdict(list)
        self.failing: dict[str, PacificToolError] = {}
        self.asked: list[str] = []
        self.created: list[tuple[str, str]] = []
        self.listed = self.handed_over = 0
        self.busy = 0
        self.busiest = 0
        self.delay = 0.0
        self._lock = threading.Lock()

    def find(self, name: str) -> Asset | None:
        with self._lock:
            self._ask(name)
            return self.assets.get(name)

    def create(self, name: str, type: str) -> Asset:  # noqa: A002
        with self._lock:
            self._ask(name)
            if name in self.assets:
                raise AlreadyExists("Asset with such name already exists!")
            self.created.append((name, type))
            return self.assets.setdefault(name, Asset(str(uuid.uuid4()), name, 1, "tenant", {}, type))

    def get_or_create(self, name: str, type: str) -> Asset:  # noqa: A002
        return self.find(name) or self.create(name, type)

    def list(self, type: str) -> Iterator[Asset]:  # noqa: A002
        self.listed += 1
        for each in [each for each in self.assets.values() if each.type == type]:
            self.handed_over += 1
            yield each

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name in self.failing:
            raise self.failing[name]

    def write(self, entity: Entity, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        time.sleep(self.delay)
        with self._lock:
            self.busy -= 1
            if entity not in self.assets.values():
                raise NotFound("Asset with requested id wasn't found!")
            self.written[str(entity.id)] += rows


class Written:
    """Takes telemetry to the platform that has the entity."""

    def __init__(self, *platforms: FaultyPlatform) -> None:
        self._platforms = platforms

    def write(self, entity: Entity, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        next(each for each in self._platforms if entity in each.assets.values()).write(entity, rows)


def sink(platform: FaultyPlatform) -> RestSink:
    return RestSink({"asset": platform}, platform, url="http://x", entity_type="WeatherStation")


def test_each_zone_gets_its_asset_and_its_windows_in_one_post() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    results = [result("A", 10_000, 1.0), result("B", 10_000), result("A", 20_000, 2.0)]
    sink(platform).deliver(results, book)

    assert sorted(platform.created) == [("A", "WeatherStation"), ("B", "WeatherStation")]
    assert platform.written[str(platform.assets["A"].id)] == [
        (10_000, {"windSpeed": 1.0}),
        (20_000, {"windSpeed": 2.0}),
    ]
    assert sorted(book.accepted_results, key=repr) == sorted(results, key=repr)


def test_an_asset_is_looked_up_once_and_made_again_when_it_was_deleted() -> None:
    platform = FaultyPlatform()
    rest = sink(platform)
    rest.deliver([result("A")], RecordingCallback())
    rest.deliver([result("A", 20_000)], RecordingCallback())
    assert len(platform.created) == 1

    del platform.assets["A"]
    book = RecordingCallback()
    rest.deliver([result("A", 30_000)], book)
    assert len(platform.created) == 2
    assert platform.written[str(platform.assets["A"].id)] == [(30_000, {"windSpeed": 2.5})]
    assert book.accepted_results == [result("A", 30_000)]


def test_new_zones_are_not_looked_for_and_known_ones_are_not_created() -> None:
    platform = FaultyPlatform()
    rest = sink(platform)
    for number in range(100):
        rest.deliver([result(f"new {number}")], RecordingCallback())
    assert len(platform.asked) == 100 + 2

    again = sink(platform)
    platform.asked.clear()
    for number in range(100):
        again.deliver([result(f"new {number}", 20_000)], RecordingCallback())
    assert len(platform.asked) == 100
    assert len(platform.created) == 100

    book = RecordingCallback()
    again.deliver([result("newer")], book)
    again.deliver([result("new 7", 30_000)], book)
    assert len(book.accepted_results) == 2


def test_an_asset_that_somebody_made_meanwhile_is_taken() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    rest = sink(platform)
    rest.deliver([result("first")], book)
    theirs = platform.create("second", "Building")
    rest.deliver([result("second")], book)

    assert platform.written[str(theirs.id)] == [(10_000, {"windSpeed": 2.5})]
    assert len(book.accepted_results) == 2


def test_zones_are_written_at_once_but_not_too_many() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    platform.delay = 0.05
    sink(platform).deliver([result(f"Z{n}") for n in range(40)], book)

    assert len(book.accepted_results) == 40
    assert 1 < platform.busiest <= CONNECTIONS


def test_many_entities_are_looked_up_in_the_list_of_all() -> None:
    platform = FaultyPlatform()
    for number in range(LISTED_FROM):
        platform.create(f"Z{number}", "WeatherStation" if number else "Other type")
    platform.asked.clear()
    first, second = RecordingCallback(), RecordingCallback()
    rest = sink(platform)
    rest.deliver([result(f"Z{number}") for number in range(LISTED_FROM + 1)], first)
    rest.deliver([result(f"Z{number}", 20_000) for number in range(LISTED_FROM + 1)], second)

    assert len(first.accepted_results) == len(second.accepted_results) == LISTED_FROM + 1
    assert platform.listed == 1
    assert set(platform.asked) == {"Z0", f"Z{LISTED_FROM}"}
    assert [name for name, _ in platform.created[LISTED_FROM:]] == [f"Z{LISTED_FROM}"]


def test_the_list_of_a_platform_with_many_more_entities_is_not_read_to_its_end() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    for number in range(10 * LISTED_FROM):
        platform.create(f"Other {number}", "WeatherStation")
    sink(platform).deliver([result(f"Z{number}") for number in range(LISTED_FROM)], book)

    assert len(book.accepted_results) == LISTED_FROM
    assert platform.handed_over <= 6 * LISTED_FROM


def test_few_entities_are_looked_up_one_by_one() -> None:
    platform = FaultyPlatform()
    sink(platform).deliver([result(f"Z{number}") for number in range(LISTED_FROM - 1)], RecordingCallback())
    assert platform.listed == 0


def test_a_platform_that_responds_slowly_is_given_more_at_once() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    platform.delay = 0.1
    more = RestSink({"asset": platform}, platform, url="http://p", entity_type="T", connections=40)
    more.deliver([result(f"Z{n}") for n in range(80)], book)

    assert len(book.accepted_results) == 80
    assert CONNECTIONS < platform.busiest <= 40


def test_what_is_written_during_a_report_is_reported_together() -> None:
    platform = FaultyPlatform()
    calls: list[int] = []

    class SlowCallback(RecordingCallback):
        def accepted(self, results: Iterable[WindowResult]) -> None:
            some = list(results)
            wait_until(lambda: len(platform.written) == 10)  # all that are sent at once
            calls.append(len(some))
            super().accepted(some)

    book = SlowCallback()
    sink(platform).deliver([result(f"Z{n}") for n in range(10)], book)
    assert len(book.accepted_results) == 10
    assert len(calls) < 5


def test_a_failing_zone_does_not_keep_the_others_from_being_written() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    platform.failing["Z3"] = ServerFault("The platform failed.")
    with pytest.raises(ServerFault):
        sink(platform).deliver([result(f"Z{n}") for n in range(30)], book)

    assert len(book.accepted_results) == 29


def test_a_platform_that_is_down_is_not_asked_for_every_zone() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    platform.failing = {f"Z{n}": PlatformUnreachable("The platform does not respond.") for n in range(500)}
    with pytest.raises(PlatformUnreachable):
        sink(platform).deliver([result(f"Z{n}") for n in range(500)], book)

    assert len(platform.asked) <= 3 * CONNECTIONS
    assert book.accepted_results == []


def test_a_name_that_the_platform_refuses_is_reported_as_refused() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    platform.failing["bad"] = InvalidRequest("Asset name is bad.")
    platform.failing["GOOD"] = AlreadyExists("The name is taken.")
    sink(platform).deliver([result("bad"), result("good"), result("GOOD")], book)

    assert book.refusals == {"bad": "Asset name is bad.", "GOOD": "The name is taken."}
    assert [accepted.entity for accepted in book.accepted_results] == ["good"]


def test_a_login_that_fails_says_nothing_about_the_results() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    error = InvalidRequest("The platform refused POST /api/auth/login.", status=400)
    error.during_login = True
    platform.failing["A"] = error
    with pytest.raises(InvalidRequest):
        sink(platform).deliver([result("A")], book)
    assert (book.refusals, book.accepted_results) == ({}, [])


def test_a_closed_sink_leaves_the_rest_undelivered() -> None:
    platform, book = FaultyPlatform(), RecordingCallback()
    rest = sink(platform)
    rest.close()
    rest.close()
    with pytest.raises(PacificToolError):
        rest.deliver([result("A")], book)
    assert book.accepted_results == []


def test_an_entity_gets_the_results_of_all_its_analytics_and_of_its_kind_alone() -> None:
    assets, devices, book = FaultyPlatform(), FaultyPlatform(), RecordingCallback()
    both = {"asset": assets, "device": devices}
    hourly = dataclasses.replace(result("A", 3_600_000), analytics="hours", values={"readings": 7, "mean": 1.5})
    own = dataclasses.replace(result("A"), analytics="devices", entity_kind="device", values={"gust": 9.0})
    kinds = RestSink(both, Written(assets, devices), url="http://x", entity_type="WeatherStation")
    kinds.deliver([result("A"), own, hourly], book)

    assert assets.written[str(assets.assets["A"].id)] == [
        (10_000, {"windSpeed": 2.5}),
        (3_600_000, {"readings": 7, "mean": 1.5}),
    ]
    assert devices.written[str(devices.assets["A"].id)] == [(10_000, {"gust": 9.0})]
    assert len(book.accepted_results) == 3
