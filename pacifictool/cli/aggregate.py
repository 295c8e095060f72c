"""`aggregate`: the Spark job, from Kafka to the assets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.analytics.sinks.registry import SINKS, SinkOptions, sink_kind
from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.simulate import seconds_option
from pacifictool.errors import Interrupted, UsageError
from pacifictool.mqtt import ANALYTICS_GATEWAY
from pacifictool.private_files import private_files

if TYPE_CHECKING:
    from pacifictool.analytics.config import JobConfig
    from pacifictool.analytics.engine.spark import SparkSettings
    from pacifictool.analytics.progress import JobProgress, JobSummary
    from pacifictool.analytics.sinks.base import Sink
    from pacifictool.analytics.sinks.registry import SinkKind
    from pacifictool.cli.context import Session
    from pacifictool.reporting import ProgressTask
    from pacifictool.scenario import Aggregation

app, command = command_app()

SECRET_VARIABLE = "PACIFICTOOL_SPARK_SECRET"  # noqa: S105 - the name of a variable
"""Holds the secret of a standalone cluster: a command line can be read by everybody on the machine."""

_JAVA_SIZE = re.compile(r"[1-9][0-9]{0,8}[kKmMgGtT]?")


@command
def aggregate(
    ctx: typer.Context,
    window: Annotated[
        str | None, typer.Option(metavar="TIME", help="Length of a window; the scenario's by default.")
    ] = None,
    lateness: Annotated[str | None, typer.Option(metavar="TIME", help="How late a record may still count.")] = None,
    sink: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(SINKS),
            help="Where means go: to assets over REST, to virtual devices through the Analytics Gateway, to a Kafka "
            "topic, or to the screen. (default: rest, or gateway for hundreds of zones when setup has made one)",
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
            metavar="TOPIC", help="With --sink kafka: the topic for the means. (default: the scenario's topic + -means)"
        ),
    ] = None,
    master: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Spark master: local[N], spark://HOST:PORT or yarn. (default: local[*])"),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the job remembers what it has done; one folder a job.")
    ] = None,
    starting_offsets: Annotated[
        str, typer.Option(metavar="latest|earliest|TIME", help="Where a new checkpoint starts; TIME as ISO 8601.")
    ] = "latest",
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop this long after the first look at the topic.")
    ] = None,
    available_now: Annotated[
        bool, typer.Option("--available-now", help="Count what the topic holds, post every window, and stop.")
    ] = False,
    give_up_after: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Stop when nothing could be delivered for so long. (default: never)"),
    ] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Heap of Spark's driver, for example 1g.")] = "1g",
    conf: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A Spark property; repeatable.")] = None,
) -> None:
    """Average each zone over each window and post the means, until told to stop.

    A restart on the same checkpoint goes on where the last run ended. Records that cannot be used are kept: see
    `pacifictool rejects`.
    """
    from pacifictool.analytics.config import JobConfig
    from pacifictool.analytics.job import AggregationJob
    from pacifictool.analytics.state.checkpoint import has_begun
    from pacifictool.cli.context import parse_key_values

    session = session_of(ctx)
    if sink is None:
        sink = _chosen_sink(session, checkpoint, gateway_device=gateway_device, result_topic=result_topic)
    kind = sink_kind(sink)
    for option, given, wanted in (
        ("--gateway-device", gateway_device, "gateway"),
        ("--result-topic", result_topic, "kafka"),
    ):
        if given is not None and sink != wanted:
            raise UsageError(f"{option} goes with --sink {wanted}, not with --sink {sink}.")
    if _JAVA_SIZE.fullmatch(memory) is None:
        raise UsageError(f"--memory: {memory!r} is not a size.", hint="Write for example 512m or 2g.")
    aggregation = _aggregation(session, window, lateness)
    # All options are read before jars are fetched for the sake of one that is wrong.
    spark_conf = parse_key_values(conf or [], "--conf")
    seconds = None if duration is None else seconds_option("--duration", duration)
    patience = None if give_up_after is None else seconds_option("--give-up-after", give_up_after)
    options = _sink_options(session, aggregation, gateway_device=gateway_device, result_topic=result_topic)
    config = JobConfig(
        kafka=session.settings.kafka,
        topic=session.scenario.kafka.topic,
        aggregation=aggregation,
        checkpoint=(checkpoint or default_checkpoint(session, sink, kind.target(options))).absolute(),
        spark=spark_settings(session, master=master, memory=memory, conf=spark_conf),
        starting_offsets=starting_offsets,
        duration=seconds,
        available_now=available_now,
        give_up_after=patience,
    )
    with ExitStack() as opened, _shown(session) as show:
        target = _open(kind, options, opened, session, waits=has_begun(config.checkpoint))
        job = AggregationJob(config, target, reporter=session.reporter, progress=show)
        with session.winding_down_on_interrupt(), private_files():
            summary = job.run(session.stop)
    session.output.emit({"ok": True, **summary.as_document()}, lambda console: _render(console, summary, config))
    session.exit_if_interrupted()


def _open(kind: SinkKind, options: SinkOptions, opened: ExitStack, session: Session, *, waits: bool) -> Sink:
    """Opens the sink; `waits`: a job that has run before waits for its platform."""
    from pacifictool.analytics.waiting import wait_until_reachable

    target = wait_until_reachable(
        lambda: opened.enter_context(kind.open(options)), session.stop, session.reporter, waits=waits
    )
    if target is None:
        raise Interrupted
    return target


def spark_settings(
    session: Session, *, master: str | None = None, memory: str = "1g", conf: dict[str, str] | None = None
) -> SparkSettings:
    """Java and the connector's jars for Spark, fetched when they are not cached; under spark-submit both are its own.

    The secret of a standalone cluster comes from $PACIFICTOOL_SPARK_SECRET. Warns when there is none and machines other
    than this one can reach the driver. Raises UsageError for a master beside that of spark-submit.
    """
    from pacifictool.analytics.engine.spark import SparkSettings
    from pacifictool.runtime import SPARK_KAFKA, ensure_jars, find_java

    environ = session.environment.environ
    guest = SparkSettings(java_home=Path(environ.get("JAVA_HOME", "")), jars=(), environ=environ, conf=conf or {})
    if guest.is_guest:
        if master is not None:
            raise UsageError("--master: spark-submit has chosen the master.", hint="Give it to spark-submit instead.")
        return guest
    java = find_java(environ)
    session.reporter.detail(f"Using Java {java.full_version} ({java.source})")
    settings = session.settings
    jars = ensure_jars(
        SPARK_KAFKA,
        java=java,
        cache_dir=session.cache_dir,
        mirror=settings.jars_mirror,
        folder=settings.jars_folder,
        environ=environ,
        reporter=session.reporter,
    )
    spark = SparkSettings(
        java_home=java.home,
        jars=jars,
        master=master or "local[*]",
        memory=memory,
        environ={name: value for name, value in environ.items() if name != SECRET_VARIABLE},
        conf=conf or {},
        secret=environ.get(SECRET_VARIABLE) or None,
    )
    if not (spark.authenticates or spark.is_on_loopback or "spark.authenticate" in spark.conf):
        session.reporter.warning(
            f"{spark.master} is used without a secret: whoever reaches the ports of this job or of the cluster can run "
            f"programs there. Set {SECRET_VARIABLE} to the cluster's spark.authenticate.secret (docs/clusters.md)."
        )
    return spark


def _chosen_sink(
    session: Session, checkpoint: Path | None, *, gateway_device: str | None, result_topic: str | None
) -> str:
    """The sink when nobody names one."""
    from pacifictool.cli.sink_choice import REST, choose_sink

    if gateway_device is not None or result_topic is not None:
        return REST  # these go with a sink that must be named, and that is what the complaint says
    return choose_sink(
        session.scenario,
        checkpoint_of=lambda name: checkpoint or default_checkpoint(session, name),
        connect=session.connect,
        gateway_device=ANALYTICS_GATEWAY,
        reporter=session.reporter,
    )


def default_checkpoint(session: Session, sink: str | None = None, target: str | None = None) -> Path:
    """A folder for the job that these settings describe: the same settings find the same folder again.

    `target` says where exactly the sink writes to; None: what the settings say. Without `sink`: the folder of the job
    that `aggregate` would go on with.
    """
    if sink is None:
        from pacifictool.cli.sink_choice import likely_folder

        return likely_folder(lambda name: default_checkpoint(session, name))
    topic = session.scenario.kafka.topic
    if target is None:
        target = sink_kind(sink).target(_sink_options(session, session.scenario.aggregation))
    identity = f"{session.settings.kafka.bootstrap}\n{topic}\n{target}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    return session.state_dir() / "jobs" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', topic)}-{sink}-{digest}"


def _sink_options(
    session: Session, aggregation: Aggregation, *, gateway_device: str | None = None, result_topic: str | None = None
) -> SinkOptions:
    from pacifictool.rest import NO_RETRY

    # stdout belongs to the one JSON document, when that is what was asked for.
    output = session.output
    return SinkOptions(
        settings=session.settings,
        scenario=session.scenario.model_copy(update={"aggregation": aggregation}),
        connect=lambda: session.connect(retry=NO_RETRY),  # the delivery waits and repeats, and says so
        write=session.reporter.info if output.as_json else output.write_line,
        gateway_device=gateway_device or ANALYTICS_GATEWAY,
        result_topic=result_topic,
    )


def _aggregation(session: Session, window: str | None, lateness: str | None) -> Aggregation:
    from pydantic import ValidationError

    from pacifictool.scenario import Aggregation, describe_validation_error

    aggregation = session.scenario.aggregation
    given = {name: value for name, value in (("window", window), ("lateness", lateness)) if value is not None}
    try:
        return Aggregation.model_validate(aggregation.model_dump() | given)
    except ValidationError as error:
        raise UsageError(
            f"--{describe_validation_error(error)}.", hint="docs/scenario.md says what the keys of this name may be."
        ) from None


@contextmanager
def _shown(session: Session) -> Iterator[Any]:
    """Draws the job's progress: one line that is kept up to date, or now and then a plain line."""
    with session.reporter.task("Aggregating", unit="records") as task:
        yield lambda progress: _update(task, progress)


