from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pacifictool.analytics.delivery import Delivery
from pacifictool.analytics.sinks import gateway
from pacifictool.analytics.sinks.gateway_messages import PAYLOAD_BYTES
from pacifictool.analytics.sinks.stored import StoredResults
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import UNITS, WindowResult
from pacifictool.errors import MqttError, NotFound, PacificToolError, PlatformUnreachable
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.progress import SILENT
from pacifictool.settings import Secret
from pacifictool.tools.threads import start_thread
from tests.support.gateway_platform import CONNECT, TELEMETRY, GatewayPlatform, MakeSink, deliver_all
from tests.support.mqtt_peer import Reaction, Received, ScriptedPeer
from tests.support.recorders import RecordingCallback
from tests.support.scenarios import mean_in, mean_rules, partial
from tests.support.scenarios import window_result as result
from tests.support.waiting import SOON_SECONDS, wait_until


def test_every_zone_becomes_a_device_of_the_type_once_a_session(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    sink, book = make_sink(), RecordingCallback()
    sink.deliver([result("A"), result("B", mean=7.0)], book)
    sink.deliver([result("A", 20_000, 3.5), result("C", 20_000)], book)

    assert sorted(platform.connects) == [(name, "WeatherStation", 1) for name in "ABC"]
    assert platform.written == {"A": [(10_000, 2.5), (20_000, 3.5)], "B": [(10_000, 7.0)], "C": [(20_000, 2.5)]}
    assert platform.messages[0] == {
        "A": [{"ts": 10_000, "values": {"windSpeed": 2.5}}],
        "B": [{"ts": 10_000, "values": {"windSpeed": 7.0}}],
    }
    assert book.entities == {"A", "B", "C"}
    assert sink.target == f"gateway mqtt://127.0.0.1:{platform.peer.port} as Analytics Gateway"


def test_nothing_counts_before_every_device_is_acknowledged(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    sink, book = make_sink(), RecordingCallback()
    platform.poison = {"B"}
    sink.deliver([result("A")], RecordingCallback())
    platform.poison = set()
    sink.deliver([result("B"), result("C")], RecordingCallback())
    platform.poison = {"B"}

    with pytest.raises(MqttError, match=r"did not acknowledge .* for 'A', 'B', 'C' within 0.5 s") as caught:
        sink.deliver([result("A", 20_000), result("B", 20_000), result("C", 20_000)], book)
    assert failure_of(caught.value) is Failure.UNCONFIRMED
    assert book.accepted_results == []
    assert platform.peer.connections == 1


def test_a_server_that_responds_once_for_a_message(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    platform.per_device = False
    book = RecordingCallback()
    make_sink(acks_per_device=False).deliver([result("A"), result("B")], book)
    assert book.entities == {"A", "B"}
    assert len(platform.messages) == 1


@pytest.mark.parametrize("per_device", [True, False])
def test_a_server_of_which_that_is_not_known(platform: GatewayPlatform, make_sink: MakeSink, per_device: bool) -> None:
    platform.per_device = per_device
    book = RecordingCallback()
    make_sink(acks_per_device=None).deliver([result(f"Z{n}") for n in range(300)], book)
    assert len(book.entities) == 300
    assert [len(message) for message in platform.messages] == [1] * 300


def test_acknowledgements_out_of_order(peer: ScriptedPeer, make_sink: MakeSink) -> None:
    held: list[int] = []

    def react(message: Received) -> Reaction:
        if message.topic == CONNECT:
            return Reaction.ACKNOWLEDGE
        held.extend([message.packet_id] * len(json.loads(message.payload)))
        return Reaction.IGNORE

    def release() -> None:
        # Only some at first: no result of a message may be accepted while an acknowledgement is missing.
        while len(held) < 1500:
            time.sleep(0.01)
        for packet_id in reversed(held):
            peer.send_to_all(struct.pack("!BBH", 0x42, 2, packet_id))

    peer.on_publish = react
    book = RecordingCallback()
    thread = threading.Thread(target=release)
    thread.start()
    make_sink(acknowledgement_seconds=5.0).deliver([result(f"Zone {n:04d}") for n in range(1500)], book)
    thread.join()
    telemetry = [message for message in peer.received if message.topic == TELEMETRY]
    assert len(telemetry) == 2
    assert len(book.accepted_results) == 1500
    assert book.accepted_results[0].entity == next(iter(json.loads(telemetry[1].payload)))


def test_a_big_batch_is_cut_and_no_zone_is_in_flight_twice(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    results = [result(f"Zone {zone:04d}", n * 10_000, n + zone / 8) for n in range(1, 4) for zone in range(2000)]
    book = RecordingCallback()
    make_sink(acknowledgement_seconds=20.0).deliver(results, book)

    assert len(platform.messages) >= 8
    assert all(len(json.dumps(message, separators=(",", ":"))) <= PAYLOAD_BYTES for message in platform.messages)
    assert platform.written == {
        f"Zone {zone:04d}": [(n * 10_000, n + zone / 8) for n in range(1, 4)] for zone in range(2000)
    }
    assert (
        len(book.accepted_results)
        == len(results)
        == len({(result.entity, result.window_end_ms) for result in book.accepted_results})
    )
    for message in platform.messages:
        for rows in message.values():
            timestamps = [row["ts"] for row in rows]
            assert timestamps == [30_000] or 30_000 not in timestamps


def test_a_corrected_window_and_the_newest_again_arrive_in_that_order(
    platform: GatewayPlatform, make_sink: MakeSink
) -> None:
    book = RecordingCallback()
    sink = make_sink()
    sink.deliver([result("A", 10_000), result("A", 20_000)], book)
    platform.written.clear()
    sink.deliver([result("A", 10_000, 9.5), result("A", 20_000)], book)
    assert platform.written["A"] == [(10_000, 9.5), (20_000, 2.5)]


def test_the_job_delivers_again_what_was_not_acknowledged(
    platform: GatewayPlatform, make_sink: MakeSink, tmp_path: Path
) -> None:
    rules = mean_rules()
    store = StateStore(tmp_path / "state.sqlite", rules)
    sums = [partial(f"Z{zone}", end, 1, 5 * UNITS) for zone in range(50) for end in (10_000, 20_000)]
    store.apply(BatchOutcome((), sums, valid=100))
    platform.close_at = 2
    threading.Timer(0.3, lambda: setattr(platform, "close_at", None)).start()
    delivery = Delivery(store, make_sink(), rules.analytics, reporter=SILENT)
    assert delivery.deliver_due(None, threading.Event()) == 100
    assert store.due(None, 10) == []
    for zone in range(50):
        assert platform.written[f"Z{zone}"][-1] == (20_000, 5.0)
    store.close()


def test_a_device_that_cannot_be_made_keeps_no_other_from_arriving(
    platform: GatewayPlatform, make_sink: MakeSink
) -> None:
    sink, book = make_sink(acknowledgement_seconds=0.7), RecordingCallback()
    platform.poison = {"Zone 07"}
    with pytest.raises(MqttError, match="for 'Zone 07' within"):
        sink.deliver([result(f"Zone {n:02d}") for n in range(30)], book)
    assert len(book.entities) == 29


def test_names_that_no_device_can_have_are_refused(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    book = RecordingCallback()
    longest = "x" * 255
    odd = ["Zo\"ne '/\\ ü 风", "\t", longest]
    make_sink().deliver([result(zone) for zone in ("", longest + "x", "\ud800", *odd)], book)
    assert set(book.refusals) == {"", longest + "x", "\ud800"}
    assert book.entities == set(odd) == set(platform.written)


def test_only_names_that_are_refused_need_no_session(peer: ScriptedPeer, make_sink: MakeSink) -> None:
    make_sink().deliver([result("")], RecordingCallback())
    assert peer.connections == 0


def test_a_refused_token_is_looked_up_again(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    tokens = iter(["old", "new"])
    asked: list[str] = []

    def connack(user_name: str, _connection: int) -> int:
        asked.append(user_name)
        return 5 if user_name == "old" else 0

    platform.peer.on_connect = connack
    sink, book = make_sink(token=lambda: Secret(next(tokens))), RecordingCallback()
    with pytest.raises(MqttError, match="refused the access token of device 'Analytics Gateway'"):
        sink.deliver([result("A")], book)
    sink.deliver([result("A")], book)
    assert asked == ["old", "new"]
    assert book.entities == {"A"}


def test_a_gateway_that_is_gone_is_reported(make_sink: MakeSink) -> None:
    def gone() -> Secret:
        raise NotFound("There is no gateway device.")

    with pytest.raises(NotFound):
        make_sink(token=gone).deliver([result("A")], RecordingCallback())


def test_a_platform_that_is_away(make_sink: MakeSink, peer: ScriptedPeer) -> None:
    sink = make_sink()
    peer.close()
    with pytest.raises(MqttError, match="Nothing listens"):
        sink.deliver([result("A")], RecordingCallback())


def test_a_session_that_ended_between_deliveries_is_opened_again(
    platform: GatewayPlatform, make_sink: MakeSink
) -> None:
    sink, book = make_sink(keepalive_seconds=1), RecordingCallback()
    sink.deliver([result("A")], book)
    platform.peer.drop_all()
    time.sleep(0.7)
    sink.deliver([result("A", 20_000)], book)
    assert platform.peer.connections == 2
    assert len(book.accepted_results) == 2


def test_closing_ends_a_running_delivery_soon(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    sink, book = make_sink(acknowledgement_seconds=60.0), RecordingCallback()
    platform.poison = {"A"}
    errors: list[BaseException] = []

    def run() -> None:
        try:
            sink.deliver([result("A")], book)
        except PacificToolError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: platform.peer.received)
    sink.close()
    thread.join(SOON_SECONDS)
    assert not thread.is_alive()
    assert [str(error) for error in errors] == ["The delivery was stopped."]
    with pytest.raises(PacificToolError, match="stopped"):
        sink.deliver([result("B")], book)
    assert book.accepted_results == []


def test_the_end_is_polite_and_leaves_no_thread(platform: GatewayPlatform, make_sink: MakeSink) -> None:
    sink = make_sink()
    sink.deliver([result("A")], RecordingCallback())
    sink.close()
    wait_until(lambda: platform.peer.disconnects)
    assert not [thread for thread in threading.enumerate() if thread.name == "gateway-keep-alive" and thread.is_alive()]


class Store(StoredResults):
    """What a server with a queue shows: nothing, until a test lets it process the queue."""

    def __init__(self, platform: GatewayPlatform) -> None:
        self._platform = platform
        self.is_working = True
        self.dropped: set[str] = set()
        """Zones of which nothing is ever stored."""
        self.asked = 0
        self.error: PacificToolError | None = None

    def among(self, results: Sequence[WindowResult]) -> list[WindowResult]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [
            result
            for result in results
            if self.is_working
            and result.entity not in self.dropped
            and (result.window_end_ms, mean_in(result)) in self._platform.written[result.entity]
        ]


@pytest.fixture
def store(platform: GatewayPlatform) -> Store:
    platform.per_device = False
    return Store(platform)


def rows_sent(platform: GatewayPlatform) -> int:
    return sum(len(rows) for message in platform.messages for rows in message.values())


def test_what_is_queued_counts_when_it_is_stored(platform: GatewayPlatform, make_sink: MakeSink, store: Store) -> None:
    sink, book = make_sink(acks_per_device=False, stored=store, stored_seconds=5), RecordingCallback()
    store.is_working = False
    thread = threading.Thread(target=sink.deliver, args=([result("A"), result("B")], book))
    thread.start()
    time.sleep(0.4)
    assert len(platform.messages) == 1
    assert book.accepted_results == []
    store.is_working = True
    thread.join(60)
    assert book.entities == {"A", "B"}


def test_what_is_not_stored_is_reported_and_not_sent_again_soon(
    platform: GatewayPlatform, make_sink: MakeSink, store: Store
) -> None:
    sink, book = make_sink(acks_per_device=False, stored=store, stored_seconds=0.3), RecordingCallback()
    store.dropped = {"B"}
    results = [result("A"), result("B"), result("B", 20_000)]
    with pytest.raises(
        MqttError, match=r"acknowledged what .* sent for 'B', but does not show it 0.3 s later"
    ) as caught:
        sink.deliver(results, book)
    assert failure_of(caught.value) is Failure.UNCONFIRMED
    assert book.entities == {"A"}

    assert len(deliver_all(sink, results, book, attempts=2)) == 2
    assert rows_sent(platform) == 3
    store.dropped = set()
    assert deliver_all(sink, results, book) == []
    assert rows_sent(platform) == 3
    assert platform.peer.connections == 1
    assert len(book.accepted_results) == 3


def test_what_is_not_stored_for_long_is_sent_again_with_what_follows(
    platform: GatewayPlatform, make_sink: MakeSink, store: Store
) -> None:
    sink, book = (
        make_sink(acks_per_device=False, stored=store, stored_seconds=0.2, resend_seconds=0.1),
        RecordingCallback(),
    )
    store.dropped = {"B"}
    results = [result("A"), result("B"), result("B", 20_000)]
    assert len(deliver_all(sink, results, book)) == 1
    store.dropped = set()
    assert deliver_all(sink, results, book) == []
    assert platform.written["B"] == [(10_000, 2.5), (20_000, 2.5)] * 2
    # Its device may be gone: it is connected once more.
    assert [name for name, _, _ in platform.connects] == ["A", "B", "B"]


def test_a_corrected_mean_is_sent_though_the_old_one_is_queued(
    platform: GatewayPlatform, make_sink: MakeSink, store: Store
) -> None:
    sink, book = make_sink(acks_per_device=False, stored=store, stored_seconds=0.2), RecordingCallback()
    store.is_working = False
    assert len(deliver_all(sink, [result("A"), result("A", 20_000)], book)) == 1
    store.is_working = True
    sink.deliver([result("A", mean=9.5), result("A", 20_000)], book)
    assert platform.written["A"][-2:] == [(10_000, 9.5), (20_000, 2.5)]


def test_what_was_queued_when_the_session_ended_is_sent_again(
    platform: GatewayPlatform, make_sink: MakeSink, store: Store
) -> None:
    sink, book = make_sink(acks_per_device=False, stored=store, stored_seconds=10), RecordingCallback()
    store.is_working = False

    def drop_once_queued() -> None:
        wait_until(lambda: platform.written)
        platform.peer.drop_all()

    start_thread(drop_once_queued, "drop")
    with pytest.raises(MqttError, match="closed the connection"):
        sink.deliver([result("A")], book)
    platform.written.clear()  # the server lost its queue
    store.is_working = True
    assert deliver_all(sink, [result("A")], book) == []
    assert platform.written == {"A": [(10_000, 2.5)]}
    assert platform.peer.connections == 2


def test_a_platform_that_cannot_be_read_costs_neither_the_session_nor_a_repetition(
    platform: GatewayPlatform, make_sink: MakeSink, store: Store
) -> None:
    sink, book = make_sink(acks_per_device=False, stored=store), RecordingCallback()
    store.error = PlatformUnreachable("Nothing listens.")
    with pytest.raises(PlatformUnreachable):
        sink.deliver([result("A")], book)
    store.error = None
    assert deliver_all(sink, [result("A")], book) == []
    assert rows_sent(platform) == platform.peer.connections == 1


def test_closing_ends_the_wait_for_what_is_queued(platform: GatewayPlatform, make_sink: MakeSink, store: Store) -> None:
    sink = make_sink(acks_per_device=False, stored=store, stored_seconds=60)
    store.is_working = False
    threading.Timer(0.4, sink.close).start()
    began = time.monotonic()
    with pytest.raises(PacificToolError, match="stopped"):
        sink.deliver([result("A")], RecordingCallback())
    assert time.monotonic() - began < SOON_SECONDS


def test_of_two_results_for_one_key_and_time_the_last_is_read_back() -> None:
    """Functions of two groups may give one device a value at the same time."""

    class Readable:
        """Holds what was written last."""

        def among(self, results: Sequence[WindowResult]) -> list[WindowResult]:
            return [each for each in results if dict(each.values) == {"score": 2.0}]

    def scored(group: str, value: float) -> WindowResult:
        return WindowResult("scores", (group,), "device", "Sensor 1", 0, 10_000, 10_000, 3, {"score": value})

    results = [scored("A", 1.0), scored("B", 2.0)]
    assert gateway._stored(Readable(), results) == results
    assert gateway._stored(Readable(), results[:1]) == []
