"""Java sources of ours, compiled in Spark's JVM when they are first needed and handed to its executors."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def java_files(*classes: str) -> list[Path]:
    """The source files of these classes of ours, which may use those before them."""
    return [Path(__file__).with_name("java") / f"{name}.java" for name in classes]


def add_java_sources(jvm: Any, java_context: Any, sources: Sequence[Path], jar: Path) -> None:
    """Makes the classes of source files of one package known to driver and executors; `jar` is written and must stay.

    The compiler is Janino, with which Spark compiles its generated code: it is among Spark's jars, so that neither a
    JDK nor a build is needed. It takes Java without lambdas, and forgets type arguments. It gets all files as one, so
    that they may use one another; one after the other takes twice as long. Raises Py4JError or OSError.
    """
    driver = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(driver)
    compiler.cook(_as_one([source.read_text(encoding="utf-8") for source in sources]))
    with zipfile.ZipFile(jar, "w") as archive:
        for name, code in dict(compiler.getBytecodes()).items():
            archive.writestr(f"{name.replace('.', '/')}.class", bytes(code))
    # Executors fetch it from the driver, which has Spark's own loader for jars that come later.
    driver.addURL(jvm.java.io.File(str(jar)).toURI().toURL())
    java_context.addJar(str(jar))


def _as_one(sources: Sequence[str]) -> str:
    """One source with the package and the imports of all, each once, before their classes."""
    heads: dict[str, None] = {}
    bodies = []
    for source in sources:
        lines = source.splitlines()
        heads |= dict.fromkeys(line for line in lines if line.startswith(("package ", "import ")))
        bodies += [line for line in lines if not line.startswith(("package ", "import "))]
    return "\n".join([*heads, *bodies])
