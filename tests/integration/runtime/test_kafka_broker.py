from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from pacifictool.errors import BrokerFailed, PortInUse
from pacifictool.runtime.java import JavaRuntime
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.runtime.ports import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.kafka

NewBroker = Callable[..., KafkaBroker]


@pytest.fixture
def new_broker(java: JavaRuntime, broker_jars: list[Path]) -> Iterator[NewBroker]:
    made: list[KafkaBroker] = []

    def make(data_dir: Path, **options: Any) -> KafkaBroker:
        broker = KafkaBroker(data_dir, **{"java": java, "jars": broker_jars, **options})
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.stop(graceful=False)


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, java: JavaRuntime, broker_jars: list[Path]
) -> Iterator[KafkaBroker]:
    with KafkaBroker(tmp_path_factory.mktemp("kafka"), java=java, jars=broker_jars) as running:
        yield running


def produce(bootstrap: str, topic: str, values: list[bytes], **config: Any) -> None:
    failures: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "message.timeout.ms": 60_000, **config})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(60) == 0
    assert failures == []


def consume(bootstrap: str, topic: str, count: int, **config: Any) -> list[bytes | None]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "group.id": f"test-{topic}",
            "auto.offset.reset": "earliest",
            **config,
        }
    )
    try:
        consumer.subscribe([topic])
        values: list[bytes | None] = []
        while len(values) < count:
            messages = consumer.consume(count - len(values), timeout=60)
            assert messages, f"only {len(values)} of {count} records came"
            assert all(message.error() is None for message in messages)
            values += [message.value() for message in messages]
        consumer.commit(asynchronous=False)
        return values
    finally:
        consumer.close()


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_come_back_in_every_compression(broker: KafkaBroker, compression: str) -> None:
    values = [f"{compression} {number}".encode() for number in range(500)]
    produce(broker.bootstrap, f"round-trip-{compression}", values, **{"compression.type": compression})
    assert consume(broker.bootstrap, f"round-trip-{compression}", 500) == values


def test_clients_may_say_localhost(broker: KafkaBroker) -> None:
    assert broker.bootstrap == f"127.0.0.1:{broker.port}"
    produce(f"localhost:{broker.port}", "by-name", [b"hello"])
    assert consume(f"localhost:{broker.port}", "by-name", 1) == [b"hello"]


def test_transactions_work(broker: KafkaBroker) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "test", "log_level": 0})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("transactions", b"dropped")
    producer.flush(60)
    producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce("transactions", b"kept")
    producer.commit_transaction(20)
    assert consume(broker.bootstrap, "transactions", 1) == [b"kept"]


def test_topics_of_ones_own_settings_are_made_and_deleted(broker: KafkaBroker) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    topic = NewTopic("with-times", 3, 1, config={"message.timestamp.type": "LogAppendTime"})
    client.create_topics([topic])["with-times"].result(60)
    assert len(client.list_topics("with-times", timeout=10).topics["with-times"].partitions) == 3
    client.delete_topics(["with-times"])["with-times"].result(60)


def test_clients_as_old_as_a_1x_servers_are_still_understood(broker: KafkaBroker) -> None:
    # librdkafka cannot act as such an old client, so the broker is asked what it supports: ApiVersions (18), version 0.
    with socket.create_connection(("127.0.0.1", broker.port), timeout=60) as connection:
        request = struct.pack(">hhih4s", 18, 0, 7, 4, b"test")
        connection.sendall(struct.pack(">i", len(request)) + request)
        stream = connection.makefile("rb")
        response = stream.read(struct.unpack(">i", stream.read(4))[0])
        stream.close()
    _correlation, error, count = struct.unpack_from(">ihi", response)
    assert error == 0
    oldest = {key: low for key, low, _high in struct.iter_unpack(">hhh", response[10 : 10 + 6 * count])}
    # Clients 0.9 send Produce (0) in version 1 and Metadata (3) in version 0.
    assert oldest[0] <= 1
    assert oldest[3] == 0


