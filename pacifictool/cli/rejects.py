"""`rejects`: records that the job could not use, with where they are and why."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.errors import AggregationError

if TYPE_CHECKING:
    from pacifictool.analytics.state.queries import InvalidRecord

app, command = command_app()

_SHOWN_CHARACTERS = 80


@command
def rejects(
    ctx: typer.Context,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The job's checkpoint; that of `aggregate` by default.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most so many, newest first.")] = 20,
    all_rejects: Annotated[bool, typer.Option("--all", help="Show all of them, in the topic's order.")] = False,
) -> None:
    """Show rejected records: topic, partition, offset, reason and value. Works while the job runs."""
    from pacifictool.analytics.state.reader import JobView
    from pacifictool.cli.aggregate import default_checkpoint

    session = session_of(ctx)
    folder = checkpoint or default_checkpoint(session)
    view = JobView.open(folder)
    if view is None:
        raise AggregationError(
            f"No job has run with the checkpoint {folder}.", hint="Name the folder of the job with --checkpoint."
        )
    with contextlib.closing(view), session.patience("Reading the rejects"):
        reasons = view.invalid_counts()
        shown = [_document(record) for record in view.invalid_records(newest=None if all_rejects else limit)]
    document = {"ok": True, "total": sum(reasons.values()), "reasons": reasons, "rejects": shown}
    session.output.emit(document, lambda console: _render(console, document))


def _document(reject: InvalidRecord) -> dict[str, Any]:
    try:
        text = None if reject.value is None else reject.value.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    return {
        "topic": reject.topic,
        "partition": reject.partition,
        "offset": reject.offset,
        "reason": reject.reason,
        "timestamp": reject.timestamp_ms,
        "value": text,
        # Bytes that are no text can only travel in JSON like this.
        "value_base64": base64.b64encode(reject.value).decode() if text is None and reject.value is not None else None,
    }


def _render(console: Any, document: dict[str, Any]) -> None:
    from pacifictool.cli.render import table

    rows = []
    for reject in document["rejects"]:
        value = reject["value"] if reject["value"] is not None else f"base64 {reject['value_base64'] or ''}"
        more = f" … ({len(value)} characters)" if len(value) > _SHOWN_CHARACTERS else ""
        where = f"{reject['topic']} {reject['partition']}:{reject['offset']}"
        rows.append([where, reject["reason"], value[:_SHOWN_CHARACTERS] + more])
    console.print(table(f"{document['total']} rejects", {"Where": "left", "Why": "left", "Value": "left"}, rows))
    for reason, count in document["reasons"].items():
        console.print(f"  {count} x {reason}")
