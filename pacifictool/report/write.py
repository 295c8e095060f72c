"""Writes a report to a file; the suffix of its name chooses the kind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pacifictool.errors import FileNotWritten, UsageError, file_fault
from pacifictool.report.facts import RunFacts

KINDS = {".html": "html", ".htm": "html", ".png": "png", ".svg": "svg"}

_GENERATOR = b"pacifictool"
_HEAD_BYTES = 4096
"""Each kind of file names its generator within this number of bytes."""


def check_target(path: Path) -> str:
    """The kind of file, by its suffix. Raises UsageError; call it before a long run whose report goes there."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: a report is an .html, .png or .svg file.", hint="For example: report.html")
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", hint="Give a file in it, for example report.html.")
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"The folder {path.absolute().parent} does not exist.", hint="Create it first, or choose another file."
        )
    if path.exists() and not _is_report(path):
        raise UsageError(
            f"{path} already exists and is not a report of pacifictool; it is not replaced.",
            hint="Choose another file, or move this one away first.",
        )
    return kind


def write_report(facts: RunFacts, path: Path) -> None:
    """Draws `facts` to `path` and replaces an earlier report at the end. Raises UsageError, FileNotWritten."""
    kind = check_target(path)
    unfinished: Path | None = None
    try:
        # A unique name, with the permissions of any new file.
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
        raise FileNotWritten(
            f"Could not write the report {path}: {file_fault(error)}.",
            hint="Choose a file in a folder that is writable and has free space.",
        ) from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def _is_report(path: Path) -> bool:
    if not path.is_file():
        return False  # opening a pipe would block
    try:
        with path.open("rb") as file:
            return _GENERATOR in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _umask() -> int:
    """The mask of the process, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
