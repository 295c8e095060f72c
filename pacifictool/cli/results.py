"""`rejects` and `report`: what a job left behind."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import CheckpointOption, seconds_option
from pacifictool.cli.render import table
from pacifictool.errors import AggregationError, UsageError
from pacifictool.tools.times import utc_iso

if TYPE_CHECKING:
    from pacifictool.analytics.state.outcomes import KeptFailure
    from pacifictool.analytics.state.queries import InvalidRecord
    from pacifictool.report.facts import RunFacts

MAX_LAST_SECONDS = 366 * 86_400.0
_SHOWN_CHARACTERS = 80

rejects_app, rejects_command = command_app("pacifictool rejects", "pacifictool rejects --all -o json")
report_app, report_command = command_app("pacifictool report run.html", "pacifictool report run.png --last 10m")


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
    from pacifictool.analytics.state.reader import JobView
    from pacifictool.analytics.state.schema import KEPT_FAILURES

    session = session_of(ctx)
    folder = checkpoint or session.job_folders.default()
    view = JobView.open(folder)
    if view is None:
        raise AggregationError(
            f"No job has run with the checkpoint {folder}.", hint="Name the job's folder with --checkpoint."
        )
    with contextlib.closing(view), session.slow_task("Reading the invalid records"):
        reasons = view.invalid_counts()
        shown = [_document(record) for record in view.invalid_records(newest=None if show_all else limit)]
        failures = view.function_failures(newest=KEPT_FAILURES if show_all else limit)
        failed = view.counters().get("function_failures", 0)
    document = {
        "ok": True,
        "total": sum(reasons.values()),
        "reasons": reasons,
        "rejects": shown,
        "function_failures_total": failed,
        "function_failures": [_failure_document(failure) for failure in failures],
    }
    session.output.emit(document, lambda console: render_invalid_records(console, document))


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


@report_command
def report(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write: NAME.html, NAME.png or NAME.svg.")],
    last: Annotated[str, typer.Option(metavar="TIME", help="How far to look back, for example 10m.")] = "1h",
    analytics: Annotated[
        list[str] | None,
        typer.Option("--analytics", metavar="NAME", help="Only this analytics; repeatable. (default: all)"),
    ] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity",
            metavar="NAME",
            help="The group whose results this entity has; repeatable. (default: the first 12 of each analytics)",
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Draw a run as a page or a picture: results by group, the devices' ranges, rates, latency and invalid records.

    Results come from the platform, readings from the topic, latency and invalid records from the job's checkpoint. The
    page needs no network. Works while the job runs and after it.
    """
    from pacifictool.report.collect import collect
    from pacifictool.report.write import check_target, write_report

    session = session_of(ctx)
    check_target(file)
    seconds = seconds_option("--last", last)
    if not 0 < seconds <= MAX_LAST_SECONDS:
        raise UsageError("--last must be more than 0 and at most a year.", hint="For example 10m or 6h.")
    with session.connect() as platform:
        facts = collect(
            platform,
            session.settings.kafka,
            session.scenario if analytics is None else session.scenario.only(analytics),
            job_folder=(checkpoint or session.job_folders.default()).absolute(),
            last_seconds=seconds,
            entities=entity or (),
            reporter=session.reporter,
        )
    with session.reporter.task(f"Drawing {file.name}"):
        write_report(facts, file)
    document = {"ok": True, "file": str(file.absolute()), **facts.as_document()}
    session.output.emit(document, lambda console: _render_report(console, facts, file))


def _render_report(console: Any, facts: RunFacts, file: Path) -> None:
    from pacifictool.report.alarms import alarm_lines
    from pacifictool.report.wording import figures, notes, subtitle

    rows = [list(row) for row in figures(facts)]
    console.print(table(f"Report of {subtitle(facts)}", {"What": "left", "": "left"}, rows))
    for note in (*alarm_lines(facts), *notes(facts)):
        console.print(note)
    console.print(f"Written: {file}", soft_wrap=True)
