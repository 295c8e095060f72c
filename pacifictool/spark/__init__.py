"""The platform as a Spark data source, and the topic as a frame of typed columns.

    import pacifictool.spark

    spark = pacifictool.spark.local_session()                       # or any session of yours
    pacifictool.spark.register(spark)
    devices = spark.read.format("pacifictool").load("devices")
    history = spark.read.format("pacifictool").option("keys", "temperature").load("timeseries")
    readings = pacifictool.spark.readings(spark, "cold_rooms.toml")

The guide is docs/spark.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pacifictool.spark.session import local_session, register

if TYPE_CHECKING:
    from pacifictool.spark.topic import parsed, readings

__all__ = ["local_session", "parsed", "readings", "register"]


def __getattr__(name: str) -> Any:
    # Spark's workers import this package for each query, and need no scenarios.
    if name in ("parsed", "readings"):
        from pacifictool.spark import topic

        return getattr(topic, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
