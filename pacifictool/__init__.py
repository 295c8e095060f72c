"""Device data from a Pacificsoft IoT platform through Kafka and Spark and back."""

from __future__ import annotations

__version__ = "0.2.0"
