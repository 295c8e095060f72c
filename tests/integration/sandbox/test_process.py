from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests

from pacifictool.errors import ForeignFolder, PortInUse, SandboxError, StorageFull
from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.own_folder import PLATFORM, claim
from pacifictool.runtime.processes import ManagedProcess
from pacifictool.sandbox.server import DATABASE, KEY_FILE
from tests.support.sandbox_clients import RawDevice, Tenant
from tests.support.waiting import SOON_SECONDS, wait_until


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_data_and_ports_survive_stops_and_crashes(data_dir: Path) -> None:
    sandbox = SandboxProcess(data_dir)
    sandbox.start()
    tenant, ports = Tenant(sandbox.url), (sandbox.http_port, sandbox.mqtt_port)
    identifier, token = tenant.device("WS")
    asset = tenant.post("/api/asset", {"name": "Zone A", "type": "x"})["id"]["id"]
    key = (data_dir / KEY_FILE).read_bytes()
    for number, end in enumerate((sandbox.stop, sandbox.kill)):
        with RawDevice(sandbox.mqtt_port, token) as device:
            device.acknowledged(f'{{"a":{number}}}', topic="v1/devices/me/attributes")
            device.acknowledged(f'{{"ts":{number + 1},"values":{{"w":{number}}}}}')
        tenant.post(f"/api/plugins/telemetry/ASSET/{asset}/timeseries/ANY", {"m": number})
        end()
        assert not sandbox.is_running()
        sandbox.start()
        assert (sandbox.http_port, sandbox.mqtt_port) == ports
        # The old token is still good: the signing key is kept.
        assert tenant.latest(identifier, "w") == {"w": str(number)}
        assert tenant.latest(asset, "m", kind="ASSET") == {"m": str(number)}
        attributes = tenant.get(f"/api/plugins/telemetry/DEVICE/{identifier}/values/attributes/CLIENT_SCOPE")
        assert [item["value"] for item in attributes] == [number]
    assert (data_dir / KEY_FILE).read_bytes() == key
    sandbox.stop()


