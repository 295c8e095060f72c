"""The files that functions need, as archives that Spark sends to its workers, and whether the functions can be loaded.

A job works with the files as they are when it starts: an edited function takes effect with the next start, on all
machines at once.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

import pacifictool
from pacifictool.analytics.engine.function_process import FunctionProcess, FunctionUnusable
from pacifictool.errors import ScenarioError, UsageError, file_fault
from pacifictool.scenario import Analytics
from pacifictool.scenario.function import FunctionReference

_MISSING: Final = re.compile(r"No module named '(?P<module>\w+)|No such file or directory: '(?P<path>[^']+)'")


@dataclass(frozen=True, slots=True)
class _Shipped:
    """The files of one function."""

    root: Path
    """The folder that they have in common."""
    path: str
    """Of the function's own file, relative to it."""
    files: tuple[Path, ...]


class FunctionFiles:
    """The functions of some analytics with all files that they need."""

    def __init__(self, analytics: Iterable[Analytics]) -> None:
        """Raises ScenarioError for a file that does not exist."""
        self.name = f"functions-{uuid.uuid4().hex}"
        """Of the folder that workers find the files in; each analytics has a folder of its own there."""
        self._shipped = {each.name: _shipped(each, each.function) for each in analytics if each.function is not None}

    def path(self, analytics: Analytics) -> str:
        """Of the function's file in the folder."""
        return f"{analytics.name}/{self._shipped[analytics.name].path}"

    def write(self, archive: Path) -> None:
        """Writes the archive. Raises ScenarioError for a file that cannot be read, and OSError."""
        with zipfile.ZipFile(archive, "w") as target:
            for name, shipped in self._shipped.items():
                for file in shipped.files:
                    try:
                        target.write(file, f"{name}/{file.relative_to(shipped.root).as_posix()}")
                    except (FileNotFoundError, PermissionError) as error:
                        raise ScenarioError(f"The file {file} cannot be read: {file_fault(error)}.") from error

    def unlisted(self, analytics: str, text: str) -> str | None:
        """The file that a message `as_written` says is missing, relative to the function's own, if the user has it and
        `files` of the analytics does not name it."""
        shipped = self._shipped[analytics]
        own = (shipped.root / shipped.path).parent
        for missing in _MISSING.finditer(text):
            module, path = missing["module"], missing["path"]
            candidates = [own / f"{module}.py", own / str(module)] if module else [Path(path)]
            for file in candidates:
                if own in file.parents and file.exists() and file not in shipped.files:
                    return file.relative_to(own).as_posix()
        return None

    def as_written(self, analytics: str, text: str) -> str:
        """A message or traceback of a worker, with the paths of the files as the user knows them."""
        shipped = self._shipped[analytics]
        there = re.compile(rf"""[^"'\s]*{re.escape(self.name)}/{re.escape(analytics)}(?=/)""")
        return there.sub(lambda _: str(shipped.root), text)


def _shipped(analytics: Analytics, reference: FunctionReference) -> _Shipped:
    file = reference.file.absolute()
    if not file.is_file():
        raise ScenarioError(
            f"The function {reference} of analytics {analytics.name!r} cannot be loaded: {file} does not exist.",
            hint="The path is relative to the folder of the scenario's file.",
        )
    found = [file]
    for entry in analytics.files:
        path = Path(os.path.normpath(file.parent / entry))
        if PurePath(entry).is_absolute() or not path.exists():
            raise ScenarioError(
                f"The file {entry!r} of analytics {analytics.name!r} does not exist in {file.parent}.",
                hint="`files` are relative to the folder of the function's own file.",
            )
        found += _files_of(path)
    root = Path(os.path.commonpath([each.parent for each in found]))
    return _Shipped(root, file.relative_to(root).as_posix(), tuple(dict.fromkeys(found)))


def _files_of(path: Path) -> Iterator[Path]:
    """The file, or all files of the folder."""
    if path.is_file():
        yield path
        return
    yield from (each for each in sorted(path.rglob("*")) if each.is_file() and "__pycache__" not in each.parts)


def write_package(archive: Path) -> None:
    """Writes this package into an archive that Python can import, for workers that do not have it."""
    folder = Path(pacifictool.__file__).parent
    with zipfile.ZipFile(archive, "w") as target:
        for module in sorted(folder.rglob("*.py")):
            target.write(module, module.relative_to(folder.parent).as_posix())


def check_functions(analytics: Sequence[Analytics]) -> None:
    """Loads the functions of these analytics, each in a process of its own, as workers will.

    Raises UsageError when pandas is missing, and ScenarioError for a function that cannot be loaded.
    """
    functions = [each for each in analytics if each.function is not None]
    if not functions:
        return
    if importlib.util.find_spec("pandas") is None:
        raise UsageError(
            f"The function {functions[0].function} needs pandas, which is not installed.",
            hint="Install it: pip install 'pacifictool[analytics]'.",
        )
    files = FunctionFiles(functions)
    with tempfile.TemporaryDirectory(prefix="pacifictool-") as temporary:
        folder = Path(temporary)
        files.write(folder / "archive")
        with zipfile.ZipFile(folder / "archive") as archive:
            archive.extractall(folder / files.name)
        for each in functions:
            _check(each, files, folder / files.name / files.path(each))


def _check(analytics: Analytics, files: FunctionFiles, file: Path) -> None:
    reference = analytics.function
    assert reference is not None
    config = {
        "file": str(file), "folder": str(file.parent), "name": reference.name, "text": reference.text,
        "memory": analytics.memory, "timeout": analytics.timeout,
    }  # fmt: skip
    process = FunctionProcess(config)
    try:
        process.load()
    except FunctionUnusable as error:
        message = files.as_written(analytics.name, error.message)
        hint = files.as_written(analytics.name, error.hint) if error.hint else None
        if (unlisted := files.unlisted(analytics.name, message)) is not None:
            hint = f"Add it to analytics {analytics.name!r}: files = {[*analytics.files, unlisted]}."
        details = {"traceback": files.as_written(analytics.name, error.traceback)} if error.traceback else {}
        raise ScenarioError(message, hint=hint, **details) from None
    finally:
        process.close()
