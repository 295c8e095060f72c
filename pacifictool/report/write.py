"""Writes a report into a file whose name says what it is to be."""

from __future__ import annotations

from pathlib import Path

from pacifictool.errors import OutputFailed, UsageError, file_fault
from pacifictool.report.facts import RunFacts

KINDS = {".html": "html", ".htm": "html", ".png": "png", ".svg": "svg"}


def check_target(path: Path) -> str:
    """The kind of file, by its name. Raises UsageError, for faults that are better found before a long run."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: a report is an .html, .png or .svg file.", hint="For example: report.html")
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", hint="Name a file in it, for example report.html.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.absolute().parent}.", hint="Make it first, or name another file.")
    return kind


def write_report(facts: RunFacts, path: Path) -> None:
    """Draws `facts` into `path`, replacing an earlier file when all is drawn. Raises UsageError, OutputFailed."""
    kind = check_target(path)
    unfinished = path.with_name(f".{path.name}.part")
    try:
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
        unfinished.unlink(missing_ok=True)
