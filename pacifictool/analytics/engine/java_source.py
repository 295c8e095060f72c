"""Java sources of ours, compiled in Spark's JVM when they are first needed and handed to its executors."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def java_files(*classes: str) -> list[Path]:
    """The source files of these classes of ours, which may use those before them."""
    return [Path(__file__).with_name("java") / f"{name}.java" for name in classes]


def compile_java(jvm: Any, sources: Sequence[Path], folder: Path) -> None:
    """Compiles source files of one package, which may use classes of earlier calls, into class files below `folder`.

    The compiler is Janino, with which Spark compiles its generated code: it is among Spark's jars, so that neither a
    JDK nor a build is needed. It takes Java without lambdas, and forgets type arguments. It gets all files as one, so
    that they may use one another; one after the other takes twice as long. Raises Py4JError or OSError.
    """
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(jvm.java.lang.Thread.currentThread().getContextClassLoader())
    compiler.cook(_as_one([source.read_text(encoding="utf-8") for source in sources]))
    for name, code in dict(compiler.getBytecodes()).items():
        file = folder / f"{name.replace('.', '/')}.class"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_bytes(bytes(code))


def class_jar(folder: Path, jar: Path) -> Path:
    """`jar`, written with all class files below `folder`."""
    with zipfile.ZipFile(jar, "w") as archive:
        for file in sorted(folder.rglob("*.class")):
            archive.write(file, file.relative_to(folder))
    return jar


def _as_one(sources: Sequence[str]) -> str:
    """One source with the package and the imports of all, each once, before their classes."""
    heads: dict[str, None] = {}
    bodies = []
    for source in sources:
        lines = source.splitlines()
        heads |= dict.fromkeys(line for line in lines if line.startswith(("package ", "import ")))
        bodies += [line for line in lines if not line.startswith(("package ", "import "))]
    return "\n".join([*heads, *bodies])
