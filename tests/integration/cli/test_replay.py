"""`rejects replay`, `export` and `expire` as a user runs them, with a real broker."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer

from pacifictool.analytics.replay import HEADER
from pacifictool.analytics.state.queries import InvalidRecord
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.scenario import load_scenario
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine, variables_of
from tests.support.job_folders import count_windows, job_checkpoint, job_identity
from tests.support.scenarios import tutorial_file

pytestmark = pytest.mark.kafka

TS = 1_795_477_550_000
VALUES = {
    0: (b'{"geoZone":"A","windSpeed":"31"}', "windSpeed is not a number"),
    1: (b"\xff", "not UTF-8"),
    2: (b"", "empty"),
    3: (None, "no value (a tombstone)"),
}


def test_records_are_exported_replayed_once_and_expired(
    stack: LocalStack, command_line: CommandLine, tmp_path: Path
) -> None:
    topic, folder, endpoint = f"t-{uuid4().hex[:8]}", tmp_path / "job", KafkaEndpoint(stack.broker.bootstrap)
    scenario_file = tmp_path / "scenario.toml"
    scenario_file.write_text(tutorial_file(topic), encoding="utf-8")
    scenario = load_scenario(scenario_file)
    KafkaAdmin(endpoint).create(topic, partitions=2, replication=1, timestamp_type=CREATE_TIME)
    invalid = [InvalidRecord(topic, 0, at, reason, TS, value) for at, (value, reason) in VALUES.items()]
    with job_checkpoint(folder, scenario) as checkpoint:
        checkpoint.check_identity(job_identity(scenario))
        count_windows(checkpoint, scenario, {}, end=4, invalid=invalid)

        environ = {**variables_of(stack), "PACIFICTOOL_SCENARIO": str(scenario_file)}
        at = ("--checkpoint", str(folder))
        # The job holds the folder all the time.
        exported = command_line("rejects", "export", "invalid.jsonl", *at, "-o", "json", environ=environ)
        assert exported.document == {"ok": True, "file": str(tmp_path / "invalid.jsonl"), "records": 4}
        file = tmp_path / "invalid.jsonl"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert [line["value"] for line in lines] == ['{"geoZone":"A","windSpeed":"31"}', None, "", None]
        assert [line["value_base64"] for line in lines] == [None, "/w==", None, None]
        assert [line["replayed"] for line in lines] == [None] * 4
        assert command_line("rejects", "export", "invalid.jsonl", *at, environ=environ).code == 2
        streamed = command_line("rejects", *at, "export", "-", "--reason", "not UTF-8", environ=environ)
        assert json.loads(streamed.stdout)["offset"] == 1

        def replay(*options: str) -> dict[str, object]:
            outcome = command_line("rejects", "replay", *at, *options, "-o", "json", environ=environ)
            assert outcome.code == 0, outcome.stderr
            document: dict[str, object] = outcome.document
            return document

        counts = {"replayed": 1, "replayed_before": 0, "partly_counted": 0, "without_value": 0}
        reason = ("--reason", "windSpeed is not a number")
        assert replay(*reason, "--dry-run") == {"ok": True, "dry_run": True, **counts}
        assert list(read_records(endpoint, topic)) == []
        assert replay(*reason) == {"ok": True, "dry_run": False, **counts}
        assert replay() == {"ok": True, "dry_run": False, **counts, "replayed_before": 1, "without_value": 2}
        assert replay()["replayed"] == 0

        records = sorted(read_records(endpoint, topic), key=lambda record: record.offset)
        assert [(record.partition, record.value, record.timestamp_ms) for record in records] == [
            (0, VALUES[0][0], TS),
            (0, VALUES[1][0], TS),
        ]
        consumer = Consumer(
            {"bootstrap.servers": endpoint.bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}
        )
        consumer.subscribe([topic])
        message = consumer.poll(60)
        consumer.close()
        assert message is not None
        assert message.headers() == [(HEADER, f"{topic}/0/0".encode())]
        shown = command_line("rejects", *at, "--all", "-o", "json", environ=environ).document["rejects"]
        assert [isinstance(record["replayed"], int) for record in shown] == [True, True, False, False]

        unconfirmed = command_line("rejects", "expire", "--older-than", "1h", *at, environ=environ)
        assert (unconfirmed.code, "--yes" in unconfirmed.stderr) == (2, True)
        expired = command_line("rejects", "expire", "--older-than", "1h", "--yes", *at, "-o", "json", environ=environ)
        assert expired.document == {"ok": True, "expired": 4}
        left = command_line("rejects", *at, "-o", "json", environ=environ).document
        assert (left["rejects"], left["total"]) == ([], 4)


def test_without_kafka_nothing_is_marked(command_line: CommandLine, tmp_path: Path) -> None:
    scenario_file, folder = tmp_path / "scenario.toml", tmp_path / "job"
    scenario_file.write_text(tutorial_file("t"), encoding="utf-8")
    scenario = load_scenario(scenario_file)
    with job_checkpoint(folder, scenario) as checkpoint:
        checkpoint.check_identity(job_identity(scenario))
        record = InvalidRecord("t", 0, 0, "not UTF-8", TS, b"\xff")
        count_windows(checkpoint, scenario, {}, end=1, invalid=[record])
    environ = {"PACIFICTOOL_KAFKA": "127.0.0.1:1", "PACIFICTOOL_SCENARIO": str(scenario_file)}
    for _ in range(2):
        outcome = command_line("rejects", "replay", "--checkpoint", str(folder), "-o", "json", environ=environ)
        assert outcome.document["error"]["kind"] == "kafka-unreachable"
