"""MQTT as devices use it: connections and their errors (`connection`), one confirmed message at a time (`session`),
many in flight with several acknowledgements each (`pipeline`), and the packets of a publishing client (`packets`).

Simulation, provisioning, `doctor`, `trace` and sinks share this package. It knows nothing of scenarios.
"""

from __future__ import annotations

from typing import Final

TELEMETRY_TOPIC: Final = "v1/devices/me/telemetry"
ATTRIBUTES_TOPIC: Final = "v1/devices/me/attributes"
GATEWAY_CONNECT_TOPIC: Final = "v1/gateway/connect"
GATEWAY_TELEMETRY_TOPIC: Final = "v1/gateway/telemetry"

ANALYTICS_GATEWAY: Final = "Analytics Gateway"
"""The tutorial's name of the device that publishes the means for one virtual device per zone."""
