"""Asks before something is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pacifictool.display import one_line
from pacifictool.errors import UsageError

if TYPE_CHECKING:
    from pacifictool.cli.context import Session


def confirm(session: Session, question: str, *, yes: bool) -> None:
    """Returns when the user agrees. Raises UsageError when there is nobody to ask, Abort when the answer is no."""
    if yes:
        return
    if not session.environment.stdin_is_terminal:
        raise UsageError("This deletes things and nobody is here to confirm it.", hint="Add --yes.")
    session.environment.stderr.write(f"{one_line(question)} [y/N] ")
    session.environment.stderr.flush()
    if session.environment.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Abort
