"""`aggregate` in its own process, as a user starts it."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import requests
from confluent_kafka import Producer

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine, checkout_on_path, kept_variables, variables_of
from tests.support.fixtures import free_port
from tests.support.scenarios import tutorial_file
from tests.support.waiting import wait_until

__all__ = ["free_port"]

pytestmark = [pytest.mark.spark, pytest.mark.kafka]


@pytest.fixture
def topic(stack: LocalStack) -> str:
    name = f"t-{uuid4().hex[:8]}"
    KafkaAdmin(KafkaEndpoint(stack.broker.bootstrap)).create(name, partitions=2, replication=1)
    return name


def start(stack: LocalStack, topic: str, folder: Path, *options: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    scenario = folder.parent / "scenario.toml"
    scenario.write_text(tutorial_file(topic), encoding="utf-8")
    environ = {
        **kept_variables(),
        **variables_of(stack),
        "PACIFICTOOL_SCENARIO": str(scenario),
        "PACIFICTOOL_STATE": str(folder.parent / "state"),
        "PACIFICTOOL_OUTPUT": "json",
        **checkout_on_path(),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pacifictool", "aggregate", "--sink", "console", *options],
        cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_duration_counts_from_the_first_look_at_the_topic_and_no_server_of_ours_listens(
    stack: LocalStack, topic: str, tmp_path: Path
) -> None:
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap})
    for number in range(100):
        producer.produce(topic, b'{"geoZone":"A", "windSpeed":%d}' % number)
    producer.flush()
    # Spark takes longer to start than that.
    program = start(stack, topic, tmp_path / "here", "--starting-offsets", "earliest", "--duration", "1s")
    process = psutil.Process(program.pid)
    listening: set[object] = set()
    while program.poll() is None:
        try:
            listening |= {each.laddr for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
        except psutil.Error:
            break
        time.sleep(0.1)
    stdout, stderr = program.communicate()

    assert program.returncode == 0, stderr
    summary = json.loads(stdout)
    assert (summary["records"], summary["stopped_by"]) == (100, "duration")
    assert listening == set()


def test_an_operator_sees_the_job_by_its_log_its_probes_and_status(
    stack: LocalStack, topic: str, tmp_path: Path, free_port: int, command_line: CommandLine
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    options = ("--checkpoint", "job", "--starting-offsets", "earliest", "--metrics", str(free_port))
    program = start(stack, topic, tmp_path / "here", *options, "--log-format", "json")

    def get(path: str) -> requests.Response | None:
        assert program.poll() is None
        try:
            return requests.get(f"{url}{path}", timeout=60)
        except requests.ConnectionError:
            return None

    first = wait_until(lambda: get("/metrics"), "the metrics")
    assert first is not None
    assert "pacifictool_aggregate_batch_seconds_count 0.0" in first.text  # before there was a batch
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap})
    producer.produce(topic, b'{"geoZone":"A", "windSpeed":1}')
    producer.flush()
    wait_until(lambda: "pacifictool_aggregate_records_read_total 1.0" in (get("/metrics") or first).text, seconds=240)

    def job() -> dict[str, object] | None:
        jobs = command_line("status", "-o", "json").document["jobs"]
        return next((job for job in jobs if job["pid"] == program.pid and job["records"] == 1), None)

    shown = wait_until(job, "status")
    assert shown is not None
    assert (shown["topic"], shown["metrics"], shown["lag"], shown["phase"]) == (topic, url, 0, "running")
    assert shown["checkpoint"] == str(tmp_path / "here" / "job")
    health = get("/health")
    assert health is not None
    assert (health.status_code, health.text) == (200, "ok\n")
    assert (live := get("/live")) is not None
    assert live.status_code == 200
    program.send_signal(signal.SIGTERM)
    stdout, stderr = program.communicate(timeout=240)
    assert json.loads(stdout)["records"] == 1
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert {"level": "info", "message": f"Metrics: {url}/metrics"}.items() <= lines[0].items()
    assert any(line.get("task") == "Aggregating" and line.get("done") == 1 for line in lines)
    assert command_line("status", "-o", "json").code == 0
    assert job() is None


def snapshot(folder: Path) -> Mapping[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.stat().st_mode), b"" if path.is_dir() else path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


def test_a_folder_with_the_users_own_files_is_refused_before_anything_changes(
    stack: LocalStack, topic: str, tmp_path: Path
) -> None:
    thesis = tmp_path / "thesis"
    (thesis / "tmp").mkdir(parents=True)
    (thesis / "tmp" / "draft.txt").write_text("the only copy", encoding="utf-8")
    (thesis / "chapter-1.tex").write_text("precious", encoding="utf-8")
    thesis.chmod(0o755)
    before = snapshot(thesis)
    program = start(stack, topic, thesis, "--checkpoint", ".", "--duration", "1s")
    stdout, stderr = program.communicate(timeout=60)

    assert program.returncode == 2, stderr
    error = json.loads(stdout)["error"]
    assert str(thesis) in error["message"]
    assert "chapter-1.tex" in error["message"]
    assert "--checkpoint" in error["hint"]
    assert snapshot(thesis) == before
