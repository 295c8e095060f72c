"""Another user of this machine, who attacks the ports, files and processes that the caller names.

Run as root, or through `sudo -n`: it loads its libraries, becomes a user with an unused id, reads one JSON
document on standard input, and prints what was of any use to it.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - looked up by `socket` later, when these files cannot be read any more
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer

UID = 54321
TIMEOUT_SECONDS = 2.0
DEMO_TOKEN = "A1_TEST_TOKEN"
"""Published, of the demo device `Test Device A1` of every sandbox."""
MARK = "mark-of-another-user"
"""Key of smuggled values; it must not appear anywhere."""
GUESSES: tuple[Mapping[str, str], ...] = (
    {},
    *(
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": mechanism,
            "sasl.username": username,
            "sasl.password": "wrong",
        }
        for mechanism in ("PLAIN", "SCRAM-SHA-256")
        for username in ("pacifictool", "broker")
    ),
)

# Spark's network layer: message types of org.apache.spark.network.protocol.Message.
_RPC_REQUEST, _RPC_RESPONSE = 3, 4
_USEFUL_FRAMES = {1: "a block", _RPC_RESPONSE: "a response", 7: "a stream"}
_STREAM_REQUEST = 6


def talk(port: int, data: bytes, *, size: int = 65_536, closes: bool = False) -> bytes:
    """What a port says to `data`, up to its end or silence. `closes`: nobody waits for it."""
    reply = b""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.sendall(data)
            if closes:
                return b""
            while len(reply) < size and (piece := connection.recv(size)):
                reply += piece
    except OSError:
        pass
    return reply


def http(port: int, target: Mapping[str, Any]) -> Iterator[str]:
    """The page, and the published demo login."""
    login = b'{"username":"tenant@thingsboard.org","password":"tenant"}'
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    for request in (
        b"GET / HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n",
        b"GET /watch/snapshot HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n" + host
        + b"Content-Length: %d\r\n\r\n%s" % (len(login), login),
    ):  # fmt: skip
        status = talk(port, request).split(b"\r\n")[0]
        if status.startswith(b"HTTP/") and b" 403 " not in status:
            yield f"{request.split()[1].decode()}: {status.decode()}"


def _mqtt_text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _mqtt(kind: int, body: bytes) -> bytes:
    return bytes((kind, len(body))) + body


def mqtt(port: int, target: Mapping[str, Any]) -> Iterator[str]:
    """A device's own token; once waiting for the response, once gone before anybody can see whose connection it was."""
    connect = _mqtt(0x10, _mqtt_text("MQTT") + b"\x04\x82\x00\x3c" + _mqtt_text("") + _mqtt_text(target["token"]))
    reply = talk(port, connect, size=2)
    if reply[:1] == b"\x20":
        yield f"CONNACK {reply.hex()}"
    publish = _mqtt(0x30, _mqtt_text("v1/devices/me/telemetry") + json.dumps({MARK: 1}).encode())
    for _ in range(20):
        talk(port, connect + publish, closes=True)


