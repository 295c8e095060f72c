"""A stream from files to the platform, to be killed: `python killed_stream.py FOLDER`. Run by test_kills.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pacifictool.spark

SCHEMA = "name string, ts timestamp, temperature double"


def main(folder: Path) -> None:
    spark = pacifictool.spark.local_session(
        master="local[2]",
        kafka=False,
        conf={"spark.ui.enabled": "false", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"},
    )
    pacifictool.spark.register(spark)
    files = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).json(str(folder / "in"))
    query = (
        files.repartition(2)
        .writeStream.format("pacifictool")
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
        .start("timeseries")
    )
    query.awaitTermination()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
