"""What a laptop lacks: a Java runtime, verified jars, a Kafka broker, and child processes that end with their parent.

The names below load their modules when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pacifictool.runtime.cache import default_cache_dir, default_state_dir
    from pacifictool.runtime.jars import KAFKA_BROKER, SPARK_KAFKA, ensure_jars, missing_jars
    from pacifictool.runtime.java import JavaRuntime, find_java, spark_java_home
    from pacifictool.runtime.kafka_broker import KafkaBroker
    from pacifictool.runtime.ports import check_port_free, free_port, free_ports
    from pacifictool.runtime.processes import ManagedProcess, stop_all

__all__ = [
    "KAFKA_BROKER",
    "SPARK_KAFKA",
    "JavaRuntime",
    "KafkaBroker",
    "ManagedProcess",
    "check_port_free",
    "default_cache_dir",
    "default_state_dir",
    "ensure_jars",
    "find_java",
    "free_port",
    "free_ports",
    "missing_jars",
    "spark_java_home",
    "stop_all",
]

_HOMES = {
    "KAFKA_BROKER": "jars",
    "SPARK_KAFKA": "jars",
    "JavaRuntime": "java",
    "KafkaBroker": "kafka_broker",
    "ManagedProcess": "processes",
    "check_port_free": "ports",
    "default_cache_dir": "cache",
    "default_state_dir": "cache",
    "ensure_jars": "jars",
    "find_java": "java",
    "free_port": "ports",
    "free_ports": "ports",
    "missing_jars": "jars",
    "spark_java_home": "java",
    "stop_all": "processes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
