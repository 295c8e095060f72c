"""Which of several jobs on one topic belongs to a scenario and a platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from pacifictool.analytics.state.reader import JobIdentity
from pacifictool.scenario import Scenario
from pacifictool.settings import MqttEndpoint, is_loopback


@dataclass(frozen=True, slots=True)
class WantedJob:
    """Which job belongs to a scenario on a platform."""

    topic: str
    analytics: Mapping[str, tuple[tuple[str, ...], str]]
    """By the name of an analytics of the scenario: what it groups by, and the pattern of its entities' names."""
    url: str
    """Of the platform."""
    mqtt: MqttEndpoint | None = None
    """Of the platform; None: not known."""

    @classmethod
    def from_scenario(cls, scenario: Scenario, url: str, mqtt: MqttEndpoint | None = None) -> Self:
        """The job of `scenario` whose results go to the platform at `url`."""
        analytics = {each.name: (each.group_by, each.entity_pattern) for each in scenario.analytics}
        return cls(scenario.forwarding.topic, analytics, url, mqtt)

    def refusal(self, identity: JobIdentity, topic_id: str | None) -> str | None:
        """Why a job on this topic is not the wanted one; None when it is.

        `topic_id`: of the topic as it is now; None: not known.
        """
        if topic_id is not None and identity.topic_id not in (None, topic_id):
            return "reads an earlier topic of this name"
        if not any(
            name in self.analytics and (tuple(found["group_by"]), found["entity"]) == self.analytics[name]
            for name, found in identity.analytics.items()
        ):
            return f"computes other analytics ({', '.join(identity.analytics)})"
        sink, _, where = identity.target.partition(" ")
        if sink == "rest" and not _is_same_url(where, self.url):
            return f"posts to {where}"
        if sink == "gateway" and not self._is_own_gateway(where):
            return f"posts to {where.partition(' as ')[0]}"
        # Whoever reads the same topic counts the same readings, wherever the results go; of a topic that is not known,
        # only its name.
        if sink not in ("rest", "gateway") and topic_id is None:
            return f"writes to {identity.target}, and the topic is not known"
        return None

    def _is_own_gateway(self, where: str) -> bool:
        address = where.partition(" as ")[0]
        if self.mqtt is not None:
            return _place(address) == _place(str(self.mqtt))
        return _place(address)[0] == _place(self.url)[0]


def _is_same_url(one: str, other: str) -> bool:
    return _place(one) == _place(other) and urlsplit(one).path.rstrip("/") == urlsplit(other).path.rstrip("/")


def _place(url: str) -> tuple[str, int | None]:
    """Host and port; this machine has one name."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}.get(parts.scheme)
    return ("localhost" if is_loopback(host) else host), port
