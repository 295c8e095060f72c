from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import psutil
import pytest
import trustme

from pacifictool.mqtt import ATTRIBUTES_TOPIC
from pacifictool.mqtt import session as session_module
from pacifictool.mqtt.connection import NOT_ALLOWED_BY_MQTT, Failure, failure_of
from pacifictool.mqtt.session import MqttSession
from pacifictool.settings import MqttEndpoint, TlsFiles
from tests.support.mqtt_peer import Reaction, Received, ScriptedPeer
from tests.support.mqtt_publish import ATTRIBUTES, TOKEN, failure, publish
from tests.support.waiting import SOON_SECONDS, wait_until


def test_a_message_arrives_with_the_token_as_user_name_and_the_session_ends_with_disconnect(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    publish(endpoint)
    peer.close()
    (message,) = peer.received
    assert (message.user_name, message.topic, message.payload, message.qos) == (
        "token-of-turbine-1",
        "v1/devices/me/attributes",
        ATTRIBUTES,
        1,
    )
    assert peer.disconnects == 1


@pytest.mark.parametrize("reaction", [Reaction.ACKNOWLEDGE_IN_PIECES, Reaction.ACKNOWLEDGE_TWICE])
def test_an_acknowledgement_counts_however_it_arrives(
    peer: ScriptedPeer, endpoint: MqttEndpoint, reaction: Reaction
) -> None:
    peer.on_publish = lambda _message: reaction
    with MqttSession(endpoint, TOKEN, device="Wind Turbine 1") as session:
        session.publish(ATTRIBUTES_TOPIC, b"{}")
        session.publish(ATTRIBUTES_TOPIC, b"{}")
    assert len(peer.received) == 2


@pytest.mark.parametrize("code", [4, 5])
def test_a_refused_token_is_reported_with_its_device(peer: ScriptedPeer, endpoint: MqttEndpoint, code: int) -> None:
    peer.on_connect = lambda _user_name, _connection: code
    error = failure(endpoint)
    assert error.message == "The platform refused the access token of device 'Wind Turbine 1'."
    assert failure_of(error) is Failure.TOKEN_REFUSED


def test_a_busy_server_is_not_reported_as_a_refused_token(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_connect = lambda _user_name, _connection: 3
    assert failure_of(failure(endpoint)) is Failure.SERVER_BUSY


@pytest.mark.parametrize("code", [1, 2, 17])
def test_a_server_that_refuses_the_protocol_is_reported(peer: ScriptedPeer, endpoint: MqttEndpoint, code: int) -> None:
    peer.on_connect = lambda _user_name, _connection: code
    assert failure_of(failure(endpoint)) in (Failure.NOT_MQTT, Failure.CLOSED)
    assert peer.connections == 1  # paho would reconnect by itself


def test_a_refused_payload_shows_as_a_closed_connection(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.CLOSE
    error = failure(endpoint)
    assert failure_of(error) is Failure.CLOSED
    assert "'Wind Turbine 1'" in error.message
    assert len(peer.received) == 1


def test_a_missing_acknowledgement_ends_with_the_timeout(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.IGNORE
    began = time.monotonic()
    error = failure(endpoint, timeout_seconds=0.4)
    assert 0.35 < time.monotonic() - began < SOON_SECONDS
    assert failure_of(error) is Failure.UNCONFIRMED
    assert "within 0.4 s" in error.message


def test_a_long_wait_for_an_acknowledgement_is_kept_alive(
    peer: ScriptedPeer, endpoint: MqttEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "KEEPALIVE_SECONDS", 0.2)

    def acknowledge_late(message: Received) -> Reaction:
        puback = bytes([0x42, 2]) + message.packet_id.to_bytes(2)
        threading.Timer(0.5, peer.send_to_all, [puback]).start()
        return Reaction.IGNORE

    peer.on_publish = acknowledge_late
    publish(endpoint)
    peer.close()
    assert peer.pings >= 3
    assert peer.disconnects == 1


def test_bytes_that_are_not_mqtt_end_the_session(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    def speak_http(_message: Received) -> Reaction:
        peer.send_to_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return Reaction.IGNORE

    peer.on_publish = speak_http
    error = failure(endpoint)
    assert failure_of(error) is Failure.CLOSED
    assert NOT_ALLOWED_BY_MQTT in error.message


def test_a_server_that_does_not_respond_to_the_login_ends_with_the_timeout(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    peer.on_connect = lambda _user_name, _connection: None
    assert failure_of(failure(endpoint, timeout_seconds=0.3)) is Failure.SERVER_BUSY


def test_a_port_where_nothing_listens_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    error = failure(MqttEndpoint("127.0.0.1", port))
    assert error.message == f"Nothing listens at mqtt://127.0.0.1:{port}."
    assert error.hint is not None


def test_an_unknown_host_is_reported() -> None:
    error = failure(MqttEndpoint("no-such-host.invalid", 1883))
    assert error.message == "The host of mqtt://no-such-host.invalid:1883 was not found."


def test_no_descriptor_is_left_behind(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    process = psutil.Process()
    publish(endpoint)
    before = process.num_fds()
    peer.on_connect = lambda _user_name, connection: 5 if connection % 2 else 0
    peer.on_publish = lambda _message: Reaction.CLOSE
    for _ in range(20):
        failure(endpoint)
    wait_until(lambda: process.num_fds() <= before)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def tls_peer(authority: trustme.CA, *names: str) -> ScriptedPeer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return ScriptedPeer(tls=context)


def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_tls_with_a_private_authority(authority: trustme.CA, tmp_path: Path) -> None:
    with tls_peer(authority, "127.0.0.1") as peer:
        publish(MqttEndpoint("127.0.0.1", peer.port, tls=True, tls_files=TlsFiles(ca_file(authority, tmp_path))))
        assert len(peer.received) == 1


def test_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    with tls_peer(authority, "127.0.0.1") as peer:
        error = failure(MqttEndpoint("127.0.0.1", peer.port, tls=True))
        assert "certificate" in error.message
        assert failure_of(error) is Failure.TLS
        assert peer.received == []


def test_a_certificate_for_another_host_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    with tls_peer(authority, "platform.example") as peer:
        endpoint = MqttEndpoint("127.0.0.1", peer.port, tls=True, tls_files=TlsFiles(ca_file(authority, tmp_path)))
        assert failure_of(failure(endpoint)) is Failure.TLS
        assert peer.received == []


def test_a_server_that_asks_for_a_client_certificate_gets_it(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    own = authority.issue_cert("turbine.example")
    own_file = tmp_path / "own.pem"
    own.private_key_and_cert_chain_pem.write_to_path(str(own_file))
    ca = ca_file(authority, tmp_path)
    with ScriptedPeer(tls=context) as peer:
        failure(MqttEndpoint("127.0.0.1", peer.port, tls=True, tls_files=TlsFiles(ca)))
        assert peer.received == []
        publish(MqttEndpoint("127.0.0.1", peer.port, tls=True, tls_files=TlsFiles(ca, own_file)))
        assert len(peer.received) == 1


def test_a_port_without_tls_is_explained(peer: ScriptedPeer) -> None:
    error = failure(MqttEndpoint("127.0.0.1", peer.port, tls=True), timeout_seconds=1)
    assert failure_of(error) in (Failure.TLS, Failure.UNREACHABLE)


def test_unusable_tls_files_are_reported(peer: ScriptedPeer, tmp_path: Path) -> None:
    path = tmp_path / "not.pem"
    path.write_text("this is not a certificate")
    error = failure(MqttEndpoint("127.0.0.1", peer.port, tls=True, tls_files=TlsFiles(path)))
    assert "TLS files" in error.message
    assert peer.connections == 0
