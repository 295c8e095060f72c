"""`report`: what a run looked like, as a page or a picture to keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.simulate import seconds_option
from pacifictool.errors import UsageError

if TYPE_CHECKING:
    from pacifictool.report.facts import RunFacts

app, command = command_app()

MAX_LAST_SECONDS = 366 * 86_400.0


@command
def report(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it: NAME.html, NAME.png or NAME.svg.")],
    last: Annotated[str, typer.Option(metavar="TIME", help="How far to look back, for example 10m.")] = "1h",
    zone: Annotated[
        list[str] | None,
        typer.Option("--zone", metavar="NAME", help="A zone to show; repeatable. (default: the first 12)"),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The job's checkpoint; that of `aggregate` by default.")
    ] = None,
) -> None:
    """Draw what a run looked like: means per zone with the turbines' ranges, rates, waits and rejects.

    Means come from the platform, readings from the topic, waits and rejects from the job's checkpoint. The page needs
    no network. Works while the job runs and after it.
    """
    from pacifictool.cli.aggregate import default_checkpoint
    from pacifictool.report.collect import collect
    from pacifictool.report.write import check_target, write_report

    session = session_of(ctx)
    check_target(file)
    seconds = seconds_option("--last", last)
    if not 0 < seconds <= MAX_LAST_SECONDS:
        raise UsageError("--last: give a time between a moment and a year.", hint="For example 10m or 6h.")
    with session.connect() as platform:
        facts = collect(
            platform,
            session.settings.kafka,
            session.scenario,
            job_folder=(checkpoint or default_checkpoint(session)).absolute(),
            last_seconds=seconds,
            zones=zone or (),
            reporter=session.reporter,
        )
    with session.reporter.task(f"Drawing {file.name}"):
        write_report(facts, file)
    document = {"ok": True, "file": str(file.absolute()), **facts.as_document()}
    session.output.emit(document, lambda console: _render(console, facts, file))


def _render(console: Any, facts: RunFacts, file: Path) -> None:
    from pacifictool.cli.render import table
    from pacifictool.report.wording import figures, notes, subtitle

    console.print(
        table(f"Report of {subtitle(facts)}", {"What": "left", "": "left"}, [list(row) for row in figures(facts)])
    )
    for note in notes(facts):
        console.print(note)
    console.print(f"Written: {file}", soft_wrap=True)
