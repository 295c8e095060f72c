"""The only interface to paho-mqtt: clients for an endpoint and a token, and its failures as MqttError.

Devices speak MQTT 3.1.1 with a clean session; the user name is the access token and there is no password. Two
habits of 1.x deviate from the standard and are accepted by paho: the session-present flag of CONNACK is always 1, and
PUBACK carries the flag bits 0010 (docs/servers/1.x.md#mqtt, rows 1 and 3).
"""

from __future__ import annotations

import secrets
import selectors
import socket
import ssl
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from pacifictool.errors import MqttError
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.tools.connections import TlsServer, explain_certificate

CONNECT_TIMEOUT_SECONDS: Final = 10.0
KEEPALIVE_SECONDS: Final = 30
"""A half-open connection is detected after at most twice this time."""

# How a connection ends, as the end of a sentence.
WENT_SILENT: Final = "the platform went silent"
NOT_ALLOWED_BY_MQTT: Final = "the platform ended it with a message that MQTT 3.1.1 does not allow"
"""Also 1.x after a change of the token: it sends DISCONNECT, which only a client may do in MQTT 3.1.1."""
CLOSED_BY_PLATFORM: Final = "the platform closed the connection"


class Failure(StrEnum):
    """Why there is no MQTT session; `failure_of` reads it from an MqttError."""

    TOKEN_REFUSED = "token-refused"  # noqa: S105 - a kind of failure, not a token
    """CONNACK 4 or 5: retrying soon does not help."""
    SERVER_BUSY = "server-busy"
    """CONNACK 3, or no CONNACK in time."""
    NOT_MQTT = "not-mqtt"
    """CONNACK 1 or 2, or a response that is not MQTT: another kind of server."""
    UNREACHABLE = "unreachable"
    """No TCP connection: refused, no route, unknown host, timeout."""
    TLS = "tls"
    """Certificates or protocol versions do not match."""
    CLOSED = "closed"
    """The platform closed the session."""
    UNCONFIRMED = "unconfirmed"
    """The session is open, but an acknowledgement did not come."""


# paho turns the return codes of MQTT 3.1.1 into reason codes of MQTT 5.
_REASON_TO_CONNACK = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}


def connack_code(reason: ReasonCode) -> int:
    """The MQTT 3.1.1 return code (0-5) behind paho's reason code; 255 for any other."""
    return _REASON_TO_CONNACK.get(reason.value, 255) if reason.value else 0


class _DeviceClient(Client):
    """paho's client with a socket that is made here, and a callback for every PUBACK.

    paho leaves its socket to the garbage collector when a TLS handshake fails, and Nagle's algorithm enabled, which
    delays a reading until the previous one is acknowledged. If paho ever renames the method, its own takes effect.
    """

    on_puback: Callable[[int], None] | None = None

    def _create_socket(self) -> socket.socket:
        source = (self._bind_address, 0) if self._bind_address else None
        sock = socket.create_connection((self._host, self._port), timeout=self._connect_timeout, source_address=source)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl_context is not None:
                # The handshake runs here, within the timeout of the connection.
                return self._ssl_context.wrap_socket(sock, server_hostname=self._host)
        except BaseException:
            sock.close()
            raise
        return sock

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet_id = int.from_bytes(self._in_packet["packet"][:2], "big")
        result = super()._handle_pubackcomp(cmd)
        if self.on_puback is not None:
            self.on_puback(packet_id)
        return result

    def release_socket(self) -> socket.socket | None:
        sock, self._sock = self._sock, None  # otherwise the client would close it when it is collected
        return sock if isinstance(sock, socket.socket) else None


def take_socket(client: Client) -> socket.socket:
    """Takes the socket of a client that got its CONNACK; the client cannot be used afterwards. No byte is lost.

    Must not be called from within one of the client's callbacks.
    """
    assert isinstance(client, _DeviceClient)
    sock = client.release_socket()
    assert sock is not None
    abandon(client)
    return sock


def on_every_puback(client: Client, callback: Callable[[int], None]) -> None:
    """Calls `callback` with the packet id of every PUBACK, also of those that paho ignores.

    paho reports only the first PUBACK of a packet id; a 1.x server sends a gateway one for each device, with one id
    (docs/servers/1.x.md#gateway, row 3).
    """
    assert isinstance(client, _DeviceClient)
    client.on_puback = callback


