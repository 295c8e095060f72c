"""`rejects` and its commands: shows, exports, replays and expires what a job could not use."""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from pacifictool.cli.framework import command_group_app, session_of, subcommand
from pacifictool.cli.options import CheckpointOption, DryRunOption, YesOption, seconds_option
from pacifictool.cli.render import table
from pacifictool.display import json_document
from pacifictool.errors import FileNotWritten, UsageError, file_fault
from pacifictool.tools.times import utc_iso

if TYPE_CHECKING:
    from pacifictool.analytics.state.outcomes import KeptFailure
    from pacifictool.analytics.state.queries import InvalidRecord
    from pacifictool.analytics.state.reader import JobView

_SHOWN_CHARACTERS = 80

ReasonOption = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="TEXT", help="Only records with exactly this reason; repeatable. (default: all)"),
]

app, rejects_command = command_group_app(
    "pacifictool rejects", "pacifictool rejects --all -o json", shared=("checkpoint",)
)


@rejects_command
def rejects(
    ctx: typer.Context,
    checkpoint: CheckpointOption = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most N records, newest first.")] = 20,
    show_all: Annotated[bool, typer.Option("--all", help="Show all of them, in the topic's order.")] = False,
) -> None:
    """Show what the job could not use: invalid records with topic, partition, offset, reason and value, and windows for
    which a function gave no results, with the reason and the newest traceback.

    Works while the job runs and after it.
    """
    from pacifictool.analytics.state.schema import KEPT_FAILURES

    session = session_of(ctx)
    with _opened(ctx, checkpoint) as view, session.slow_task("Reading the invalid records"):
        reasons = view.invalid_counts()
        shown = [_document(record) for record in view.invalid_records(newest=None if show_all else limit)]
        failures = view.function_failures(newest=KEPT_FAILURES if show_all else limit)
        counters = view.counters()
    document = {
        "ok": True,
        "total": sum(reasons.values()),
        "reasons": reasons,
        "dropped": counters.get("invalid_dropped", 0),
        "rejects": shown,
        "function_failures_total": counters.get("function_failures", 0),
        "function_failures": [_failure_document(failure) for failure in failures],
    }
    session.output.emit(document, lambda console: render_invalid_records(console, document))


@subcommand(app, "pacifictool rejects export invalid.jsonl", "pacifictool rejects export - --reason empty")
def export(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; - writes to standard output.", allow_dash=True)
    ],
    checkpoint: CheckpointOption = None,
    reason: ReasonOption = None,
) -> None:
    """Write the invalid records into a file, one JSON object per line, in the topic's order.

    Each has topic, partition, offset, timestamp, reason, and the value as text or, where it is not text, in base64.
    """
    session = session_of(ctx)
    to_stdout = str(file) == "-"
    if to_stdout and session.output.as_json:
        raise UsageError("The records cannot be written to standard output together with -o json.", hint="Name a file.")
    written, path = 0, session.environment.folder / file
    with _opened(ctx, checkpoint) as view, session.slow_task("Exporting the invalid records"):
        records = (record for record in view.invalid_records() if not reason or record.reason in reason)
        if to_stdout:
            for record in records:
                session.output.write_document(_document(record), indent=None)
            return
        with _private_file(path) as opened:
            for record in records:
                opened.write(f"{json_document(_document(record), ascii_only=True)}\n")
                written += 1
    session.output.emit(
        {"ok": True, "file": str(path), "records": written},
        lambda console: console.print(f"Written: {file}, {written} records."),
    )


