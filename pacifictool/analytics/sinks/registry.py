"""Every sink by the name that `--sink` gives it: where its results go, and how it is opened.

A new sink is one module next to this one and one entry here. What a sink needs is imported when it is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pacifictool.analytics.sinks.base import Sink
from pacifictool.errors import NotFound, PlatformError, UsageError, unknown_choice
from pacifictool.mqtt import ANALYTICS_GATEWAY

if TYPE_CHECKING:
    from pacifictool.rest import Platform
    from pacifictool.scenario import Scenario
    from pacifictool.settings import Secret, Settings

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What sinks are made of; each takes what it needs."""

    settings: Settings
    scenario: Scenario
    connect: Callable[[], Platform]
    """Logs in to the platform."""
    write: Callable[[str], None] = print
    """Shows a line to a person."""
    gateway_device: str = ANALYTICS_GATEWAY
    result_topic: str | None = None
    """None: the scenario's topic with "-means" at the end."""


@dataclass(frozen=True, slots=True)
class SinkKind:
    """One way out."""

    name: str
    target: Callable[[SinkOptions], str]
    """`Sink.target` without opening the sink; part of a checkpoint's identity."""
    open: Callable[[SinkOptions], AbstractContextManager[Sink]]
    """Connects as far as needed to tell mistakes at once. Raises PacificToolError."""


def sink_kind(name: str) -> SinkKind:
    """The sink of that name. Raises UsageError."""
    kind = SINKS.get(name)
    if kind is None:
        raise unknown_choice("--sink", name, SINKS)
    return kind


# --- rest ------------------------------------------------------------------------------------------------------------


def _rest_target(options: SinkOptions) -> str:
    return f"rest {options.settings.url}"


@contextmanager
def _open_rest(options: SinkOptions) -> Iterator[Sink]:
    with options.connect() as platform, closing(rest_sink(platform, options.scenario)) as sink:
        yield sink


def rest_sink(platform: Platform, scenario: Scenario) -> Sink:
    """The sink that posts the results of a scenario over REST; close it."""
    from pacifictool.analytics.sinks.rest import RestSink

    return RestSink(
        {"asset": platform.assets, "device": platform.devices},
        platform.telemetry,
        url=platform.url,
        entity_type=scenario.asset_type,
        connections=platform.telemetry.writes_at_once(),
    )


# --- gateway ---------------------------------------------------------------------------------------------------------


def _gateway_target(options: SinkOptions) -> str:
    from pacifictool.analytics.sinks.gateway import gateway_target

    return gateway_target(options.settings.mqtt, options.gateway_device)


@contextmanager
def _open_gateway(options: SinkOptions) -> Iterator[Sink]:
    from pacifictool.analytics.sinks.gateway import GatewaySink
    from pacifictool.analytics.sinks.stored import DeviceReader

    with options.connect() as platform:
        gateway_token(platform, options.gateway_device)  # a missing gateway is reported before anything is started
        sink = GatewaySink(
            options.settings.mqtt,
            lambda: gateway_token(platform, options.gateway_device),
            device=options.gateway_device,
            entity_type=options.scenario.asset_type,
            acks_per_device=_acks_per_device(platform),
            stored=None if platform.generation() == "1.x" else DeviceReader(platform),
        )
        with closing(sink):
            yield sink


def _acks_per_device(platform: Platform) -> bool | None:
    """Whether a gateway's message gets a PUBACK per device; None where nobody has looked.

    Once per device on 1.4 (docs/servers/1.x.md#gateway, row 3), once per message on 4.3.1
    (docs/servers/4.x.md#gateway, row 1).
    """
    from pacifictool.server_version import ServerVersion

    if platform.generation() == "1.x":
        return True
    version = ServerVersion.parse(platform.version or "")
    return False if version is not None and version.at_least(4, 3) else None


def gateway_token(platform: Platform, name: str) -> Secret:
    """The access token of a gateway device. Raises NotFound, or PlatformError when the device is not a gateway."""
    device = platform.devices.find(name)
    if device is None:
        raise NotFound(
            f"There is no gateway device {name!r} at {platform.url}.",
            hint="`pacifictool setup --gateway` creates it; --gateway-device names another.",
        )
    if not device.is_gateway:
        raise PlatformError(
            f"The device {name!r} at {platform.url} is not a gateway.",
            hint="`pacifictool setup --gateway` makes it one; --gateway-device names another.",
        )
    return platform.devices.token(device.id)


# --- kafka -----------------------------------------------------------------------------------------------------------


def result_topic(options: SinkOptions) -> str:
    """The topic for results. Raises UsageError when it would be the topic that the job reads."""
    source = options.scenario.forwarding.topic
    topic = options.result_topic or f"{source}-means"
    if topic == source:
        raise UsageError(
            f"--result-topic: {topic} is the topic that the job reads; it would count its own results.",
            hint="Name another topic.",
        )
    if _TOPIC.fullmatch(topic) is None:
        raise UsageError(
            f"--result-topic: {topic!r} is not the name of a topic.",
            hint="Up to 249 letters, digits, dots, dashes and underscores.",
        )
    return topic


def _kafka_target(options: SinkOptions) -> str:
    from pacifictool.analytics.sinks.kafka import kafka_target

    return kafka_target(options.settings.kafka, result_topic(options))


@contextmanager
def _open_kafka(options: SinkOptions) -> Iterator[Sink]:
    from pacifictool.analytics.sinks.kafka import KafkaSink

    sink = KafkaSink(options.settings.kafka, result_topic(options), options.scenario.analytics)
    with closing(sink):
        yield sink


# --- console ---------------------------------------------------------------------------------------------------------


@contextmanager
def _open_console(options: SinkOptions) -> Iterator[Sink]:
    from pacifictool.analytics.sinks.console import ConsoleSink

    yield ConsoleSink(options.write)


SINKS: Final[Mapping[str, SinkKind]] = {
    kind.name: kind
    for kind in (
        SinkKind("rest", _rest_target, _open_rest),
        SinkKind("gateway", _gateway_target, _open_gateway),
        SinkKind("kafka", _kafka_target, _open_kafka),
        SinkKind("console", lambda _options: "console", _open_console),
    )
}
