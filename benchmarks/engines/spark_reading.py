"""Spark that only reads: the sum of the lengths of all values, twice. Nothing that Spark does can be faster."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from engine import ready, report, tasks_from_arguments

from pacifictool.analytics.engine.jvm import DRIVER_JAVA_OPTIONS, compile_well_after
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java

AS_SPARK_DOES = " ".join(compile_well_after(1))
"""Java's own thresholds for its thorough compiler, which the job raises."""


def main() -> None:
    tasks = tasks_from_arguments()
    java = find_java(os.environ)
    jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    settings = SparkSettings(
        java_home=java.home, jars=jars, master="local[2]", environ=os.environ, conf={DRIVER_JAVA_OPTIONS: AS_SPARK_DOES}
    )
    with SparkRuntime(settings, tasks[0].folder) as runtime:
        _ = runtime.java_context
        # Spark's own query, which the job has no use for: through the JVM, as pyspark would.
        session = runtime.jvm.org.apache.spark.sql.SparkSession.builder().getOrCreate()
        ready()
        for task in tasks:
            options = {
                "kafka.bootstrap.servers": task.bootstrap,
                "subscribe": task.topic,
                "startingOffsets": "earliest",
                "maxRecordsPerPartition": "500000",
            }
            began = time.perf_counter()
            session.read().format("kafka").options(options).load().createOrReplaceTempView("topic")
            row = session.sql("SELECT count(*), sum(length(value)) FROM topic").first()
            report(row.getLong(0), time.perf_counter() - began, {})


main()
