"""What the checks look at, and what earlier checks have found out for later ones."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pacifictool.errors import PlatformError
from pacifictool.kafka.topics import BrokerAddress, KafkaAdmin, TopicInfo
from pacifictool.rest import Device, ForwardingSpec, Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import Settings


@dataclass(slots=True)
class Surroundings:
    """Everything a check may use. A check only reads what a check that it needs has written."""

    settings: Settings
    scenario: Scenario
    spec: ForwardingSpec
    """The forwarding that the scenario asks for."""
    environ: Mapping[str, str]
    cache_dir: Path
    state_dir: Path
    stop: threading.Event = field(default_factory=threading.Event)

    platform: Platform | None = None
    """Written by `rest`."""
    login_failure: PlatformError | None = None
    """Written by `rest`: a platform answers, but does not let us in."""
    login_seconds: float = 0.0
    """Written by `rest`: how long the login took."""
    generation: str = ""
    """Written by `generation`."""
    devices: dict[str, Device] = field(default_factory=dict)
    """Written by `devices`: those of the scenario that exist, by name."""
    admin: KafkaAdmin | None = None
    """Written by `kafka`."""
    brokers: list[BrokerAddress] = field(default_factory=list)
    """Written by `kafka`."""
    topic: TopicInfo | None = None
    """Written by `topic`."""

    def the_platform(self) -> Platform:
        assert self.platform is not None, "the check `rest` comes first"
        return self.platform

    def the_admin(self) -> KafkaAdmin:
        assert self.admin is not None, "the check `kafka` comes first"
        return self.admin
