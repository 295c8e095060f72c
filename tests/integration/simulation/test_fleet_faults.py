"""The fleet against a peer that misbehaves on demand."""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from pacifictool.errors import MqttError, UsageError
from pacifictool.models.config import UniformModel
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.reading import Outcome, Reading
from pacifictool.simulation.summary import FleetSummary
from tests.support.mqtt_peer import Reaction, Received, ScriptedPeer
from tests.support.recorders import RecordingReporter
from tests.support.waiting import SOON_SECONDS, wait_until


def devices(count: int = 1, rate: float = 50.0) -> list[SimulatedDevice]:
    return [
        SimulatedDevice(
            f"Turbine {number}", Secret(f"token-{number}"), {"windSpeed": UniformModel(min=30, max=35)}, rate
        )
        for number in range(1, count + 1)
    ]


def timestamp_and_value(message: Received) -> tuple[int, str]:
    document = json.loads(message.payload)
    return document["ts"], document["values"]["windSpeed"]


def assert_every_reading_has_one_value(messages: list[Received]) -> None:
    values = defaultdict(set)
    for message in messages:
        ts, value = timestamp_and_value(message)
        values[message.user_name, ts].add(value)
    assert all(len(different) == 1 for different in values.values())


@contextmanager
def running(fleet: Fleet) -> Iterator[tuple[threading.Event, Callable[[], FleetSummary]]]:
    """The fleet in a thread: its stop event, and a function that waits for the summary."""
    stop = threading.Event()
    results: list[FleetSummary | BaseException] = []

    def run() -> None:
        try:
            results.append(fleet.run(stop))
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> FleetSummary:
        thread.join(120)
        assert not thread.is_alive()
        (result,) = results
        if isinstance(result, BaseException):
            raise result
        return result

    try:
        yield stop, wait
    finally:
        stop.set()
        thread.join(120)


