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

from pacifictool.spark.readings import parsed, readings
from pacifictool.spark.session import local_session, register

__all__ = ["local_session", "parsed", "readings", "register"]
