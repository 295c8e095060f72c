"""Writes a report into a file whose name says what it is to be."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pacifictool.errors import OutputFailed, UsageError, file_fault
from pacifictool.report.facts import RunFacts

KINDS = {".html": "html", ".htm": "html", ".png": "png", ".svg": "svg"}

_MAKER = b"pacifictool"
_HEAD_BYTES = 4096
"""Each kind of file names its maker near its beginning."""


def check_target(path: Path) -> str:
    """The kind of file, by its name. Raises UsageError, for faults that are better found before a long run."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: a report is an .html, .png or .svg file.", hint="For example: report.html")
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", hint="Name a file in it, for example report.html.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.absolute().parent}.", hint="Make it first, or name another file.")
    if path.exists() and not _is_report(path):
        raise UsageError(
            f"{path} exists and is not a report of pacifictool; it is not replaced.",
            hint="Name another file, or move that one away first.",
        )
    return kind


def write_report(facts: RunFacts, path: Path) -> None:
    """Draws `facts` into `path`, replacing an earlier report when all is drawn. Raises UsageError, OutputFailed."""
    kind = check_target(path)
    unfinished: Path | None = None
    try:
        # Under a name that nobody else has, and readable as any new file is.
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.stem}.", suffix=".part")
        os.close(handle)
        unfinished = Path(name)
        unfinished.chmod(0o666 & ~_umask())
        if kind == "html":
            from pacifictool.report.html import page

            unfinished.write_text(page(facts), encoding="utf-8")
        else:
            from pacifictool.report.picture import save

            save(facts, unfinished, kind)
        unfinished.replace(path)
    except OSError as error:
        raise OutputFailed(
            f"The report {path} cannot be written: {file_fault(error)}.",
            hint="Name a file in a folder that can be written and has space left.",
        ) from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def _is_report(path: Path) -> bool:
    if not path.is_file():
        return False  # A pipe would be waited for.
    try:
        with path.open("rb") as file:
            return _MAKER in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _umask() -> int:
    """The process's mask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