def test_a_fleet_takes_a_count_of_readings(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    finished: list[Reading] = []
    summary = Fleet(endpoint, devices(2), FleetOptions(count=20, seed=1), on_reading=finished.append).run()
    assert (summary.devices, summary.connected, summary.online) == (2, 2, 0)
    assert (summary.generated, summary.acknowledged, summary.lost, summary.missed) == (40, 40, 0, 0)
    assert summary.complete
    assert 0 < summary.achieved_rate <= 1.1 * summary.target_rate  # a busy machine is slower
    assert len(peer.received) == 40
    assert Counter(message.user_name for message in peer.received) == {"token-1": 20, "token-2": 20}
    assert {message.qos for message in peer.received} == {1}
    by_device = defaultdict(list)
    for message in peer.received:
        by_device[message.user_name].append(timestamp_and_value(message))
    for sent in by_device.values():
        assert [ts for ts, _ in sent] == sorted({ts for ts, _ in sent})
        assert {value for _, value in sent} <= {"30", "31", "32", "33", "34", "35"}
    reported = {
        (reading.device.replace("Turbine ", "token-"), reading.ts_ms, str(reading.values["windSpeed"]))
        for reading in finished
    }
    assert reported == {(message.user_name, *timestamp_and_value(message)) for message in peer.received}
    assert {reading.outcome for reading in finished} == {Outcome.ACKNOWLEDGED}
    peer.close()
    assert peer.disconnects == 2


def test_timestamps_follow_the_system_clock(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    before = time.time() * 1000
    Fleet(endpoint, devices(), FleetOptions(count=10)).run()
    after = time.time() * 1000
    timestamps = [timestamp_and_value(message)[0] for message in peer.received]
    assert before - 2 <= timestamps[0]
    assert timestamps[-1] <= after + 2
    assert all(18 <= later - earlier <= 22 for earlier, later in itertools.pairwise(timestamps))


def test_a_fleet_runs_for_a_duration(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    began = time.monotonic()
    summary = Fleet(endpoint, devices(rate=20), FleetOptions(duration_seconds=1.0)).run()
    assert summary.acknowledged == len(peer.received) == 20
    assert 0 < summary.achieved_rate <= 20.4
    assert time.monotonic() - began < SOON_SECONDS


def test_a_seed_gives_the_same_values_whatever_the_other_devices(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    for fleet in (devices(1), list(reversed(devices(3)))):
        Fleet(endpoint, fleet, FleetOptions(count=15, seed=9)).run()
    runs = defaultdict(list)
    first = max(message.connection for message in peer.received[:15])
    for message in peer.received:
        if message.user_name == "token-1":
            runs[message.connection == first].append(timestamp_and_value(message)[1])
    assert runs[True] == runs[False]
    assert len(runs[True]) == 15


def test_the_tutorials_exact_message(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    summary = Fleet(endpoint, devices(), FleetOptions(count=20, bare=True)).run()
    assert summary.complete
    assert {message.payload for message in peer.received} <= {b'{"windSpeed":"%d"}' % speed for speed in range(30, 36)}


def test_qos_0_sends_once_without_confirmation(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    summary = Fleet(endpoint, devices(3), FleetOptions(count=30, qos=0)).run()
    assert (summary.sent, summary.acknowledged, summary.lost) == (90, 0, 0)
    assert summary.complete
    wait_until(lambda: len(peer.received) == 90)
    assert {message.qos for message in peer.received} == {0}


def test_a_stop_is_quick_and_closes_everything(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    with running(Fleet(endpoint, devices(5), FleetOptions())) as (stop, wait):
        wait_until(lambda: len(peer.received) > 20)
        began = time.monotonic()
        stop.set()
        summary = wait()
    assert time.monotonic() - began < SOON_SECONDS
    assert summary.acknowledged == summary.generated == len(peer.received)
    assert summary.lost == 0
    peer.close()
    assert peer.disconnects == 5


def test_a_stop_waits_briefly_for_acknowledgements_and_lists_missing_ones(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    peer.on_publish = lambda _message: Reaction.IGNORE
    with running(Fleet(endpoint, devices(), FleetOptions())) as (stop, wait):
        wait_until(lambda: len(peer.received) >= 5)
        began = time.monotonic()
        stop.set()
        summary = wait()
    assert 1.3 < time.monotonic() - began < SOON_SECONDS
    assert summary.acknowledged == 0
    assert summary.lost == summary.generated == len(peer.received)
    first = summary.losses[0]
    assert (first.device, first.number) == ("Turbine 1", 0)
    assert (first.ts_ms, str(first.values["windSpeed"])) == timestamp_and_value(peer.received[0])
    assert first.reason == "not acknowledged before the end of the run"


@pytest.mark.parametrize("reaction", [Reaction.ACKNOWLEDGE_IN_PIECES, Reaction.ACKNOWLEDGE_TWICE])
def test_acknowledgements_in_pieces_or_repeated(peer: ScriptedPeer, endpoint: MqttEndpoint, reaction: Reaction) -> None:
    peer.on_publish = lambda _message: reaction
    summary = Fleet(endpoint, devices(), FleetOptions(count=10)).run()
    assert (summary.acknowledged, summary.resent, summary.lost) == (10, 0, 0)


def test_without_an_acknowledgement_the_same_reading_is_sent_again(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    ignored: set[bytes] = set()

    def ignore_every_third_the_first_time(message: Received) -> Reaction:
        # None of the last ones: a run does not wait long for them at its end.
        if len(peer.received) % 3 == 0 and len(peer.received) <= 60 and message.payload not in ignored:
            ignored.add(message.payload)
            return Reaction.IGNORE
        return Reaction.ACKNOWLEDGE

    peer.on_publish = ignore_every_third_the_first_time
    options = FleetOptions(count=150, ack_timeout_seconds=1.0)
    summary = Fleet(endpoint, devices(), options).run()
    assert (summary.generated, summary.acknowledged, summary.lost) == (150, 150, 0)
    assert summary.resent == len(ignored) > 5
    assert summary.reconnects == 0
    assert Counter(message.payload for message in peer.received) == {
        message.payload: 2 if message.payload in ignored else 1 for message in peer.received
    }


def test_a_late_acknowledgement_of_the_first_sending_counts_once(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    def acknowledge_the_first_when_it_is_repeated(message: Received) -> Reaction:
        if len(peer.received) == 1:
            return Reaction.IGNORE
        if message.payload == peer.received[0].payload:
            peer.send_to_all(b"\x42\x02" + peer.received[0].packet_id.to_bytes(2))
            return Reaction.IGNORE
        return Reaction.ACKNOWLEDGE

    peer.on_publish = acknowledge_the_first_when_it_is_repeated
    finished: list[Reading] = []
    options = FleetOptions(count=60, ack_timeout_seconds=1.0)
    summary = Fleet(endpoint, devices(), options, on_reading=finished.append).run()
    assert summary.acknowledged == len(finished) == 60
    assert {reading.number for reading in finished} == set(range(60))
    assert summary.resent == 1


def test_a_reading_that_is_never_acknowledged_is_given_up(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    poor: list[bytes] = []

    def ignore_the_third(message: Received) -> Reaction:
        if len(peer.received) == 3:
            poor.append(message.payload)
        return Reaction.IGNORE if message.payload in poor else Reaction.ACKNOWLEDGE

    peer.on_publish = ignore_the_third
    options = FleetOptions(count=100, ack_timeout_seconds=0.3, give_up_after_seconds=1.0)
    summary = Fleet(endpoint, devices(), options).run()
    assert (summary.acknowledged, summary.lost, summary.missed) == (99, 1, 0)
    (lost,) = summary.losses
    assert lost.payload == poor[0]
    assert lost.reason == "not acknowledged within 1 s"
    assert Counter(message.payload for message in peer.received)[lost.payload] >= 3
    assert not summary.complete


def test_a_device_waits_at_the_in_flight_limit_and_catches_up(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    release = threading.Event()

    def hold(_message: Received) -> Reaction:
        release.wait(60)
        return Reaction.ACKNOWLEDGE

    peer.on_publish = hold
    options = FleetOptions(count=60, max_in_flight=5)
    with running(Fleet(endpoint, devices(rate=50), options)) as (_, wait):
        time.sleep(0.8)
        release.set()
        summary = wait()
    assert (summary.acknowledged, summary.missed, summary.resent) == (60, 0, 0)
    assert summary.lag_p99_ms is not None
    assert summary.lag_p99_ms > 400


def test_a_slow_platform_is_not_flooded_and_all_devices_get_their_share(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    most = 0

    def slow(_message: Received) -> Reaction:
        nonlocal most
        most = max(most, fleet.snapshot().unconfirmed)
        time.sleep(0.002)  # at most 500 readings a second, of 2,000
        return Reaction.ACKNOWLEDGE

    peer.on_publish = slow
    options = FleetOptions(count=50, max_in_flight_of_fleet=8)
    fleet = Fleet(endpoint, devices(20, rate=100), options)
    with running(fleet) as (_, wait):
        wait_until(lambda: fleet.snapshot().acknowledged > 400)
        received = Counter(message.user_name for message in peer.received)
        summary = wait()
    assert most <= 8
    assert (summary.acknowledged, summary.missed, summary.lost, summary.resent) == (1000, 0, 0, 0)
    assert len(received) == 20
    assert max(received.values()) <= 3 * min(received.values())


def test_a_dropped_connection_is_reopened_and_nothing_is_lost(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    with running(Fleet(endpoint, devices(10), FleetOptions(count=100))) as (_, wait):
        for share in (150, 400):
            wait_until(lambda share=share: len(peer.received) > share)  # type: ignore[misc]
            peer.drop_all()
        summary = wait()
    assert (summary.generated, summary.acknowledged, summary.lost, summary.missed) == (1000, 1000, 0, 0)
    assert summary.reconnects >= 10
    assert len({message.payload + message.user_name.encode() for message in peer.received}) == 1000
    assert_every_reading_has_one_value(peer.received)


def test_a_server_restart_is_waited_out(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    with running(Fleet(endpoint, devices(20), FleetOptions(count=100))) as (_, wait):
        wait_until(lambda: len(peer.received) > 300)
        peer.close()
        time.sleep(1)
        with ScriptedPeer(peer.port) as restarted:
            summary = wait()
            messages = peer.received + restarted.received
    assert (summary.generated, summary.acknowledged, summary.lost, summary.missed) == (2000, 2000, 0, 0)
    assert len({message.payload + message.user_name.encode() for message in messages}) == 2000
    assert_every_reading_has_one_value(messages)


def test_an_outage_until_the_end_lists_losses_and_counts_missed_readings(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    peer.on_publish = lambda message: Reaction.IGNORE if len(peer.received) > 10 else Reaction.ACKNOWLEDGE
    options = FleetOptions(duration_seconds=2, ack_timeout_seconds=1)
    finished: list[Reading] = []
    with running(Fleet(endpoint, devices(), options, on_reading=finished.append)) as (_, wait):
        wait_until(lambda: len(peer.received) > 20)
        peer.close()
        summary = wait()
    assert summary.acknowledged == 10
    assert summary.generated == summary.acknowledged + summary.lost == len(finished)
    assert summary.generated + summary.missed == 100
    assert summary.lost >= 11
    assert len(summary.losses) == summary.lost


def test_readings_due_in_a_long_outage_are_counted_as_missed(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    options = FleetOptions(duration_seconds=4, give_up_after_seconds=0.5)
    with running(Fleet(endpoint, devices(rate=20), options)) as (_, wait):
        wait_until(lambda: len(peer.received) > 10)
        peer.close()
        time.sleep(1.5)
        with ScriptedPeer(peer.port):
            summary = wait()
    assert 5 <= summary.missed < 80
    assert summary.generated + summary.missed == 80
    assert summary.acknowledged + summary.lost == summary.generated


def test_a_device_with_a_count_is_given_up_after_a_long_outage(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    with running(Fleet(endpoint, devices(), FleetOptions(count=1000, give_up_after_seconds=1))) as (_, wait):
        wait_until(lambda: len(peer.received) > 10)
        peer.close()
        summary = wait()
    assert summary.generated + summary.missed == 1000
    assert not summary.complete


def test_a_payload_that_the_platform_refuses_does_not_loop(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda message: Reaction.CLOSE if message.user_name == "token-2" else Reaction.ACKNOWLEDGE
    summary = Fleet(endpoint, devices(3), FleetOptions(count=200)).run()
    assert list(summary.refused) == ["Turbine 2"]
    assert "seems to refuse the payload" in summary.refused["Turbine 2"]
    assert summary.acknowledged == 400
    assert summary.lost > 0
    assert {reading.device for reading in summary.losses} == {"Turbine 2"}
    assert summary.generated + summary.missed == 600
    connections = {message.connection for message in peer.received if message.user_name == "token-2"}
    assert len(connections) == 4


def test_one_poison_message_is_identified_among_good_ones(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    def close_on_the_tenth(message: Received) -> Reaction:
        if message.payload == peer.received[min(9, len(peer.received) - 1)].payload and len(peer.received) >= 10:
            return Reaction.CLOSE
        return Reaction.ACKNOWLEDGE

    peer.on_publish = close_on_the_tenth
    summary = Fleet(endpoint, devices(), FleetOptions(count=50)).run()
    assert list(summary.refused) == ["Turbine 1"]
    assert summary.losses[0].payload == peer.received[9].payload
    # While a message may be the disconnect cause, no other one is in flight that could be it, or be lost with it.
    assert summary.generated < 20
    assert all(reading.resent == 0 for reading in summary.losses[1:])
    alone = [message for message in peer.received if message.connection > 2]
    assert {message.payload for message in alone} == {peer.received[9].payload}


def test_a_poison_message_with_qos_0_does_not_loop_either(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.CLOSE
    summary = Fleet(endpoint, devices(), FleetOptions(qos=0)).run()
    assert list(summary.refused) == ["Turbine 1"]
    # Four sessions that end right after a message; a close of a busy peer comes late, which is unclear, and takes more.
    assert 4 <= peer.connections <= 12


def test_a_refused_token_is_reported_and_the_other_devices_continue(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_connect = lambda user_name, _connection: 5 if user_name == "token-2" else 0
    summary = Fleet(endpoint, devices(3), FleetOptions(count=50)).run()
    assert summary.refused == {"Turbine 2": "The platform refused the access token of device 'Turbine 2'."}
    assert (summary.connected, summary.acknowledged, summary.missed) == (2, 100, 50)
    assert not summary.complete


def test_a_token_revoked_during_the_run(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    revoked = threading.Event()
    peer.on_connect = lambda user_name, _connection: 5 if user_name == "token-1" and revoked.is_set() else 0
    with running(Fleet(endpoint, devices(2), FleetOptions(duration_seconds=2))) as (_, wait):
        wait_until(lambda: len(peer.received) > 30)
        revoked.set()
        # docs/servers/1.x.md#devices, row 10; MQTT 3.1.1 lets only clients send DISCONNECT.
        peer.send_to_all(b"\xe0\x00")
        peer.drop_all()
        summary = wait()
    assert list(summary.refused) == ["Turbine 1"]
    assert summary.acknowledged + summary.lost == summary.generated
    assert summary.acknowledged >= 100
    assert {reading.device for reading in summary.losses} <= {"Turbine 1"}


def test_a_device_that_is_accepted_again_continues(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_connect = lambda user_name, connection: 5 if user_name == "token-2" and connection <= 2 else 0
    options = FleetOptions(duration_seconds=3, refused_retry_seconds=0.5)
    summary = Fleet(endpoint, devices(2, rate=20), options).run()
    assert summary.refused == {}
    assert summary.connected == 2
    assert summary.acknowledged == 120


def test_when_every_token_is_refused_the_run_fails(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_connect = lambda _user_name, _connection: 5
    with pytest.raises(MqttError, match="all 3 devices") as caught:
        Fleet(endpoint, devices(3), FleetOptions(duration_seconds=30)).run()
    assert failure_of(caught.value) is Failure.TOKEN_REFUSED
    with pytest.raises(MqttError, match="refused the access token of device 'Turbine 1'"):
        Fleet(endpoint, devices(1), FleetOptions(duration_seconds=30)).run()


def test_a_server_that_is_not_there_fails_the_run_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(MqttError, match=f"Nothing listens at mqtt://127.0.0.1:{port}"):
        Fleet(MqttEndpoint("127.0.0.1", port), devices()).run()
    assert time.monotonic() - began < SOON_SECONDS


def test_a_server_that_never_responds_to_the_login_fails_the_run(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_connect = lambda _user_name, _connection: None
    with pytest.raises(MqttError, match="did not respond to the MQTT login in time"):
        Fleet(endpoint, devices(), FleetOptions(connect_timeout_seconds=0.5)).run()


def test_a_silent_connection_does_not_delay_a_stop(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_connect = lambda _user_name, _connection: None
    with running(Fleet(endpoint, devices())) as (stop, wait):
        wait_until(lambda: peer.connections == 1)
        began = time.monotonic()
        stop.set()
        summary = wait()
    assert time.monotonic() - began < SOON_SECONDS
    assert (summary.connected, summary.generated, summary.missed) == (0, 0, 0)


def test_there_is_no_thread_per_device_and_everything_is_closed(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    process = psutil.Process()
    threads_before = {thread.ident for thread in threading.enumerate()}
    descriptors_before = process.num_fds()
    names: set[str] = set()
    with running(Fleet(endpoint, devices(60, rate=5), FleetOptions(duration_seconds=1))) as (_, wait):
        wait_until(lambda: len(peer.received) > 60)
        names = {thread.name for thread in threading.enumerate() if thread.ident not in threads_before}
        summary = wait()
    assert summary.complete
    own = {name for name in names if name != "scripted-peer"}
    assert len(own) <= 9
    wait_until(lambda: process.num_fds() <= descriptors_before)
    assert {thread.name for thread in threading.enumerate() if thread.ident not in threads_before} <= {"scripted-peer"}


def test_an_exception_of_the_callback_ends_the_run_and_closes_everything(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    def fail(_reading: Reading) -> None:
        raise ZeroDivisionError

    peer.on_publish = lambda _message: Reaction.ACKNOWLEDGE if len(peer.received) > 50 else Reaction.IGNORE
    with pytest.raises(ZeroDivisionError):
        Fleet(endpoint, devices(10), FleetOptions(count=10), on_reading=fail).run()
    wait_until(lambda: peer.disconnects == 10)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fleet-connector")]


@pytest.mark.parametrize("acknowledged", [0, 5], ids=["from the start", "after readings that were acknowledged"])
def test_a_connection_that_went_silent_is_detected_and_replaced(
    peer: ScriptedPeer, endpoint: MqttEndpoint, acknowledged: int
) -> None:
    peer.responds_to_pings = False

    def fall_silent(message: Received) -> Reaction:
        is_silent = message.connection == 1 and len(peer.received) > acknowledged
        return Reaction.IGNORE if is_silent else Reaction.ACKNOWLEDGE

    peer.on_publish = fall_silent
    summary = Fleet(endpoint, devices(rate=10), FleetOptions(count=40, keepalive_seconds=1)).run()
    assert summary.acknowledged == 40
    assert summary.reconnects == 1
    assert summary.lost == 0


def test_an_idle_connection_is_kept_alive(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    options = FleetOptions(count=2, keepalive_seconds=1, jitter=False)
    summary = Fleet(endpoint, devices(rate=0.4), options).run()
    assert (summary.acknowledged, summary.reconnects) == (2, 0)


def test_outages_are_reported_once(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    reporter = RecordingReporter()
    with running(Fleet(endpoint, devices(5), FleetOptions(count=100), reporter)) as (_, wait):
        wait_until(lambda: len(peer.received) > 50)
        peer.close()
        time.sleep(0.6)
        with ScriptedPeer(peer.port):
            wait()
    lost, *others = reporter.messages("info", "warning")
    # How many have noticed when it is reported depends on the machine's load.
    assert re.fullmatch(rf"[1-5] of 5 devices lost {re.escape(str(endpoint))}; reconnecting\.", lost)
    assert others == ["All devices are connected again."]
    assert [(task.done, task.total) for task in reporter.tasks] == [(500, 500)]


def test_a_spawn_rate_spreads_the_connections(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    times: list[float] = []

    def note(_user_name: str, _connection: int) -> int:
        times.append(time.monotonic())
        return 0

    peer.on_connect = note
    Fleet(endpoint, devices(20), FleetOptions(count=1, spawn_rate=20)).run()
    assert 0.5 < times[-1] - times[0] < SOON_SECONDS


def test_a_snapshot_shows_the_running_fleet(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    fleet = Fleet(endpoint, devices(4))
    assert fleet.snapshot().online == 0
    with running(fleet) as (stop, wait):
        wait_until(lambda: len(peer.received) > 100)
        snapshot = fleet.snapshot()
        stop.set()
        wait()
    assert (snapshot.devices, snapshot.online) == (4, 4)
    assert 0 < snapshot.achieved_rate < 260
    assert json.loads(json.dumps(snapshot.as_document()))["acknowledged"] == snapshot.acknowledged > 80


@pytest.mark.parametrize(
    "wrong",
    [
        {"qos": 2},
        {"count": 0},
        {"duration_seconds": 0},
        {"spawn_rate": -1},
        {"max_in_flight": 0},
        {"max_in_flight_of_fleet": 0},
    ],
)
def test_invalid_options(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        FleetOptions(**wrong)  # type: ignore[arg-type]


def test_invalid_fleets() -> None:
    endpoint = MqttEndpoint("127.0.0.1", 1)
    with pytest.raises(UsageError, match="no device"):
        Fleet(endpoint, [])
    with pytest.raises(UsageError, match="same name"):
        Fleet(endpoint, devices(1) + devices(1))
