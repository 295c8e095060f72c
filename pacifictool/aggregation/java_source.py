"""Java sources of ours, compiled in Spark's JVM when they are first needed and handed to its executors."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def add_java_source(session: SparkSession, source: Path, jar: Path) -> None:
    """Makes the classes of a source file known to driver and executors; `jar` is written and must stay.

    The compiler is Janino, with which Spark compiles its generated code: it is among Spark's jars, so that neither a
    JDK nor a build is needed. It takes Java without lambdas, and forgets type arguments. Raises Py4JError or OSError.
    """
    jvm: Any = session._jvm  # noqa: SLF001 - Java code has no other way in
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(loader)
    compiler.cook(source.read_text(encoding="utf-8"))
    with zipfile.ZipFile(jar, "w") as archive:
        for name, code in dict(compiler.getBytecodes()).items():
            archive.writestr(f"{name.replace('.', '/')}.class", bytes(code))
    # Executors fetch it from the driver, which has Spark's own loader for jars that come later.
    loader.addURL(jvm.java.io.File(str(jar)).toURI().toURL())
    session.sparkContext._jsc.addJar(str(jar))  # noqa: SLF001
