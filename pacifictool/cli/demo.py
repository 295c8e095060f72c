"""`demo`: the whole tutorial, checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.sandbox import Generation
from pacifictool.demo.checks import LiveView
from pacifictool.errors import ChecksFailed, UsageError

if TYPE_CHECKING:
    from pacifictool.cli.context import Session
    from pacifictool.demo.checks import Check, DemoResult
    from pacifictool.settings import Settings

app, command = command_app()


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
) -> None:
    """Play the tutorial from end to end and check its numbers; exit code 0 only if every check holds.

    Turbine 1 alone gives Zone A a mean of about 32.5; with turbine 2 it is about 40; turbine 3 makes the asset Zone B
    appear, with a mean of about 45. Every posted mean is compared with one computed independently from the topic.
    """
    from pacifictool.aggregation.job import JobConfig
    from pacifictool.cli.aggregate import spark_settings
    from pacifictool.demo.story import Demo, DemoOptions
    from pacifictool.provisioning.forwarding import forwarding_spec

    session = session_of(ctx)
    if session.settings.scenario_path is not None:
        raise UsageError(
            "The demo plays the tutorial, whose numbers are known; it takes no scenario.",
            hint="Play your own with setup, aggregate and simulate.",
        )
    options = DemoOptions(fast=fast)
    scenario = options.scenario()
    spark = spark_settings(session, master="local[2]")
    with (
        session.temporary_folder(keep=keep) as work_dir,
        _surroundings(session, work_dir, int(generation.value), real=real) as settings,
    ):
        config = JobConfig(
            kafka=settings.kafka,
            topic=scenario.kafka.topic,
            aggregation=scenario.aggregation,
            checkpoint=work_dir / "job",
            spark=spark,
            starting_offsets="latest" if real else "earliest",
        )
        result = Demo(
            settings,
            options,
            spec=forwarding_spec(settings, scenario),
            job_config=config,
            reporter=session.reporter,
            stop=session.stop,
            view=_View(session),
        ).run()
    session.output.emit(result.as_document(), lambda console: _render(console, result))
    if not result.ok:
        failed = [check.name for check in result.checks if not check.ok]
        if session.output.as_json:
            raise typer.Exit(1)
        raise ChecksFailed(f"{len(failed)} of {len(result.checks)} checks did not hold: {', '.join(failed)}.")


@contextmanager
def _surroundings(session: Session, work_dir: Path, generation: int, *, real: bool) -> Iterator[Settings]:
    """The configured server, or a sandbox of this demo's own on free ports."""
    if real:
        session.connect().close()
        yield session.settings
        return
    from pacifictool.sandbox.stack import LocalStack

    stack = LocalStack(
        work_dir,
        generation=generation,
        cache_dir=session.cache_dir,
        environ=session.environment.environ,
        jars_mirror=session.settings.jars_mirror,
        jars_folder=session.settings.jars_folder,
        reporter=session.reporter,
    )
    try:
        with session.reporter.task("Starting the sandbox"):
            stack.start()
        yield stack.settings(session.settings)
    finally:
        # Nobody will read this broker's data again: it need not be written out.
        stack.stop(graceful=False)


class _View(LiveView):
    """Says every check as soon as it is made, and every mean with --verbose."""

    def __init__(self, session: Session) -> None:
        self._reporter = session.reporter

    def on_check(self, check: Check) -> None:
        self._reporter.info(f"{'✓' if check.ok else '✗'} {check.name}: {check.describe()}")

    def on_mean(self, zone: str, window_end_ms: int, mean: float) -> None:
        from pacifictool.cli.listing import iso_time

        self._reporter.detail(f"{zone}: {mean:.4f} for the window until {iso_time(window_end_ms)}")


def _render(console: Any, result: DemoResult) -> None:
    from pacifictool.cli.listing import iso_time
    from pacifictool.cli.render import table

    rows = []
    for name, zone in sorted(result.zones.items()):
        for number, (end, mean) in enumerate(sorted(zone.windows.items())):
            first = number == 0
            rows.append([name if first else "", zone.created_by if first else "", iso_time(end), f"{mean:.2f}"])
    columns = {"Zone": "left", "Asset created by": "left", "Window until": "left", f"Mean {result.value_key}": "right"}
    console.print(table("Zones", columns, rows))
    checks = [["✓" if check.ok else "✗", check.name, check.describe()] for check in result.checks]
    console.print(table("Checks", {"": "left", "Check": "left", "Found": "left"}, checks))
    verdict = "All checks hold" if result.ok else "Not all checks hold"
    console.print(f"{verdict}. {result.readings['acknowledged']} readings in {result.seconds:.1f} s.")
