"""Makes a Spark session know the platform, and starts one on this machine for those who have none."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pacifictool.errors import RuntimeMissing
from pacifictool.spark.failures import spoken
from pacifictool.spark.login import PlatformLogin

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from pacifictool.settings import Settings

_PUSHDOWN: Final = "spark.sql.python.filterPushdown.enabled"
_USUAL_PARALLELISM: Final = 4
"""Where a session does not say, as over Spark Connect."""


@spoken
def register(
    spark: SparkSession,
    settings: Settings | None = None,
    *,
    url: str | None = None,
    username: str | None = None,
    password_file: str | os.PathLike[str] | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
) -> None:
    """Registers the format "pacifictool" with a session, and lets Spark push filters down to it.

    Address and credentials are those of the command line: of these arguments, environment variables such as
    PACIFICTOOL_URL and PACIFICTOOL_PASSWORD, and the configuration files; or of `settings`. They are read now, and go
    to Spark's workers within the pickled data source, never as options. Register again after they have changed.

    Raises SettingsError.
    """
    try:
        from pacifictool.spark.source import PlatformSource
    except ModuleNotFoundError as error:
        raise RuntimeMissing(
            f"The data source needs the Python package {error.name}, here and on Spark's workers.",
            hint="Install it: pip install 'pacifictool[analytics]'",
        ) from error
    given = {"url": url, "username": username, "password_file": password_file, "api_key_file": api_key_file}
    logged_in = PlatformLogin.of_settings(settings or resolved_settings(**given))

    # A class of its own, since Spark instantiates it with the options alone; being local, it is pickled by value.
    class RegisteredSource(PlatformSource):
        login = logged_in
        parallelism = _parallelism(spark)

    spark.dataSource.register(RegisteredSource)
    spark.conf.set(_PUSHDOWN, "true")


def resolved_settings(**flags: Any) -> Settings:
    """The settings of this process, as the command line would resolve them. Raises SettingsError."""
    from pacifictool.settings import Sources, resolve, user_config_file

    given = {name: os.fspath(value) for name, value in flags.items() if value is not None}
    return resolve(Sources(given, os.environ, Path.cwd(), user_config_file(), sys.stdin.read))


def local_session(
    app_name: str = "pacifictool", *, master: str = "local[*]", kafka: bool = True, conf: Mapping[str, str] = {}
) -> SparkSession:
    """A Spark session on this machine, or the one that there is already: for notebooks and tests.

    Finds or brings Java, listens on the loopback interface only, and, with `kafka`, has the Kafka connector, which is
    fetched once. `conf` are further properties of Spark.

    Raises JavaMissing, JarsMissing, and what else `runtime` raises.
    """
    from pyspark.sql import SparkSession

    from pacifictool.runtime.cache import default_cache_dir
    from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
    from pacifictool.runtime.java import find_java, spark_java_home

    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    cache, java = default_cache_dir(os.environ), find_java(os.environ)
    os.environ["JAVA_HOME"] = str(spark_java_home(java, cache))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    properties = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if kafka:
        jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=cache, environ=os.environ)
        # On the class path: as spark.jars they would be copied at each start.
        properties["spark.driver.extraClassPath"] = os.pathsep.join(map(str, jars))
    builder = SparkSession.builder.master(master).appName(app_name)
    for name, value in {**properties, **conf}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _parallelism(spark: SparkSession) -> int:
    try:
        return max(1, int(spark.sparkContext.defaultParallelism))
    except Exception:  # noqa: BLE001 - over Spark Connect there is no context, which is reported in many ways
        return _USUAL_PARALLELISM
