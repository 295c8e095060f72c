"""What a laptop lacks: a Java runtime, verified jars, a real Kafka broker, and child processes that never outlive us.

The names below load their modules when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pacifictool.runtime.cache import default_cache_dir as default_cache_dir
    from pacifictool.runtime.jars import KAFKA_BROKER as KAFKA_BROKER
    from pacifictool.runtime.jars import SPARK_KAFKA as SPARK_KAFKA
    from pacifictool.runtime.jars import ensure_jars as ensure_jars
    from pacifictool.runtime.jars import missing_jars as missing_jars
    from pacifictool.runtime.java import JavaRuntime as JavaRuntime
    from pacifictool.runtime.java import find_java as find_java
    from pacifictool.runtime.java import spark_java_home as spark_java_home
    from pacifictool.runtime.kafka_broker import KafkaBroker as KafkaBroker
    from pacifictool.runtime.ports import check_port_free as check_port_free
    from pacifictool.runtime.ports import free_port as free_port
    from pacifictool.runtime.ports import free_ports as free_ports
    from pacifictool.runtime.processes import ManagedProcess as ManagedProcess
    from pacifictool.runtime.processes import stop_all as stop_all

_HOMES = {
    "KAFKA_BROKER": "jars",
    "SPARK_KAFKA": "jars",
    "JavaRuntime": "java",
    "KafkaBroker": "kafka_broker",
    "ManagedProcess": "processes",
    "check_port_free": "ports",
    "default_cache_dir": "cache",
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
    return sorted(_HOMES)
