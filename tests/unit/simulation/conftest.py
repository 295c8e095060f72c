"""An MQTT server whose behaviour a test scripts."""

from __future__ import annotations

from tests.support.fixtures import endpoint, peer

__all__ = ["endpoint", "peer"]
