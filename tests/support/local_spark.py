"""Settings of the local Spark that tests use."""

from __future__ import annotations

import functools
import os

from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import JavaRuntime


@functools.cache
def local_spark(java: JavaRuntime) -> SparkSettings:
    """Two cores, with the connector's jars."""
    cache = default_cache_dir(os.environ)
    return SparkSettings(
        java_home=java.home,
        jars=ensure_jars(SPARK_KAFKA, java=java, cache_dir=cache, environ=os.environ),
        master="local[2]",
        environ=dict(os.environ),
    )