def _update(task: ProgressTask, progress: JobProgress) -> None:
    task.update(completed=progress.records, note=describe_progress(progress))


def describe_progress(progress: JobProgress) -> str:
    """One line: rate, open windows, rejects, lag, the newest means, and what is wrong."""
    if progress.delivery_failure:
        return f"not delivered: {progress.delivery_failure}"
    if progress.phase != "running":
        return progress.phase
    parts = [f"{progress.records_per_second:.0f}/s", f"{progress.open_windows} open windows"]
    if progress.rejected:
        reason = f" ({progress.last_invalid.reason})" if progress.last_invalid else ""
        parts.append(f"{progress.rejected} rejects{reason}")
    if progress.lag:
        parts.append(f"{progress.lag} behind")
    newest: dict[str, float] = {}
    for mean in progress.last_posted:
        newest[mean.zone] = mean.mean
    parts += [f"{zone} {mean:.2f}" for zone, mean in sorted(newest.items())[:4]]
    return ", ".join(parts)


def _render(console: Any, summary: JobSummary, config: JobConfig) -> None:
    from pacifictool.cli.render import table

    rejected = sum(summary.rejects.values())
    rows = [
        ["Records", f"{summary.records} in {summary.batches} batches"],
        ["Counted", str(summary.valid)],
        ["Rejected", f"{rejected}" + (" (`pacifictool rejects` shows them)" if rejected else "")],
        ["Means posted", f"{summary.windows_posted}, of these {summary.corrections} corrections"],
        ["Left for the next start", f"{summary.open_windows} windows"],
        ["Behind the topic's end", "not known" if summary.lag is None else f"{summary.lag} records"],
        ["Checkpoint", str(config.checkpoint)],
        ["Time", f"{summary.seconds:.1f} s, ended by {summary.stopped_by}"],
    ]
    if summary.refused:
        rows.insert(4, ["Refused by the platform", f"{summary.refused} means"])
    console.print(table("Aggregation", {"What": "left", "": "left"}, rows))
    for reason, count in sorted(summary.rejects.items(), key=lambda item: -item[1]):
        console.print(f"  {count} x {reason}", markup=False)
