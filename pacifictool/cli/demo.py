"""`demo`: the whole tutorial, with checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.sandbox import SandboxGeneration
from pacifictool.errors import ChecksFailed, UsageError
from pacifictool.private_files import private_files

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.demo.checks import DemoResult, LiveView
    from pacifictool.demo.runner import DemoOptions
    from pacifictool.settings import Settings

app, command = command_app("pacifictool demo --fast", "pacifictool demo --fast --report run.html")

SHOWN_WINDOWS = 6
"""Per zone in the table; -o json contains all."""

JOB_FOLDER = "job"
"""The name of the job's checkpoint in the demo's folder."""

SERVER = "server"
"""The step before the runner's: a server that is available."""


@command
def demo(
    ctx: typer.Context,
    fast: Annotated[
        bool, typer.Option("--fast", help="Windows of 2 s instead of 10 s; less than a minute in total.")
    ] = False,
    real: Annotated[bool, typer.Option("--real", help="Use the configured server and Kafka, not a sandbox.")] = False,
    generation: Annotated[
        SandboxGeneration, typer.Option(help="Server generation that the sandbox imitates: 1 for 1.x, 4 for 4.x.")
    ] = SandboxGeneration.FIRST,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the sandbox's data and logs, and print their folder.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a report of the run: NAME.html, NAME.png or NAME.svg."),
    ] = None,
) -> None:
    """Run the whole tutorial in a sandbox and check its results; exit code 0 only if every check passes.

    With turbine 1 alone, the mean of Zone A is about 32.5; with turbine 2 as well, about 40; with turbine 3, the asset
    Zone B is created, with a mean of about 45. Compares every posted mean with one computed independently from the
    topic.
    """
    from pacifictool.analytics.launch import spark_settings
    from pacifictool.demo.runner import Demo, DemoOptions

    session = session_of(ctx)
    if session.settings.scenario_path is not None:
        raise UsageError(
            "The demo runs the tutorial, whose results are known; it cannot use another scenario.",
            hint="Run your own scenario with setup, aggregate and simulate.",
        )
    if report is not None:
        from pacifictool.report.write import check_target

        check_target(report)
    options = DemoOptions(fast=fast)
    environment = session.environment
    with session.temporary_folder(keep=keep) as work_dir, _view(session, real=real) as view:
        spark = spark_settings(
            session.settings,
            environment.environ,
            cache_dir=environment.cache_dir,
            master="local[2]",
            reporter=session.reporter,
        )
        with _server(session, work_dir, int(generation.value), view, real=real) as settings:
            runner = Demo(
                settings,
                options,
                spark=spark,
                checkpoint=work_dir / JOB_FOLDER,
                starting_offsets="latest" if real else "earliest",
                reporter=session.reporter,
                stop=session.stop,
                view=view,
            )
            with private_files():
                result = runner.run()
            if report is not None:
                _write_report(session, settings, options, work_dir / JOB_FOLDER, result.seconds, report)
    document = result.as_document() | ({} if report is None else {"report": str(report.absolute())})
    session.output.emit(document, lambda console: _render(console, result, report))
    if not result.ok:
        failed = [check.name for check in result.checks if not check.ok]
        if session.output.as_json:
            raise typer.Exit(1)
        raise ChecksFailed(f"{len(failed)} of {len(result.checks)} checks failed: {', '.join(failed)}.")


@contextmanager
def _server(session: CliSession, work_dir: Path, generation: int, view: LiveView, *, real: bool) -> Iterator[Settings]:
    """The configured server, or a sandbox for this demo on free ports."""
    if real:
        session.connect().close()
        yield session.settings
        return
    from pacifictool.local.stack import LocalStack, StackPage
    from pacifictool.watch.web import PAGE, page_options

    stack = LocalStack(
        work_dir,
        generation=generation,
        page=StackPage(PAGE, page_options(job=work_dir / JOB_FOLDER)),
        cache_dir=session.environment.cache_dir,
        environ=session.environment.environ,
        jars_mirror=session.settings.jars_mirror,
        jars_folder=session.settings.jars_folder,
        reporter=session.reporter,
    )
    try:
        with session.reporter.task("Starting the sandbox"):
            stack.start()
        view.on_page(f"{stack.platform.url}/")
        yield stack.settings(session.settings)
    finally:
        # This broker's data is not read again and need not be flushed to disk.
        stack.stop(graceful=False)


def _write_report(
    session: CliSession, settings: Settings, options: DemoOptions, job_folder: Path, seconds: float, file: Path
) -> None:
    from pacifictool.report.collect import collect
    from pacifictool.report.write import write_report
    from pacifictool.rest import Platform

    with session.reporter.task(f"Drawing {file.name}"):
        with Platform.connect(settings, stop=session.stop, reporter=session.reporter) as platform:
            facts = collect(platform, settings.kafka, options.scenario(), job_folder=job_folder, last_seconds=seconds)
        write_report(facts, file)


@contextmanager
def _view(session: CliSession, *, real: bool) -> Iterator[LiveView]:
    """A checklist on a terminal, which also replaces the reporter; plain lines elsewhere."""
    from pacifictool.cli.checklist import Checklist, ChecklistStep, PlainLines
    from pacifictool.demo.phases import PHASES
    from pacifictool.demo.runner import COMPARING, SETTING_UP, STARTING_SPARK

    if not session.draws_on_terminal:
        yield PlainLines(session.reporter)
        return
    steps = [
        ChecklistStep(SERVER, "The server is available" if real else "A platform and a Kafka broker start"),
        ChecklistStep(SETTING_UP, "Topic, forwarding, three turbines, asset Zone A"),
        ChecklistStep(STARTING_SPARK, "Spark waits for readings"),
        *(ChecklistStep(phase.check, phase.title, phase.zone, phase.expected) for phase in PHASES),
        ChecklistStep(COMPARING, "Every mean equals the one recomputed from the topic"),
    ]
    before = session.reporter
    checklist = Checklist(
        session.environment.stderr,
        "The tutorial from end to end",
        steps,
        colour=session.colour,
        verbose=session.verbose,
    )
    session.reporter = checklist
    try:
        with checklist.shown():
            checklist.on_step(SERVER)
            yield checklist
            checklist.finish()
    finally:
        session.reporter = before


def _render(console: Any, result: DemoResult, report: Path | None) -> None:
    from pacifictool.cli.render import table
    from pacifictool.tools.times import utc_text

    rows = []
    for name, zone in sorted(result.zones.items()):
        windows = sorted(zone.windows.items())
        newest = [[utc_text(end), f"{mean:.2f}"] for end, mean in windows[-SHOWN_WINDOWS:]]
        if len(windows) > SHOWN_WINDOWS:
            newest.insert(0, [f"{len(windows) - SHOWN_WINDOWS} earlier", ""])
        rows += [
            [name if first else "", zone.created_by if first else "", *cells]
            for first, cells in zip([True, *[False] * len(newest)], newest, strict=False)
        ]
    columns = {"Zone": "left", "Asset created by": "left", "Window end": "left", f"Mean {result.value_key}": "right"}
    console.print(table("Zones", columns, rows))
    checks = [["✓" if check.ok else "✗", check.name, check.describe()] for check in result.checks]
    console.print(table("Checks", {"": "left", "Check": "left", "Result": "left"}, checks))
    verdict = "All checks passed" if result.ok else "Not all checks passed"
    console.print(f"{verdict}. {result.readings['acknowledged']} readings in {result.seconds:.1f} s.")
    if report is not None:
        console.print(f"Report: {report}", soft_wrap=True)
