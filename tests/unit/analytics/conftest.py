"""A gateway's sink, and the MQTT server that it delivers to."""

from __future__ import annotations

from tests.support.fixtures import peer
from tests.support.gateway_platform import make_sink, platform

__all__ = ["make_sink", "peer", "platform"]