def test_the_data_folder_and_the_key_belong_to_their_owner_only(sandbox: SandboxProcess) -> None:
    assert mode(sandbox.data_dir) == 0o700
    assert mode(sandbox.data_dir / KEY_FILE) == 0o600
    assert len((sandbox.data_dir / KEY_FILE).read_bytes()) == 64


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second_whatever_is_connected(tmp_path: Path, number: int) -> None:
    """A second more than the same program needs with nothing connected: that depends on the machine's load."""

    def seconds_to_end(folder: Path, connect: Callable[[dict[str, int]], None]) -> float:
        folder.mkdir()
        ready = folder / "ready.json"
        command = [sys.executable, "-m", "pacifictool.sandbox", "--data", str(folder / "data")]
        command += ["--http-port", "0", "--mqtt-port", "0", "--ready-file", str(ready)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            wait_until(ready.exists)
            document = json.loads(ready.read_text())
            assert document["pid"] == process.pid
            connect(document)
            addresses = {connection.laddr.ip for connection in psutil.Process(process.pid).net_connections()}
            assert addresses == {"127.0.0.1"}
            started = time.monotonic()
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
            ended = time.monotonic()
            assert process.returncode == 0
            assert errors == b""
            assert not ready.exists()
        finally:
            process.kill()
            process.communicate()
        return ended - started

    with ExitStack() as opened:
        devices: list[RawDevice] = []

        def connect(document: dict[str, int]) -> None:
            tenant = Tenant(f"http://127.0.0.1:{document['http_port']}")
            tokens = [tenant.device(name)[1] for name in ("d1", "d2", "d3")]
            devices.extend(opened.enter_context(RawDevice(document["mqtt_port"], token)) for token in tokens)
            half_open = opened.enter_context(socket.create_connection(("127.0.0.1", document["http_port"])))
            half_open.sendall(b"POST /api/device HTTP/1.1\r\nContent-Length: 10\r\n")

        alone = seconds_to_end(tmp_path / "alone", lambda _: None)
        assert seconds_to_end(tmp_path / "connected", connect) < alone + 1
        assert all(device.is_closed() for device in devices)


def test_a_port_in_use_is_named(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for sandbox in (SandboxProcess(data_dir, http_port=port), SandboxProcess(data_dir, mqtt_port=port)):
            with pytest.raises(PortInUse, match=f"Port {port}.*is taken") as caught:
                sandbox.start()
            assert caught.value.hint is not None
            assert not sandbox.is_running()


def test_the_kind_of_a_failure_comes_from_the_server_and_not_from_its_words(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = StorageFull("Port 80 is not the matter.", hint="Free some space.").as_document()
    monkeypatch.setattr(ManagedProcess, "tail", lambda self, lines=20: [json.dumps(failure)])
    with pytest.raises(StorageFull, match="Port 80") as caught:
        SandboxProcess(data_dir, options=("--no-such-option",)).start()
    assert caught.value.hint == "Free some space."


def test_a_server_that_crashes_is_reported_with_its_last_words(data_dir: Path) -> None:
    with pytest.raises(SandboxError, match=r"ended during its start: .*--no-such-option\.$") as caught:
        SandboxProcess(data_dir, options=("--no-such-option",)).start()
    assert caught.value.hint == f"See its log: {data_dir / 'sandbox.log'}"


def test_a_folder_serves_one_sandbox_at_a_time(data_dir: Path) -> None:
    with SandboxProcess(data_dir), pytest.raises(SandboxError, match="database"):
        SandboxProcess(data_dir).start()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ForeignFolder, match="cannot be used"):
        SandboxProcess(tmp_path / "file").start()
    claim(tmp_path / "data", PLATFORM)
    (tmp_path / "data" / DATABASE).write_text("this is not a database, but long enough to look like a file of one")
    with pytest.raises(SandboxError, match="cannot be used"):
        SandboxProcess(tmp_path / "data").start()


def test_help_does_not_show_fault_injection() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pacifictool.sandbox", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "--mqtt-port" in shown
    assert "--rest-latency-seconds" not in shown


def test_rest_calls_can_be_made_slow_and_failing(data_dir: Path) -> None:
    options = ("--rest-latency-seconds", "0.2", "--rest-failing-share", "0.5")
    with SandboxProcess(data_dir, options=options) as sandbox:
        statuses = []
        started = time.monotonic()
        for _ in range(20):
            response = requests.get(f"{sandbox.url}/api/auth/user", timeout=60)
            statuses.append(response.status_code)
        assert time.monotonic() - started >= 4
        assert set(statuses) == {401, 503}


def test_ten_thousand_devices_page_completely(data_dir: Path) -> None:
    with SandboxProcess(data_dir) as sandbox:
        tenant = Tenant(sandbox.url)
        _, token = tenant.device("GW", "default", additionalInfo={"gateway": True})
        with RawDevice(sandbox.mqtt_port, token) as gateway:
            for first in range(0, 10_000, 500):
                document = {f"D{number}": {"n": number} for number in range(first, first + 500)}
                gateway.publish(json.dumps(document), topic="v1/gateway/attributes")
                assert len(gateway.read(2000, 60)) == 2000
        names, offset = [], ""
        while True:
            page = tenant.get(f"/api/tenant/devices?limit=100&textSearch=D{offset}")
            names += [device["name"] for device in page["data"] if device["name"].startswith("D")]
            if not page["hasNext"]:
                break
            offset = f"&idOffset={page['nextPageLink']['idOffset']}"
        assert [name for name in names if name[1:].isdigit()] == [f"D{number}" for number in range(10_000)]


def test_the_process_ends_with_its_launcher(tmp_path: Path) -> None:
    code = """
import pathlib, sys, time
from pacifictool.local.launcher import SandboxProcess
sandbox = SandboxProcess(pathlib.Path(sys.argv[1]))
sandbox.start()
print(sandbox.http_port, flush=True)
time.sleep(60)
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert starter.stdout is not None
    port = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + SOON_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