def test_it_listens_on_the_loopback_interface_only(broker: KafkaBroker) -> None:
    ports = {broker.port: 0, broker.controller_port: 0}
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port in ports and connection.status == psutil.CONN_LISTEN:
            ports[connection.laddr.port] += 1
            assert connection.laddr.ip in ("127.0.0.1", "::ffff:127.0.0.1")
    assert set(ports.values()) == {1}


@pytest.mark.parametrize("graceful", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_restart_keeps_ports_topics_records_and_groups(tmp_path: Path, new_broker: NewBroker, graceful: bool) -> None:
    broker = new_broker(tmp_path)
    broker.start()
    ports = (broker.port, broker.controller_port)
    produce(broker.bootstrap, "kept", [b"1", b"2"])
    assert consume(broker.bootstrap, "kept", 1) == [b"1"]
    broker.stop(graceful)
    assert not broker.is_running()

    broker.start()
    assert (broker.port, broker.controller_port) == ports
    assert consume(broker.bootstrap, "kept", 1) == [b"2"]
    broker.stop()

    # Another broker object, on other ports.
    with new_broker(tmp_path, port=free_port()) as another:
        assert consume(another.bootstrap, "kept", 2, **{"group.id": "another"}) == [b"1", b"2"]


def test_it_runs_on_the_java_from_the_package_registry_in_a_folder_with_a_strange_name_by_settings_of_ones_own(
    tmp_path: Path, new_broker: NewBroker, wheel_java: JavaRuntime
) -> None:
    folder = tmp_path / "Größe, 10% = a\\b 😀"
    environ = {**os.environ, "LC_ALL": "C"}
    with new_broker(folder, java=wheel_java, environ=environ, extra={"num.partitions": "4"}) as broker:
        produce(broker.bootstrap, "strange", [b"hello"], **{"compression.type": "zstd"})
        assert consume(broker.bootstrap, "strange", 1) == [b"hello"]
        client = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        assert len(client.list_topics("strange", timeout=60).topics["strange"].partitions) == 4
    assert list(tmp_path.glob("*/topics/strange-0"))


def test_starting_twice_and_stopping_twice_do_no_harm(broker: KafkaBroker) -> None:
    port = broker.port
    broker.start()
    broker.check()
    assert broker.port == port


def test_a_taken_port_is_reported_before_anything_is_written(tmp_path: Path, new_broker: NewBroker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            new_broker(tmp_path / "data", port=port).start()
    assert not (tmp_path / "data").exists()


def test_a_port_lost_at_the_last_instant_is_exchanged_for_another(
    tmp_path: Path, new_broker: NewBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        offers = iter([[taken.getsockname()[1], free_port()], [free_port(), free_port()]])
        monkeypatch.setattr("pacifictool.runtime.kafka_broker.free_ports", lambda count: next(offers))
        broker = new_broker(tmp_path)
        broker.start()
        assert broker.port != taken.getsockname()[1]
    produce(broker.bootstrap, "here", [b"hello"])


def test_a_setting_that_kafka_refuses_is_reported_with_its_reason_and_log(
    tmp_path: Path, new_broker: NewBroker
) -> None:
    broker = new_broker(tmp_path, extra={"num.io.threads": "none"})
    with pytest.raises(BrokerFailed, match=r"Invalid value none for configuration num\.io\.threads") as caught:
        broker.start()
    assert caught.value.details["log"] == str(broker.log_path)
    assert "num.io.threads" in broker.log_path.read_text()
    assert not broker.is_running()


def test_a_data_folder_in_use_is_reported(
    broker: KafkaBroker, new_broker: NewBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifictool.runtime.kafka_broker._LOCK_SECONDS", 0.3)
    with pytest.raises(BrokerFailed, match="another broker uses this data folder"):
        new_broker(broker.data_dir).start()
    produce(broker.bootstrap, "unharmed", [b"hello"])


def test_a_broker_that_dies_is_noticed(tmp_path: Path, new_broker: NewBroker) -> None:
    broker = new_broker(tmp_path)
    broker.start()
    broker.check()
    for process in psutil.process_iter():
        if process.name() == "java" and process.cwd() == str(tmp_path):
            process.kill()
    wait_until(lambda: not broker.is_running(), "the end of the broker")
    with pytest.raises(BrokerFailed, match="ended unexpectedly"):
        broker.check()
    broker.start()
    produce(broker.bootstrap, "again", [b"hello"])


START_A_BROKER = """
import os, resource, sys, time
from pathlib import Path
from pacifictool.errors import PacificToolError
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
java = find_java(os.environ)
jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=Path(sys.argv[2]))
broker = KafkaBroker(Path(sys.argv[1]), java=java, jars=jars)
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    broker.start()
except PacificToolError as error:
    sys.exit(f"{error.kind}: {error.message}")
print(broker.port, flush=True)
time.sleep(99)
"""


# Of an interrupt, tests/integration/runtime/test_processes.py shows the same with a lighter process.
@pytest.mark.parametrize("deadly", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_no_broker_outlives_the_program_that_started_it(
    tmp_path: Path,
    shared_cache: Path,
    run_python: Callable[..., subprocess.Popen[str]],
    processes_naming: Callable[[Path], list[str]],
    deadly: signal.Signals,
) -> None:
    program = run_python(START_A_BROKER, tmp_path, shared_cache)
    assert program.stdout is not None
    port = int(program.stdout.readline())
    program.send_signal(deadly)
    program.wait(60)
    wait_until(lambda: not processes_naming(tmp_path), "the end of the broker")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)


def test_no_broker_outlives_a_start_that_is_interrupted(
    tmp_path: Path,
    shared_cache: Path,
    run_python: Callable[..., subprocess.Popen[str]],
    processes_naming: Callable[[Path], list[str]],
) -> None:
    program = run_python(START_A_BROKER, tmp_path, shared_cache)
    wait_until(lambda: any("StorageTool" in line for line in processes_naming(tmp_path)), "the formatting")
    program.send_signal(signal.SIGINT)
    program.wait(60)
    wait_until(lambda: not processes_naming(tmp_path), "the end of the broker")


def test_a_disk_without_space_is_reported(
    tmp_path: Path, shared_cache: Path, run_python: Callable[..., subprocess.Popen[str]]
) -> None:
    # A limit on the size of files stands for the full disk: enough for settings and log, not for Kafka's index files.
    program = run_python(START_A_BROKER, tmp_path, shared_cache, "200000")
    output, _ = program.communicate(timeout=60)
    assert output.splitlines()[-1].startswith("storage-full: No space is left for the data of the Kafka broker")
    assert program.returncode == 1


def test_a_broker_that_asks_for_a_login_lets_in_only_its_password_and_keeps_it_over_a_restart(
    new_broker: NewBroker, tmp_path: Path
) -> None:
    broker = new_broker(tmp_path / "kafka", asks_login=True)
    broker.start()
    login = dict(broker.endpoint.config)
    assert login["sasl.mechanisms"] == "SCRAM-SHA-256"
    produce(broker.bootstrap, "guarded", [b"1"], **login)
    controller = f"127.0.0.1:{broker.controller_port}"
    plain = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.username": "broker"}
    for bootstrap, config in (
        (broker.bootstrap, {}),
        (broker.bootstrap, {**login, "sasl.password": "wrong"}),
        (broker.bootstrap, {**plain, "sasl.password": "wrong"}),
        (broker.bootstrap, {**plain, "sasl.password": login["sasl.password"]}),
        (controller, {}),
        (controller, login),
        (controller, {**plain, "sasl.password": "wrong"}),
    ):
        client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **config})
        with pytest.raises(KafkaException):
            client.list_topics(timeout=1.5)
    for path in (broker.data_dir / "server.properties", broker.data_dir / "client-password"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert login["sasl.password"] not in broker.log_path.read_text()
    assert login["sasl.password"] not in repr(broker.login)
    broker.stop()
    again = new_broker(tmp_path / "kafka", asks_login=True, port=broker.port)
    again.start()
    assert again.endpoint.config == login
    assert consume(again.bootstrap, "guarded", 1, **login) == [b"1"]
    again.stop()
    # The same data, for all users of this machine.
    shared = new_broker(tmp_path / "kafka")
    shared.start()
    assert shared.endpoint.config == {}
    produce(shared.bootstrap, "guarded", [b"2"])
