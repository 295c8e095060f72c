"""`aggregate`: the Spark job, from Kafka to the assets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.analytics.engine.jvm import JAVA_SIZE
from pacifictool.analytics.sinks.registry import SINKS, SinkOptions, sink_kind
from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import CheckpointOption, MetricsOption, parse_key_values, seconds_option
from pacifictool.cli.running import marked_as, serving_metrics
from pacifictool.errors import UsageError
from pacifictool.mqtt import ANALYTICS_GATEWAY
from pacifictool.private_files import private_files

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client.core import Metric

    from pacifictool.analytics.config import JobConfig
    from pacifictool.analytics.job_progress import JobProgress, JobSummary
    from pacifictool.analytics.monitor import JobMonitor
    from pacifictool.cli.context import CliSession

app, command = command_app(
    "pacifictool aggregate",
    "pacifictool aggregate --window 1m --sink kafka --checkpoint ./job --starting-offsets earliest",
)


@command
def aggregate(
    ctx: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this analytics of the scenario; repeatable. (default: all)"),
    ] = None,
    window: Annotated[
        str | None, typer.Option(metavar="TIME", help="Length of all windows. (default: the scenario's)")
    ] = None,
    lateness: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Allowed lateness: how late a record still counts. (default: the scenario's)"
        ),
    ] = None,
    sink: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(SINKS),
            help="Where results go: to assets or devices over REST, to virtual devices through the Analytics Gateway, "
            "to a Kafka topic, or to the screen. (default: rest; gateway for hundreds of groups if setup created one)",
        ),
    ] = None,
    gateway_device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"With --sink gateway: the gateway to publish through. (default: {ANALYTICS_GATEWAY})",
        ),
    ] = None,
    result_topic: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC",
            help="With --sink kafka: the topic for the results. (default: the scenario's topic + -means)",
        ),
    ] = None,
    master: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Spark master: local[N], spark://HOST:PORT or yarn. (default: local[*])"),
    ] = None,
    checkpoint: CheckpointOption = None,
    starting_offsets: Annotated[
        str, typer.Option(metavar="latest|earliest|TIME", help="Where a new checkpoint starts; TIME as ISO 8601.")
    ] = "latest",
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop this long after the first read of the topic.")
    ] = None,
    available_now: Annotated[
        bool, typer.Option("--available-now", help="Process what the topic holds, post every window, and stop.")
    ] = False,
    give_up_after: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Stop if nothing could be delivered for this time. (default: never)"),
    ] = None,
    metrics: MetricsOption = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Heap of Spark's driver, for example 1g.")] = "1g",
    conf: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A Spark property; repeatable.")] = None,
) -> None:
    """Run the Spark job that computes the analytics of the scenario and posts their results, until Ctrl-C.

    With the same checkpoint, it continues where the last run ended. Invalid records are kept: see `pacifictool
    rejects`.
    """
    from pacifictool.analytics.config import JobConfig
    from pacifictool.analytics.job import AggregationJob
    from pacifictool.analytics.launch import function_runner, open_alarms, open_sink, record_rules, spark_settings
    from pacifictool.analytics.starting import starting_point
    from pacifictool.rest import NO_RETRY

    session = session_of(ctx)
    # Options are parsed before anything is connected to, downloaded or started.
    if JAVA_SIZE.fullmatch(memory) is None:
        raise UsageError(f"--memory: {memory!r} is not a size.", hint="For example 512m or 2g.")
    starting_point(starting_offsets)
    spark_conf = parse_key_values(conf or [], "--conf")
    seconds = None if duration is None else seconds_option("--duration", duration)
    give_up_seconds = None if give_up_after is None else seconds_option("--give-up-after", give_up_after)
    rules = record_rules(session.scenario, only=only or (), window=window, lateness=lateness)
    if sink is None:
        needs_name = gateway_device is not None or result_topic is not None
        sink = _default_sink(session, checkpoint, only or (), needs_name=needs_name)
    kind = sink_kind(sink)
    for option, given, needed in (
        ("--gateway-device", gateway_device, "gateway"),
        ("--result-topic", result_topic, "kafka"),
    ):
        if given is not None and sink != needed:
            raise UsageError(f"{option} requires --sink {needed}, not --sink {sink}.")
    output, reporter = session.output, session.reporter
    functions = function_runner(rules, session.settings.kafka, rules.forwarding.topic, reporter)
    options = SinkOptions(
        settings=session.settings,
        scenario=session.scenario.model_copy(update={"analytics": rules.analytics, "alarms": rules.alarms}),
        connect=lambda: session.connect(retry=NO_RETRY),  # the delivery retries, and reports it
        # With --output json, stdout is for the one JSON document.
        write=reporter.info if output.as_json else output.write_line,
        gateway_device=gateway_device or ANALYTICS_GATEWAY,
        result_topic=result_topic,
    )
    folder = (checkpoint or session.job_folders.default(sink, kind.target(options), only=only or ())).absolute()
    with ExitStack() as opened:
        # A port in use is reported, and probes get a response, before anything is downloaded or started.
        facts = {"topic": rules.forwarding.topic, "sink": sink, "checkpoint": str(folder)}
        monitor = opened.enter_context(_watched(session, metrics, facts))
        config = JobConfig(
            kafka=session.settings.kafka,
            topic=rules.forwarding.topic,
            rules=rules,
            checkpoint=folder,
            spark=spark_settings(
                session.settings,
                session.environment.environ,
                cache_dir=session.environment.cache_dir,
                master=master,
                memory=memory,
                conf=spark_conf,
                functions=len(rules.functions),
                reporter=reporter,
            ),
            starting_offsets=starting_offsets,
            duration=seconds,
            available_now=available_now,
            give_up_after=give_up_seconds,
        )
        task = opened.enter_context(reporter.task("Aggregating", unit="records"))

        def show(progress: JobProgress) -> None:
            monitor.note(progress)
            task.update(completed=progress.records, note=_describe(progress))

        stop, tracker = session.stop, monitor.tracker
        target = opened.enter_context(
            open_sink(kind, options, folder, stop=stop, reporter=reporter, failed=tracker.failed)
        )
        alarms = opened.enter_context(
            open_alarms(sink, options, rules, folder, stop=stop, reporter=reporter, failed=tracker.failed)
        )
        opened.enter_context(session.winding_down_on_interrupt())
        opened.enter_context(private_files())
        summary = AggregationJob(
            config,
            target,
            functions=functions,
            alarms=alarms,
            reporter=reporter,
            progress=show,
            tracker=tracker,
        ).run(stop)
    output.emit({"ok": True, **summary.as_document()}, lambda console: _render(console, summary, config))
    session.exit_if_interrupted()


def _default_sink(session: CliSession, checkpoint: Path | None, only: Sequence[str], *, needs_name: bool) -> str:
    """The sink without --sink; `needs_name`: an option is given that requires --sink, as the error will say."""
    from pacifictool.analytics.defaults import REST, choose_sink

    if needs_name:
        return REST
    folders = session.job_folders
    return choose_sink(
        session.scenario.only(only) if only else session.scenario,
        lambda name: checkpoint or folders.default(name, only=only),
        session.connect,
        reporter=session.reporter,
    )


@contextmanager
def _watched(session: CliSession, metrics: str | None, facts: Mapping[str, str]) -> Iterator[JobMonitor]:
    """Shows the job with these facts to Prometheus, probes and `status` until the context ends; gives the monitor that
    the job reports to. Raises UsageError or PortInUse for `metrics`."""
    from pacifictool import __version__
    from pacifictool.analytics.monitor import JobMonitor

    monitor = JobMonitor()

    def collect() -> Iterable[Metric]:
        from pacifictool.analytics.job_metrics import job_metrics

        return job_metrics(monitor, {**facts, "version": __version__})

    with serving_metrics(session, metrics, collect, monitor.problem, monitor.hang) as url:
        known = {**facts, "since": time.time(), "metrics": url}
        with marked_as(session, "job", lambda: {**known, **monitor.facts()}):
            yield monitor


def _describe(progress: JobProgress) -> str:
    """One line: rate, open windows, invalid records, lag and the newest results, or what is wrong."""
    if progress.delivery_failure:
        return f"not delivered: {progress.delivery_failure}"
    if progress.phase != "running":
        return progress.phase
    parts = [f"{progress.records_per_second:.0f}/s", f"{progress.open_windows} open windows"]
    if progress.rejected:
        reason = f" ({progress.last_invalid.reason})" if progress.last_invalid else ""
        parts.append(f"{progress.rejected} invalid{reason}")
    if progress.function_failures:
        parts.append(f"{progress.function_failures} windows without results ({progress.last_function_failure})")
    if progress.alarms:
        parts.append(f"{progress.alarms} active alarms")
    if progress.lag:
        parts.append(f"{progress.lag} behind")
    newest = {result.entity: next(iter(result.values.values())) for result in progress.last_posted if result.values}
    parts += [f"{entity} {value:.2f}" for entity, value in sorted(newest.items())[:4]]
    return ", ".join(parts)


def _render(console: Any, summary: JobSummary, config: JobConfig) -> None:
    from pacifictool.cli.render import table

    invalid = sum(summary.rejects.values())
    rows = [
        ["Records", f"{summary.records} in {summary.batches} batches"],
        ["Valid", str(summary.valid)],
        ["Invalid", f"{invalid}" + (" (shown by `pacifictool rejects`)" if invalid else "")],
        ["Results posted", f"{summary.windows_posted}, including {summary.corrections} corrections"],
        ["Open for the next run", f"{summary.open_windows} windows"],
        ["Lag", "unknown" if summary.lag is None else f"{summary.lag} records"],
        ["Checkpoint", str(config.checkpoint)],
        ["Time", f"{summary.seconds:.1f} s, ended by {summary.stopped_by}"],
    ]
    if summary.refused:
        rows.insert(4, ["Refused by the platform", f"{summary.refused} results"])
    if summary.function_failures:
        failures = f"{summary.function_failures} (shown by `pacifictool rejects`)"
        rows.insert(4, ["Windows whose function failed", failures])
    if config.rules.alarms or summary.alarms_raised or summary.alarms_cleared or summary.alarms_active:
        refused = f", {summary.alarms_refused} refused by the platform" if summary.alarms_refused else ""
        alarms = f"{summary.alarms_raised} raised, {summary.alarms_cleared} cleared, {summary.alarms_active} active"
        rows.insert(4, ["Alarms", alarms + refused])
    console.print(table("Aggregation", {"What": "left", "": "left"}, rows))
    for reason, count in sorted(summary.rejects.items(), key=lambda item: -item[1]):
        console.print(f"  {count} x {reason}", markup=False)
    if summary.last_function_failure is not None:
        console.print(f"  {summary.last_function_failure}", markup=False)