def build_client(
    endpoint: MqttEndpoint,
    token: Secret,
    *,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    keepalive_seconds: int = KEEPALIVE_SECONDS,
    source_address: str = "",
) -> Client:
    """A paho client that is ready for `reconnect()` and never connects or resends on its own.

    `reconnect()` blocks for the TCP connection and the TLS handshake. Raises MqttError when the TLS files cannot be
    used. Certificates are always verified. `source_address` is the local IP address to connect from; empty: the
    system's choice.
    """
    client = _DeviceClient(
        CallbackAPIVersion.VERSION2,
        # Every 3.1.1 server must accept 1 to 23 letters and digits.
        client_id=f"pt{secrets.token_hex(10)}",
        clean_session=True,
        protocol=MQTTProtocolVersion.MQTTv311,
        # Otherwise paho reconnects with another protocol version after CONNACK 1 and 2, and blocks the event loop.
        reconnect_on_failure=False,
    )
    client.username_pw_set(token.reveal())
    client.connect_timeout = connect_timeout_seconds
    # Callers limit the messages in flight themselves; paho would silently queue those beyond its own limit.
    client.max_inflight_messages = 0
    if endpoint.tls:
        client.tls_set_context(tls_context(endpoint))
    client.connect_async(endpoint.host, endpoint.port, keepalive=keepalive_seconds, bind_address=source_address)
    return client


@lru_cache(maxsize=8)
def tls_context(endpoint: MqttEndpoint) -> ssl.SSLContext:
    """The verifying TLS context of an endpoint; one for all its devices, as loading certificates takes milliseconds."""
    files = endpoint.tls_files
    try:
        context = ssl.create_default_context(cafile=None if files.ca_file is None else str(files.ca_file))
        if files.cert_file is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ValueError) as error:
        raise MqttError(
            f"The TLS files for {endpoint} cannot be used: {error}.",
            hint="--ca-file, --cert-file and --key-file must be PEM files, the key must belong to the certificate.",
            failure=Failure.TLS,
        ) from error
    return context


def read_all(client: Client) -> None:
    """Calls `loop_read` until no bytes are left that TLS has decrypted and a selector would not report."""
    client.loop_read()
    while (sock := client.socket()) is not None and isinstance(sock, ssl.SSLSocket) and sock.pending():
        client.loop_read()


def move_bytes(client: Client, selector: selectors.BaseSelector, seconds: float) -> None:
    """Sends and receives once: waits up to `seconds` until the client can, and does what is possible then.

    `selector` must be empty. Does nothing when the client has no socket any more.
    """
    sock = client.socket()
    if sock is None:
        return
    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.want_write() else 0)
    # paho may replace or close its socket at any time, so it is registered for one call only.
    selector.register(sock.fileno(), wanted)
    try:
        ready = selector.select(seconds)
    finally:
        selector.unregister(sock.fileno())
    for _, events in ready:
        if events & selectors.EVENT_WRITE:
            client.loop_write()
        if events & selectors.EVENT_READ:
            read_all(client)


def abandon(client: Client) -> None:
    """Closes the socket without DISCONNECT and removes the callbacks, so that none is called any more.

    Must not be called from within one of the client's callbacks.
    """
    client.on_connect = client.on_publish = client.on_disconnect = None
    if isinstance(client, _DeviceClient):
        client.on_puback = None
    client.on_socket_close = client.on_socket_register_write = client.on_socket_unregister_write = None
    sock = client.socket()
    if isinstance(sock, socket.socket):
        sock.close()


def open_connection(client: Client, endpoint: MqttEndpoint) -> None:
    """Connects a client of `build_client` (TCP, TLS) and queues CONNECT; blocks up to the connect timeout.

    Raises MqttError.
    """
    try:
        client.reconnect()
    except (OSError, ValueError) as error:
        raise unreachable(endpoint, error) from error


