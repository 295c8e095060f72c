"""MQTT as devices speak it: connections and their errors (`connection`), one confirmed message (`session`).

Simulation, provisioning and sinks share this package. It knows nothing of scenarios.
"""

from __future__ import annotations

from typing import Final

TELEMETRY_TOPIC: Final = "v1/devices/me/telemetry"
ATTRIBUTES_TOPIC: Final = "v1/devices/me/attributes"
