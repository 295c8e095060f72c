"""A platform's history as Parquet files, one folder for each day: read in parallel, by device and time.

    python examples/spark/history_to_parquet.py

Reads the telemetry of the last week of all devices. The platform is set as for the command line. A run that is repeated
replaces the days that it reads again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

import pacifictool.spark

FOLDER = "history"
DAYS = 7


def main() -> None:
    spark = pacifictool.spark.local_session("history", kafka=False)
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
    pacifictool.spark.register(spark)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    history = (
        spark.read.format("pacifictool")
        .option("entity_kind", "device")
        .option("start", (midnight - timedelta(days=DAYS - 1)).isoformat())
        .load("timeseries")
    )
    by_day = history.withColumn("day", F.to_date("ts"))
    by_day.write.mode("overwrite").partitionBy("day").parquet(FOLDER)
    days = spark.read.parquet(FOLDER).groupBy("day").count().orderBy("day").collect()
    for row in days:
        print(f"{row.day}: {row['count']} points")


if __name__ == "__main__":
    main()
