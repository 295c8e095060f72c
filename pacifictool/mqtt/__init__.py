"""MQTT as devices speak it: connections and their errors (`connection`), one confirmed message (`session`), many at
once with several acknowledgements each (`pipeline`).

Simulation, provisioning and sinks share this package. It knows nothing of scenarios.
"""

from __future__ import annotations

from typing import Final

TELEMETRY_TOPIC: Final = "v1/devices/me/telemetry"
ATTRIBUTES_TOPIC: Final = "v1/devices/me/attributes"
GATEWAY_CONNECT_TOPIC: Final = "v1/gateway/connect"
GATEWAY_TELEMETRY_TOPIC: Final = "v1/gateway/telemetry"

ANALYTICS_GATEWAY: Final = "Analytics Gateway"
"""What the tutorial calls the device that publishes the means for one virtual device a zone."""