def unreachable(endpoint: MqttEndpoint, error: Exception) -> MqttError:
    """The MqttError for an error that was raised while connecting."""
    if isinstance(error, ssl.SSLCertVerificationError):
        server = TlsServer(str(endpoint), endpoint.host, "--mqtt", "--ca-file")
        message, hint = explain_certificate(error, server)
        return MqttError(message, hint=hint, failure=Failure.TLS)
    if isinstance(error, ssl.SSLError):
        return MqttError(
            f"No TLS session with {endpoint}: {error.reason or error}.",
            hint="Is this the TLS port? Without TLS the address begins with mqtt://. "
            "A server that asks for a certificate needs --cert-file.",
            failure=Failure.TLS,
        )
    if isinstance(error, socket.gaierror):
        return MqttError(
            f"The host of {endpoint} was not found.",
            hint="Check the name given with --mqtt or PACIFICTOOL_MQTT.",
            failure=Failure.UNREACHABLE,
        )
    if isinstance(error, TimeoutError):
        return MqttError(
            f"{endpoint} did not respond in time.",
            hint="Check address and port (--mqtt), and firewalls in between.",
            failure=Failure.UNREACHABLE,
        )
    if isinstance(error, ConnectionRefusedError):
        return MqttError(
            f"Nothing listens at {endpoint}.",
            hint="Start the platform (a local one: pacifictool sandbox up), or name another address with --mqtt.",
            failure=Failure.UNREACHABLE,
        )
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return MqttError(
        f"No connection to {endpoint}: {text}.", hint="Check address and port (--mqtt).", failure=Failure.UNREACHABLE
    )


def refused(endpoint: MqttEndpoint, code: int, device: str) -> MqttError:
    """The MqttError for the CONNACK return code `code` (1-5)."""
    if code in (4, 5):
        return MqttError(
            f"The platform refused the access token of device {device!r}.",
            hint="The token was changed or the device deleted: show it with `pacifictool device token`, "
            "or run `pacifictool setup` again.",
            failure=Failure.TOKEN_REFUSED,
            device=device,
        )
    if code == 3:
        return MqttError(
            f"{endpoint} accepts no sessions at the moment (CONNACK 3).",
            hint="Try again later, or see the platform's log.",
            failure=Failure.SERVER_BUSY,
        )
    return MqttError(
        f"{endpoint} refused an MQTT 3.1.1 session (CONNACK {code}).",
        hint="Is this a device port of the platform?",
        failure=Failure.NOT_MQTT,
    )


def closed(endpoint: MqttEndpoint, device: str, reason: str) -> MqttError:
    """The session of `device` ended unexpectedly; `reason` is the end of a sentence."""
    return MqttError(
        f"The session of device {device!r} at {endpoint} ended: {reason}.",
        hint="The platform closes a connection without a reason when it cannot accept a message.",
        failure=Failure.CLOSED,
        device=device,
    )


def closed_before_login(endpoint: MqttEndpoint, device: str, reason: str) -> MqttError:
    """The connection ended before CONNACK. With TLS 1.3, a server also refuses a client certificate in this way."""
    return MqttError(
        f"The session of device {device!r} at {endpoint} ended before the platform responded to the login: {reason}.",
        hint="A server that asks for a certificate needs --cert-file and --key-file, of an authority that it trusts."
        if endpoint.tls
        else "Is this a device port of the platform? A TLS port needs mqtts:// in --mqtt.",
        failure=Failure.CLOSED,
        device=device,
    )


def no_response(endpoint: MqttEndpoint) -> MqttError:
    """The TCP connection is open, but CONNACK did not come in time."""
    return MqttError(
        f"{endpoint} accepted the connection but did not respond to the MQTT login in time.",
        hint="Is this a device port of the platform? If it is, the platform may be overloaded or stuck.",
        failure=Failure.SERVER_BUSY,
    )


def describe_end(reason: ReasonCode) -> str:
    """How a connection ended, as the end of a sentence; `reason` is what paho passes to `on_disconnect`."""
    if reason.value == 0x8D:
        return WENT_SILENT
    if reason.value == 0x82:
        return NOT_ALLOWED_BY_MQTT
    return CLOSED_BY_PLATFORM


def failure_of(error: MqttError) -> Failure | None:
    """The kind of failure, if `error` was raised by this package."""
    failure = error.details.get("failure")
    return failure if isinstance(failure, Failure) else None