@subcommand(
    app, "pacifictool rejects replay --dry-run", 'pacifictool rejects replay --reason "windSpeed is not a number"'
)
def replay(
    ctx: typer.Context,
    checkpoint: CheckpointOption = None,
    reason: ReasonOption = None,
    partly_counted: Annotated[
        bool,
        typer.Option(
            "--partly-counted", help="Also those of which another key or analytics may have been counted already."
        ),
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Send the invalid records to their topic again, after what made them invalid is corrected.

    Each is sent at least once: what Kafka has acknowledged is marked, and a second call leaves it out; a call that is
    killed may have sent the last 500 without marking them. Every consumer of the topic gets them. They keep their
    partition, value and timestamp, and have the header pacifictool-replay.
    """
    from pacifictool.analytics.replay import replay as send_again
    from pacifictool.analytics.state.dead_letters import DeadLetters

    session = session_of(ctx)
    with (
        DeadLetters(_folder(ctx, checkpoint)) as letters,
        session.reporter.task("Replaying", unit="records") as task,
        session.winding_down_on_interrupt(),
    ):
        counts = send_again(
            letters,
            session.settings.kafka,
            reasons=reason or (),
            partly_counted=partly_counted,
            dry_run=dry_run,
            stop=session.stop,
            task=task,
        )

    def render(console: Any) -> None:
        verb = "would be replayed" if dry_run else "replayed"
        console.print(f"{counts.replayed} records {verb}.")
        for number, text in (
            (counts.replayed_before, "had been replayed before."),
            (counts.partly_counted, "left out: something of them may be counted already (--partly-counted)."),
            (counts.without_value, "left out: they have no value."),
        ):
            if number:
                console.print(f"{number} {text}")

    session.output.emit({"ok": True, "dry_run": dry_run, **asdict(counts)}, render)
    session.exit_if_interrupted()


@subcommand(app, "pacifictool rejects expire --older-than 30d --yes")
def expire(
    ctx: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="How long the job has kept them, for example 30d.")
    ],
    checkpoint: CheckpointOption = None,
    yes: YesOption = False,
) -> None:
    """Delete the invalid records that the job has kept for longer than a time, to the hour. Their counts stay.

    The space is used again for new records. Works while the job runs.
    """
    from pacifictool.analytics.state.dead_letters import DeadLetters

    session = session_of(ctx)
    seconds = seconds_option("--older-than", older_than)
    folder = _folder(ctx, checkpoint)
    with DeadLetters(folder) as letters:
        session.confirm(f"Delete invalid records of {folder} that are older than {older_than}?", yes=yes)
        with session.slow_task("Deleting invalid records"):
            expired = letters.expire(round((time.time() - seconds) * 1000))
    session.output.emit(
        {"ok": True, "expired": expired}, lambda console: console.print(f"Deleted {expired} invalid records.")
    )


def _folder(ctx: typer.Context, checkpoint: Path | None) -> Path:
    """The job's folder: named behind the command, before it (`rejects --checkpoint DIR export …`), or the usual one."""
    named = checkpoint or (ctx.parent.params.get("checkpoint") if ctx.parent is not None else None)
    return named or session_of(ctx).job_folders.default()


@contextmanager
def _opened(ctx: typer.Context, checkpoint: Path | None) -> Iterator[JobView]:
    from pacifictool.analytics.state.dead_letters import no_job
    from pacifictool.analytics.state.reader import JobView

    folder = _folder(ctx, checkpoint)
    view = JobView.open(folder)
    if view is None:
        raise no_job(folder)
    with contextlib.closing(view):
        yield view


@contextmanager
def _private_file(path: Path) -> Iterator[TextIO]:
    """A new file for this user only: it holds what devices sent. Raises UsageError, FileNotWritten."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already.", hint="Remove it, or name another file.") from None
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _not_written(path, error) from error
        raise


def _not_written(path: Path, error: OSError) -> FileNotWritten:
    return FileNotWritten(f"{path} cannot be written: {file_fault(error)}.", hint="Name another file.")


def _document(record: InvalidRecord) -> dict[str, Any]:
    try:
        text = None if record.value is None else record.value.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "reason": record.reason,
        "timestamp": record.timestamp_ms,
        "value": text,
        # Bytes that are not text can only be in JSON like this.
        "value_base64": base64.b64encode(record.value).decode() if text is None and record.value is not None else None,
        "replayed": record.replayed_ms,
    }


def _failure_document(failure: KeptFailure) -> dict[str, Any]:
    from pacifictool.analytics.windows import group_values

    return {
        "analytics": failure.analytics,
        "group": group_values(failure.group),
        "window_end": failure.window_end_ms,
        "records": failure.count,
        "at": failure.at_ms,
        "failure": failure.failure,
        "traceback": failure.traceback,
    }


def render_invalid_records(console: Any, document: dict[str, Any]) -> None:
    """The records as a table, and the number per reason."""
    rows = []
    for record in document["rejects"]:
        value = record["value"] if record["value"] is not None else f"base64 {record['value_base64'] or ''}"
        more = f" … ({len(value)} characters)" if len(value) > _SHOWN_CHARACTERS else ""
        where = f"{record['topic']} {record['partition']}:{record['offset']}"
        rows.append([where, record["reason"], value[:_SHOWN_CHARACTERS] + more])
    title = f"{document['total']} invalid records"
    console.print(table(title, {"Where": "left", "Reason": "left", "Value": "left"}, rows))
    for reason, count in document["reasons"].items():
        console.print(f"  {count} x {reason}")
    unlisted = document["total"] - len(rows) - document.get("dropped", 0)
    if rows and unlisted > 0:
        console.print(f"And {unlisted} more, which --all shows.")
    if document.get("dropped"):
        console.print(f"The oldest {document['dropped']} of them were dropped, as too much was kept.")
    if document.get("function_failures"):
        _render_failures(console, document)


def _render_failures(console: Any, document: dict[str, Any]) -> None:
    """The windows whose function gave no results, as a table, and the newest traceback."""
    failures = document["function_failures"]
    rows = [
        [failure["analytics"], " / ".join(failure["group"]), utc_iso(failure["window_end"]), failure["failure"]]
        for failure in failures
    ]
    title = f"{document['function_failures_total']} windows whose function failed"
    columns = {"Analytics": "left", "Group": "left", "Window end": "left", "Failure": "left"}
    console.print(table(title, columns, rows))
    traceback = next((failure["traceback"] for failure in failures if failure["traceback"] is not None), None)
    if traceback is not None:
        for line in traceback.splitlines():
            console.print(line)
