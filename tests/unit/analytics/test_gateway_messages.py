from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pacifictool.analytics.sinks.gateway_messages import PAYLOAD_BYTES, Message, Packer, connects
from pacifictool.analytics.windows import WindowResult
from tests.support.scenarios import window_result

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)


def results(zone: str, count: int, mean: float = 2.5) -> list[WindowResult]:
    return [window_result(zone, n * 10_000, mean) for n in range(1, count + 1)]


def test_a_connect_names_device_and_type() -> None:
    [message] = connects(['Zo"ne ü'], "WeatherStation")
    assert message.topic == "v1/gateway/connect"
    assert json.loads(message.payload) == {"device": 'Zo"ne ü', "type": "WeatherStation"}


def test_a_message_holds_the_means_of_many_zones_as_plain_decimals() -> None:
    packer = Packer({"Zone A": results("Zone A", 1, 32.5), "Zone B": results("Zone B", 1, 1e-7)})
    message = packer.next()
    assert message is not None
    assert message.topic == "v1/gateway/telemetry"
    assert message.payload == (
        b'{"Zone A":[{"ts":10000,"values":{"windSpeed":32.5}}],"Zone B":[{"ts":10000,"values":{"windSpeed":0.0000001}}]}'
    )
    assert message.entities == ("Zone A", "Zone B")
    assert packer.next() is None


def test_a_whole_number_keeps_its_point() -> None:
    # Longs and doubles of one key do not aggregate together (docs/servers/1.x.md#telemetry-over-rest, row 18).
    message = Packer({"A": results("A", 1, 1e9)}).next()
    assert message is not None
    assert b'"windSpeed":1000000000.0}' in message.payload


def test_older_windows_travel_together_and_the_newest_alone_behind_them() -> None:
    packer = Packer({"A": results("A", 5), "B": results("B", 1)})
    first = packer.next()
    assert first is not None
    assert [(result.entity, result.window_end_ms) for result in first.results] == [
        *(("A", n * 10_000) for n in range(1, 5)),
        ("B", 10_000),
    ]
    assert packer.next() is None
    packer.confirmed(first)
    second = packer.next()
    assert second is not None
    assert [(result.entity, result.window_end_ms) for result in second.results] == [("A", 50_000)]


@given(
    zones=st.dictionaries(NAMES, st.integers(1, 40), min_size=1, max_size=30),
    long_backlog=st.integers(0, 3000),
    order=st.randoms(use_true_random=False),
)
def test_nothing_is_lost_or_doubled_and_no_zone_is_in_flight_twice(
    zones: dict[str, int], long_backlog: int, order: object
) -> None:
    zones[next(iter(zones))] += long_backlog
    given_results = {zone: results(zone, count) for zone, count in zones.items()}
    packer = Packer(given_results)
    in_flight: list[Message] = []
    written: dict[str, list[WindowResult]] = {zone: [] for zone in zones}
    while True:
        while len(in_flight) < 3 and (message := packer.next()) is not None:
            in_flight.append(message)
        if not in_flight:
            break
        names = [zone for message in in_flight for zone in message.entities]
        assert len(names) == len(set(names))
        message = in_flight.pop(order.randrange(len(in_flight)))  # type: ignore[attr-defined]
        assert len(message.payload) <= PAYLOAD_BYTES
        document = json.loads(message.payload)
        assert tuple(document) == message.entities
        for result in message.results:
            written[result.entity].append(result)
        for zone, rows in document.items():
            carried = [result for result in message.results if result.entity == zone]
            assert [row["ts"] for row in rows] == [result.window_end_ms for result in carried]
            assert len(rows) == 1 or carried[-1].window_end_ms < zones[zone] * 10_000
        packer.confirmed(message)
    assert written == given_results


def test_few_messages_for_many_zones() -> None:
    packer = Packer({f"Zone {n:05d}": results(f"Zone {n:05d}", 1) for n in range(10_000)})
    messages = []
    while (message := packer.next()) is not None:
        messages.append(message)
    assert len(messages) <= 11
    assert all(len(message.payload) > 0.9 * PAYLOAD_BYTES for message in messages[:-1])
