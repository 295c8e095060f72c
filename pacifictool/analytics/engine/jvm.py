"""The command line of Spark's JVM, which we launch ourselves."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pacifictool.errors import AggregationError

DRIVER_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
"""The property of Spark with options for the driver's JVM: its launcher, which we leave out, would pass them on."""

JAVA_SIZE = re.compile(r"([1-9][0-9]{0,8})([kKmMgGtT]?)")
"""How Java writes the size of a heap; without a unit in bytes."""

_COMPILE_WELL_FACTOR = 20
"""Java's thorough compiler takes only what runs this many times as often as it usually asks for: the loop over a
backlog's records, and not what happens at the start, whose processor time it takes. Measured in docs/performance.md."""

_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_GC_CHOICE = re.compile(r"-XX:\+Use\w+GC\b")
_OPENED = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs",
    "sun.security.action", "sun.util.calendar",
)  # fmt: skip
"""Packages of java.base that Spark 4.2 reaches into (its launcher's JavaModuleOptions)."""

_LOG4J = """\
# Made by pacifictool at each start.
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}}{{UTC}} %p %c{{1}}: %m%n%ex
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
# The lines about a query that we stopped, and a failure that we report ourselves.
logger.hadoop.name = org.apache.hadoop.util.NativeCodeLoader
logger.hadoop.level = error
"""


def driver_options(conf: Mapping[str, str], memory: str) -> list[str]:
    """Options for the JVM with a heap of at most `memory` (Java's notation, "1g"): ours, then those out of Spark's
    properties, which win; the garbage collector and the sizes of its parts are ours to choose if they name none.

    Raises AggregationError for a quotation mark without its partner.
    """
    given = conf.get(DRIVER_JAVA_OPTIONS, "")
    try:
        options = shlex.split(given)
    except ValueError as error:
        raise AggregationError(
            f"{DRIVER_JAVA_OPTIONS} cannot be taken apart into options: {str(error).lower()}.",
            hint="Options with spaces in them stand in quotation marks.",
        ) from error
    collector = [] if _GC_CHOICE.search(given) else ["-XX:+UseParallelGC", *_heap_parts(memory)]
    return [*compile_well_after(_COMPILE_WELL_FACTOR), *collector, *options]


def compile_well_after(factor: int) -> list[str]:
    """Options with the thresholds of Java's thorough compiler, `factor` times its own."""
    own = {"Invocation": 5_000, "MinInvocation": 600, "Compile": 15_000, "BackEdge": 40_000}
    return [f"-XX:Tier4{name}Threshold={factor * threshold}" for name, threshold in own.items()]


def _heap_parts(memory: str) -> list[str]:
    """Sizes that keep the heap as small as its work allows: Java's own choices are a start with 1/64 of the machine's
    memory, whatever the job needs, and a third of the heap for new objects.

    Empty for what is not a size, which Java reports. Measured with 1g and 5,000,000 records in 3 groups: 672 MB at the
    peak with Java's choices, 547 MB with these, at the same processor time; 10,000 groups 1,028 and 718 MB.
    """
    size = JAVA_SIZE.fullmatch(memory)
    if size is None:
        return []
    kilobytes = int(size[1]) * _BYTES[size[2].lower()] // 1024
    return [f"-Xms{kilobytes // 8}k", f"-XX:MaxNewSize={kilobytes // 6}k"]


def has_user_name() -> bool:
    """Whether this process's user id has a name; in containers it often has none."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def log4j_properties(log: Path) -> str:
    """What Spark logs, and where: warnings and worse into `log`, 10 MB of it and the three files before."""
    return _LOG4J.format(log=log)


def jvm_arguments(
    *, class_path: Sequence[str], memory: str, more: Sequence[str], log4j: Path, temporary: Path
) -> list[str]:
    """Everything after `java`: the driver of a Python program, as Spark's own launcher would start it."""
    return [
        "-cp",
        os.pathsep.join(class_path),
        f"-Xmx{memory}",
        *more,
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:+IgnoreUnrecognizedVMOptions",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Dlog4j2.configurationFile={log4j.as_uri()}",
        f"-Djava.io.tmpdir={temporary}",
        # Java knows no home folder of a user id without a name, as containers have them.
        *([] if has_user_name() else [f"-Duser.home={temporary}"]),
        # What SparkSubmit runs for pyspark, without SparkSubmit, which takes 0.5 s of processor time to get there.
        "org.apache.spark.api.python.PythonGatewayServer",
    ]
