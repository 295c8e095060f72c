"""`--metrics` of `simulate` and `aggregate`, as far as it goes without devices and Spark."""

from __future__ import annotations

import pytest
import requests

from pacifictool.runtime.metrics_server import metrics_endpoint
from tests.support.command_line import CommandLine
from tests.support.fixtures import free_port
from tests.support.scripted_platform import Reply, Request, ScriptedPlatform

__all__ = ["free_port"]


def test_the_metrics_of_a_fleet_respond_before_the_platform_is_asked_for_tokens(
    command_line: CommandLine, free_port: int
) -> None:
    scraped: list[str] = []

    def refuse(_request: Request) -> Reply:
        scraped.append(requests.get(f"http://127.0.0.1:{free_port}/metrics", timeout=60).text)
        return Reply(401, json={"message": "Invalid username or password", "status": 401})

    with ScriptedPlatform() as server:
        server.on("POST", "/api/auth/login", refuse)
        outcome = command_line(
            "simulate", "--all", "--metrics", str(free_port), "-o", "json", environ={"PACIFICTOOL_URL": server.url}
        )
    assert outcome.code == 1, outcome.stderr
    assert 'pacifictool_simulate_devices{state="planned"} 3.0' in scraped[0]
    assert 'pacifictool_simulate_devices{state="online"} 0.0' in scraped[0]


@pytest.mark.parametrize("command", ["simulate --all", "aggregate --sink console"])
def test_a_port_in_use_is_one_sentence_before_anything_is_started(command: str, command_line: CommandLine) -> None:
    with metrics_endpoint(list, 0) as url:
        port = url.rpartition(":")[2]
        # Neither a platform, nor Kafka, nor jars are there.
        environ = {"PACIFICTOOL_URL": "http://127.0.0.1:1", "PACIFICTOOL_JARS_FOLDER": "/nowhere"}
        outcome = command_line(*command.split(), "--metrics", port, "-o", "json", environ=environ)
    assert outcome.code == 1
    error = outcome.document["error"]
    assert (error["kind"], error["message"]) == ("port-in-use", f"Port {port} for the metrics is already in use.")
    wrong = command_line(*command.split(), "--metrics", "here", "-o", "json")
    assert (wrong.code, wrong.document["error"]["kind"]) == (2, "usage-error")
