"""`demo`: the whole tutorial, checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.sandbox import Generation
from pacifictool.errors import ChecksFailed, UsageError
from pacifictool.private_files import private_files

if TYPE_CHECKING:
    from pacifictool.analytics.config import JobConfig
    from pacifictool.cli.context import Session
    from pacifictool.demo.checks import DemoResult, LiveView
    from pacifictool.scenario import Scenario
    from pacifictool.settings import Settings

app, command = command_app()

SHOWN_WINDOWS = 6
"""Of each zone, in the table; -o json has them all."""

JOB_FOLDER = "job"
"""The job's checkpoint, in the demo's folder."""

SURROUNDINGS = "surroundings"
"""The step before those of the story: a server that answers."""


@command
def demo(
    ctx: typer.Context,
    fast: Annotated[
        bool, typer.Option("--fast", help="Windows of 2 s instead of 10 s: under a minute in all.")
    ] = False,
    real: Annotated[bool, typer.Option("--real", help="Use the configured server and Kafka, not a sandbox.")] = False,
    generation: Annotated[
        Generation, typer.Option(help="What the sandbox behaves like: 1 for servers of 1.x, 4 for those of 4.x.")
    ] = Generation.FIRST,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the sandbox's data and the logs, and say where they are.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw the run into NAME.html, NAME.png or NAME.svg."),
    ] = None,
) -> None:
    """Play the tutorial from end to end and check its numbers; exit code 0 only if every check holds.

    Turbine 1 alone gives Zone A a mean of about 32.5; with turbine 2 it is about 40; turbine 3 makes the asset Zone B
    appear, with a mean of about 45. Every posted mean is compared with one computed independently from the topic.
    """
    from pacifictool.analytics.config import JobConfig
    from pacifictool.cli.aggregate import spark_settings
    from pacifictool.demo.story import Demo, DemoOptions
    from pacifictool.provisioning.forwarding import forwarding_spec

    session = session_of(ctx)
    if session.settings.scenario_path is not None:
        raise UsageError(
            "The demo plays the tutorial, whose numbers are known; it takes no scenario.",
            hint="Play your own with setup, aggregate and simulate.",
        )
    if report is not None:
        from pacifictool.report.write import check_target

        check_target(report)
    options = DemoOptions(fast=fast)
    scenario = options.scenario()
    with session.temporary_folder(keep=keep) as work_dir, _shown(session, real=real) as view:
        spark = spark_settings(session, master="local[2]")
        with _surroundings(session, work_dir, int(generation.value), view, real=real) as settings:
            config = JobConfig(
                kafka=settings.kafka,
                topic=scenario.kafka.topic,
                aggregation=scenario.aggregation,
                checkpoint=work_dir / JOB_FOLDER,
                spark=spark,
                starting_offsets="latest" if real else "earliest",
            )
            play = Demo(
                settings,
                options,
                spec=forwarding_spec(settings, scenario),
                job_config=config,
                reporter=session.reporter,
                stop=session.stop,
                view=view,
            )
            with private_files():
                result = play.run()
            if report is not None:
                _write_report(session, settings, config, scenario, result.seconds, report)
    document = result.as_document() | ({} if report is None else {"report": str(report.absolute())})
    session.output.emit(document, lambda console: _render(console, result, report))
    if not result.ok:
        failed = [check.name for check in result.checks if not check.ok]
        if session.output.as_json:
            raise typer.Exit(1)
        raise ChecksFailed(f"{len(failed)} of {len(result.checks)} checks did not hold: {', '.join(failed)}.")


@contextmanager
def _surroundings(
    session: Session, work_dir: Path, generation: int, view: LiveView, *, real: bool
) -> Iterator[Settings]:
    """The configured server, or a sandbox of this demo's own on free ports."""
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
        cache_dir=session.cache_dir,
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
        # Nobody will read this broker's data again: it need not be written out.
        stack.stop(graceful=False)


def _write_report(
    session: Session, settings: Settings, config: JobConfig, scenario: Scenario, seconds: float, file: Path
) -> None:
    from pacifictool.report.collect import collect
    from pacifictool.report.write import write_report
    from pacifictool.rest import Platform

    with session.reporter.task(f"Drawing {file.name}"):
        with Platform.connect(settings, stop=session.stop, reporter=session.reporter) as platform:
            facts = collect(platform, settings.kafka, scenario, job_folder=config.checkpoint, last_seconds=seconds)
        write_report(facts, file)


@contextmanager
def _shown(session: Session, *, real: bool) -> Iterator[LiveView]:
    """A checklist for a person at a terminal, which also takes the place of the reporter; otherwise plain lines."""
    from pacifictool.cli.checklist import Checklist, PlainLines, Step
    from pacifictool.demo.story import COMPARING, PHASES, SETTING_UP, STARTING_SPARK

    if not session.draws_on_terminal:
        yield PlainLines(session.reporter)
        return
    steps = [
        Step(SURROUNDINGS, "The server answers" if real else "A platform and a Kafka broker start"),
        Step(SETTING_UP, "Topic, forwarding, three turbines, asset Zone A"),
        Step(STARTING_SPARK, "Spark waits for readings"),
        *(Step(phase.check, phase.title, phase.zone, phase.expected) for phase in PHASES),
        Step(COMPARING, "Every mean equals the topic's"),
    ]
    before = session.reporter
    checklist = Checklist(
        session.environment.stderr, "The tutorial, end to end", steps, colour=session.colour, verbose=session.verbose
    )
    session.reporter = checklist
    try:
        with checklist.shown():
            checklist.on_step(SURROUNDINGS)
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
            newest.insert(0, [f"{len(windows) - SHOWN_WINDOWS} before", ""])
        rows += [
            [name if first else "", zone.created_by if first else "", *cells]
            for first, cells in zip([True, *[False] * len(newest)], newest, strict=False)
        ]
    columns = {"Zone": "left", "Asset created by": "left", "Window until": "left", f"Mean {result.value_key}": "right"}
    console.print(table("Zones", columns, rows))
    checks = [["✓" if check.ok else "✗", check.name, check.describe()] for check in result.checks]
    console.print(table("Checks", {"": "left", "Check": "left", "Found": "left"}, checks))
    verdict = "All checks hold" if result.ok else "Not all checks hold"
    console.print(f"{verdict}. {result.readings['acknowledged']} readings in {result.seconds:.1f} s.")
    if report is not None:
        console.print(f"Report: {report}", soft_wrap=True)
