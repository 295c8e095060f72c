"""What a job needs before it can run: Spark's settings with Java and jars, its rules, and an open sink."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pacifictool.analytics.alarm_delivery import AlarmTarget
from pacifictool.analytics.engine.functions import FunctionRunner
from pacifictool.analytics.engine.records import AHEAD_OF_ARRIVAL, RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.run import MakeRunner
from pacifictool.analytics.sinks.alarms import ConsoleAlarmTarget, RestAlarmTarget
from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.sinks.registry import SinkKind, SinkOptions
from pacifictool.analytics.state.checkpoint import has_begun
from pacifictool.analytics.state.queries import StateQueries
from pacifictool.analytics.state.reader import has_alarms
from pacifictool.analytics.waiting import wait_until_reachable
from pacifictool.errors import Interrupted, ScenarioError, UsageError
from pacifictool.progress import SILENT, Reporter
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.scenario import Scenario, describe_validation_error
from pacifictool.settings import KafkaEndpoint, Settings

SECRET_VARIABLE: Final = "PACIFICTOOL_SPARK_SECRET"  # noqa: S105 - the name of a variable
"""Holds the secret of a standalone cluster: a command line can be read by everybody on the machine."""


def spark_settings(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    cache_dir: Path,
    master: str | None = None,
    memory: str = "1g",
    conf: Mapping[str, str] | None = None,
    functions: int = 0,
    reporter: Reporter = SILENT,
) -> SparkSettings:
    """How to start Spark: finds Java and downloads the Kafka connector's jars that are not in `cache_dir`.

    `functions` is the number of functions that its workers call. The secret of a standalone cluster comes from the
    variable PACIFICTOOL_SPARK_SECRET. Warns when there is none and other machines can reach the driver. Under spark-
    submit, Java and jars are spark-submit's.

    Raises UsageError for a `master` that contradicts spark-submit's, JavaMissing, JarsMissing, StorageFull.
    """
    submitted = SparkSettings(Path(environ.get("JAVA_HOME", "")), jars=(), environ=environ, conf=conf or {})
    if submitted.is_guest:
        if master is not None:
            raise UsageError("--master: spark-submit sets the master.", hint="Pass --master to spark-submit instead.")
        return submitted
    java = find_java(environ)
    reporter.detail(f"Using Java {java.full_version} ({java.source})")
    jars = ensure_jars(
        SPARK_KAFKA,
        java=java,
        cache_dir=cache_dir,
        mirror=settings.jars_mirror,
        folder=settings.jars_folder,
        environ=environ,
        reporter=reporter,
    )
    spark = SparkSettings(
        java_home=java.home,
        jars=jars,
        master=master or "local[*]",
        memory=memory,
        environ={name: value for name, value in environ.items() if name != SECRET_VARIABLE},
        conf=conf or {},
        functions=functions,
        secret=environ.get(SECRET_VARIABLE) or None,
    )
    if not (spark.authenticates or spark.is_on_loopback or "spark.authenticate" in spark.conf):
        reporter.warning(
            f"{spark.master} is used without a secret: whoever reaches the ports of this job or of the cluster can run "
            f"programs there. Set {SECRET_VARIABLE} to the cluster's spark.authenticate.secret (docs/clusters.md)."
        )
    return spark


def record_rules(
    scenario: Scenario, *, only: Sequence[str] = (), window: str | None = None, lateness: str | None = None
) -> RecordRules:
    """What the scenario counts and computes; of the analytics named in `only`, or all; with another window length or
    allowed lateness, such as "30s". Raises UsageError, and ScenarioError when there is nothing to compute."""
    if only:
        scenario = scenario.only(only)
    if not scenario.analytics:
        raise ScenarioError("The scenario computes nothing.", hint="Add [[analytics]]; docs/scenario.md shows how.")
    given: dict[str, str | None] = {
        name: value for name, value in (("window", window), ("lateness", lateness)) if value is not None
    }
    if "window" in given:
        given["slide"] = None
    try:
        return RecordRules.of_scenario(scenario.with_analytics(**given) if given else scenario)
    except ValidationError as error:
        raise UsageError(
            f"--{describe_validation_error(error)}.", hint="docs/scenario.md lists the values of the key of this name."
        ) from None


def function_runner(rules: RecordRules, endpoint: KafkaEndpoint, topic: str, reporter: Reporter) -> MakeRunner | None:
    """What calls the functions of these rules; None: there are none. Each is loaded once, to see that it can be.

    Raises UsageError when pandas is missing, ScenarioError for a function that cannot be loaded.
    """
    if not rules.functions:
        return None
    from pacifictool.analytics.engine.function_files import check_functions
    from pacifictool.analytics.engine.function_runner import SparkFunctionRunner

    check_functions(rules.functions)

    def make(runtime: SparkRuntime, store: StateQueries) -> FunctionRunner:
        return SparkFunctionRunner(
            runtime,
            endpoint,
            topic,
            rules,
            not_counted=lambda span: store.invalid_offsets(topic, span, ending=AHEAD_OF_ARRIVAL),
            reporter=reporter,
        )

    return make


@contextmanager
def open_sink(
    kind: SinkKind,
    options: SinkOptions,
    checkpoint: Path,
    *,
    stop: threading.Event,
    reporter: Reporter = SILENT,
    failed: Callable[[str | None], None] = lambda _failure: None,
) -> Iterator[Sink]:
    """The sink of the job with this checkpoint, closed at the end.

    A job that has run before waits until its platform is available; `failed` gets why, see `wait_until_reachable`.
    Raises Interrupted when `stop` is set meanwhile,
    and PacificToolError.
    """
    with ExitStack() as opened:
        sink = wait_until_reachable(
            lambda: opened.enter_context(kind.open(options)),
            stop,
            reporter,
            waits=has_begun(checkpoint),
            failed=failed,
        )
        if sink is None:
            raise Interrupted
        yield sink


@contextmanager
def open_alarms(
    sink: str,
    options: SinkOptions,
    rules: RecordRules,
    checkpoint: Path,
    *,
    stop: threading.Event,
    reporter: Reporter,
    failed: Callable[[str | None], None] = lambda _failure: None,
) -> Iterator[AlarmTarget | None]:
    """Where the alarms of these rules go: to the platform, whatever the sink is, or with the screen as sink to the
    screen, too. None: the rules raise none.

    The platform is asked at once for declared alarms, as for results, and otherwise when a function raises the first
    one. Raises Interrupted when `stop` is set meanwhile, and PacificToolError.
    """
    if not any(rules.may_raise(each) for each in rules.analytics) and not has_alarms(checkpoint):
        yield None
    elif sink == "console":
        yield ConsoleAlarmTarget(options.write)
    else:
        target = RestAlarmTarget(options.connect, url=options.settings.url, entity_type=options.scenario.asset_type)
        with closing(target):
            if rules.alarms and sink != "rest":
                waits = has_begun(checkpoint)
                if wait_until_reachable(target.platform, stop, reporter, waits=waits, failed=failed) is None:
                    raise Interrupted
            yield target