def http_and_away(port: int, target: Mapping[str, Any]) -> Iterator[str]:
    """A reading by HTTP from a client that does not wait; whether it arrived is for the caller to see."""
    body = json.dumps({MARK: 2}).encode()
    request = (
        f"POST /api/v1/{target['token']}/telemetry HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for _ in range(20):
        talk(port, request + body, closes=True)
    yield from ()


def kafka(port: int, target: Mapping[str, Any]) -> Iterator[str]:
    """Metadata and a record, without and with wrong credentials."""
    for guess in GUESSES if port in target["brokers"] else GUESSES[:1]:
        config: dict[str, Any] = {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0, **guess}
        producer = Producer({**config, "message.timeout.ms": 1500})
        try:
            found = producer.list_topics(timeout=TIMEOUT_SECONDS)
            yield f"metadata of {sorted(found.topics)} with {guess.get('sasl.mechanisms')}"
        except KafkaException:
            pass
        delivered: list[Any] = []
        producer.produce(target["topic"], MARK.encode(), on_delivery=lambda error, _: delivered.append(error))  # noqa: B023
        producer.flush(TIMEOUT_SECONDS + 1)
        if any(error is None for error in delivered):  # a KafkaError cannot be compared with None
            yield f"a record of ours with {guess.get('sasl.mechanisms')}"


def py4j(port: int, target: Mapping[str, Any]) -> Iterator[str]:
    """Commands for Java, and a call for Python, without the token."""
    for command in (
        b"r\nu\norg.apache.spark.SparkContext\ne\n",
        b"c\nz:java.lang.System\ngetProperty\nsjava.class.path\ne\n",
        b"A\nwrong\ne\nr\nu\njava\ne\n",
        b"s\ne\n",
    ):
        reply = talk(port, command)
        if reply.startswith(b"!y"):
            yield f"{command!r}: {reply[:80]!r}"


def spark(port: int, target: Mapping[str, Any]) -> Iterator[str]:
    """A serialised Java object for the driver's endpoint, blocks of the block manager, files of the driver."""
    for name, frame in _spark_frames(port):
        reply = talk(port, frame, size=9)
        kind = reply[8] if len(reply) > 8 else 0
        if kind in _USEFUL_FRAMES:
            yield f"{name}: {_USEFUL_FRAMES[kind]}"
        if MARK.encode() in talk(port, frame):
            yield f"{name}: the object was read"


def _spark_frames(port: int) -> Iterator[tuple[str, bytes]]:
    def text(value: str) -> bytes:
        return struct.pack(">i", len(value)) + value.encode()

    def rpc(body: bytes) -> bytes:
        head = struct.pack(">bqi", _RPC_REQUEST, 1, len(body))
        return struct.pack(">q", 8 + len(head) + len(body)) + head + body

    serialised = b"\xac\xed\x00\x05t" + _mqtt_text(MARK)  # java.io: a stream that holds one String
    receiver = b"\x01" + _mqtt_text("127.0.0.1") + struct.pack(">i", port)
    for endpoint in ("endpoint-verifier", "HeartbeatReceiver", "BlockManagerMaster"):
        yield f"RPC to {endpoint}", rpc(b"\x00" + receiver + _mqtt_text(endpoint) + serialised)
    yield "OpenBlocks", rpc(b"\x00" + text("app") + text("driver") + struct.pack(">i", 1) + text("broadcast_0_piece0"))
    stream = struct.pack(">b", _STREAM_REQUEST) + text("/jars/x.jar")
    yield "StreamRequest", struct.pack(">q", 8 + len(stream)) + stream


def garbage(port: int, target: Mapping[str, Any]) -> Iterator[str]:
    """Random bytes, large sizes, silence."""
    for data in (os.urandom(65_536), b"\xff" * 4096, b"\x7f\xff\xff\xff" * 64, b"\n" * 4096, b""):
        talk(port, data, closes=not data)
    yield from ()


ATTACKS: tuple[Callable[[int, Mapping[str, Any]], Iterator[str]], ...] = (
    http, mqtt, http_and_away, kafka, py4j, spark, garbage,
)  # fmt: skip


def files(target: Mapping[str, Any]) -> Iterator[str]:
    """What can be read below the folders and of the processes, and which sockets of the file system take connections."""
    for folder in target["folders"]:
        for where, _, names in os.walk(folder):
            for name in names:
                path = Path(where, name)
                try:
                    path.open("rb").close()
                    yield f"file {path}"
                except OSError:
                    continue
    for path in target.get("sockets", ()):
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(path)
                yield f"socket {path}"
            except OSError:
                pass
    for pid in target["pids"]:
        try:
            Path(f"/proc/{pid}/environ").read_bytes()
            yield f"environment of {pid}"
        except OSError:
            pass
        try:
            os.kill(pid, 0)  # whether a signal would be allowed; SIGCONT is, within a session
            yield f"signal to {pid}"
        except OSError:
            pass


def as_another_user(target: Mapping[str, Any]) -> dict[str, Any]:
    """Runs this script against `target`; returns what it found."""
    script = [sys.executable, __file__]
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        allowed = sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
        assert allowed, "To become another user, these tests must run as root, or `sudo -n` must work."
        script = [str(sudo), "-n", *script]
    done = subprocess.run(script, input=json.dumps(target), capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["uid"] == UID != os.geteuid()
    return document


def demo_keys(url: str) -> list[str]:
    """What was stored of the demo device whose token the other user has."""
    from tests.support.sandbox_clients import Tenant

    tenant = Tenant(url)
    device = tenant.get("/api/tenant/devices?deviceName=Test%20Device%20A1")["id"]["id"]
    keys: list[str] = tenant.get(f"/api/plugins/telemetry/DEVICE/{device}/keys/timeseries")
    return keys


def main() -> None:
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    target = json.load(sys.stdin)
    found: dict[str, list[str]] = {"files": list(files(target))}

    def attack(task: tuple[int, Callable[[int, Mapping[str, Any]], Iterator[str]]]) -> None:
        port, kind = task
        found[f"{port} {kind.__name__}"] = list(kind(port, target))

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attack, [(port, kind) for port in target["ports"] for kind in ATTACKS]))
    arguments = [Path(f"/proc/{pid}/cmdline").read_text() for pid in target["pids"] if Path(f"/proc/{pid}").exists()]
    json.dump(
        {"uid": os.getuid(), "seconds": time.monotonic() - began, "found": found, "arguments": arguments}, sys.stdout
    )


if __name__ == "__main__":
    main()
