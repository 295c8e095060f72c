"""The page that a sandbox serves at `/`. The sandbox gets its name from the command line and imports nothing of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from pacifictool.rest import NO_RETRY, Platform, Session
from pacifictool.scenario import Scenario, load_scenario, tutorial_scenario
from pacifictool.settings import (
    DEFAULT_LOOPBACK_PASSWORD,
    DEFAULT_USERNAME,
    KafkaEndpoint,
    Secret,
    parse_mqtt,
    read_properties,
)
from pacifictool.watch.collector import SESSION_TIMEOUTS, Collector, WatchTarget
from pacifictool.watch.web.app import page_application
from pacifictool.watch.web.source import OnDemand


def page(url: str, options: Path) -> Starlette:
    """The page of the sandbox at `url`.

    `options` is a JSON file with `web.page_options`, the addresses of Kafka and MQTT as `kafka` and `mqtt`, and,
    where the broker asks for a login, the file of its properties as `kafka_config`. It is read when the page is opened:
    the sandbox may be up before its broker.
    """

    def make() -> Collector:
        given: dict[str, Any] = json.loads(options.read_text(encoding="utf-8")) if options.is_file() else {}
        scenario = _scenario(given.get("scenario"))
        # The sandbox has the published demo users; the page itself never gets their password.
        session = Session(
            url,
            DEFAULT_USERNAME,
            Secret(DEFAULT_LOOPBACK_PASSWORD),
            retry=NO_RETRY,
            timeout_seconds=SESSION_TIMEOUTS,
        )
        return Collector(
            WatchTarget(
                Platform(session),
                KafkaEndpoint(given.get("kafka", "localhost:9092"), _kafka_properties(given.get("kafka_config"))),
                scenario,
                lambda: _folders(given),
                mqtt=None if given.get("mqtt") is None else parse_mqtt(given["mqtt"]),
            )
        )

    return page_application(OnDemand(make))


def _kafka_properties(path: str | None) -> Mapping[str, str]:
    return {} if path is None else read_properties(Path(path))


def _scenario(path: str | None) -> Scenario:
    return tutorial_scenario() if path is None else load_scenario(Path(path))


def _folders(given: dict[str, Any]) -> Sequence[Path]:
    """Newest first: after a reset of the sandbox, folders of earlier jobs may be left."""
    if given.get("job") is not None:
        return [Path(given["job"])]
    if given.get("jobs") is None:
        return []
    found = [folder for folder in Path(given["jobs"]).glob("*") if folder.is_dir()]
    return sorted(found, key=lambda folder: folder.stat().st_mtime, reverse=True)
