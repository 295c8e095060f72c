"""`report`: a run as a page or a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import CheckpointOption, seconds_option
from pacifictool.cli.render import table
from pacifictool.errors import UsageError

if TYPE_CHECKING:
    from pacifictool.report.facts import RunFacts

MAX_LAST_SECONDS = 366 * 86_400.0

app, command = command_app("pacifictool report run.html", "pacifictool report run.png --last 10m")


@command
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
