"""Means of the last minute by site, from the topic to the platform: a Spark stream that may be killed at any time.

    pacifictool sandbox up
    pacifictool setup -s examples/cold_rooms.toml --fleet 12
    pacifictool simulate -s examples/cold_rooms.toml --fleet 12      # in another terminal
    python examples/spark/site_means.py

It reads what the topic holds and ends; without `trigger(availableNow=True)` it goes on. Platform and Kafka are set as
for the command line (PACIFICTOOL_URL, PACIFICTOOL_KAFKA and so on). docs/spark.md explains the lines.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

import pacifictool.spark

SCENARIO = "examples/cold_rooms.toml"
CHECKPOINT = "checkpoints/site-means"


def means(readings: DataFrame) -> DataFrame:
    """One row for each site and minute: the asset's name, the end of the minute, and a column for each result."""
    minute = F.window("ts", "1 minute")
    return (
        readings.withWatermark("ts", "10 seconds")
        .groupBy(minute, "site")
        .agg(F.avg("temperature").alias("minute_mean"), F.stddev("temperature").alias("minute_stddev"))
        .select(F.col("site").alias("name"), F.col("window.end").alias("ts"), "minute_mean", "minute_stddev")
    )


def main() -> None:
    spark = pacifictool.spark.local_session("site means")
    pacifictool.spark.register(spark)
    readings = pacifictool.spark.readings(spark, SCENARIO, starting="earliest")
    query = (
        means(readings)
        .writeStream.format("pacifictool")
        .options(entity_kind="asset", create="true", entity_type="ColdRoomSite")
        .outputMode("complete")  # also the minute that is not over yet; values of the same minute overwrite
        .option("checkpointLocation", CHECKPOINT)
        .trigger(availableNow=True)
        .start("timeseries")
    )
    query.awaitTermination()
    written = query.lastProgress
    print(f"{written.numInputRows if written else 0} readings in the last batch")


if __name__ == "__main__":
    main()
