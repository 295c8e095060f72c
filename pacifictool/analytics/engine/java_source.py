"""Java sources of ours, compiled in Spark's JVM when they are first needed and handed to its executors."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_java_sources(jvm: Any, java_context: Any, sources: Sequence[Path], jar: Path) -> None:
    """Makes the classes of source files known to driver and executors; `jar` is written and must stay.

    A file may use classes of those before it. The compiler is Janino, with which Spark compiles its generated code: it
    is among Spark's jars, so that neither a JDK nor a build is needed. It takes Java without lambdas, and forgets type
    arguments. Raises Py4JError or OSError.
    """
    driver = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    parent = driver
    with zipfile.ZipFile(jar, "w") as archive:
        for source in sources:
            compiler = jvm.org.codehaus.janino.SimpleCompiler()
            compiler.setParentClassLoader(parent)
            compiler.cook(source.read_text(encoding="utf-8"))
            parent = compiler.getClassLoader()
            for name, code in dict(compiler.getBytecodes()).items():
                archive.writestr(f"{name.replace('.', '/')}.class", bytes(code))
    # Executors fetch it from the driver, which has Spark's own loader for jars that come later.
    driver.addURL(jvm.java.io.File(str(jar)).toURI().toURL())
    java_context.addJar(str(jar))
