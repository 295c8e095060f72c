"""One run of a job: what its threads share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from py4j.protocol import Py4JError

from pacifictool.analytics.alarm_delivery import AlarmDelivery, AlarmTarget
from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.delivery import Delivery
from pacifictool.analytics.engine.failures import spark_failure
from pacifictool.analytics.engine.functions import FunctionRunner
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.evaluation import FunctionEvaluator
from pacifictool.analytics.event_time import Completeness, EventClock
from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.stages import Stage, Stages
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import StateQueries
from pacifictool.analytics.state.reader import JobView
from pacifictool.errors import PacificToolError
from pacifictool.progress import Reporter

MakeRunner = Callable[[SparkRuntime, StateQueries], FunctionRunner]
"""Makes what calls functions on the workers of this Spark, for the job with this state store. Several threads call it,
each for an analytics."""
_GATEWAY: Final = "gateway"


@dataclass(slots=True)
class JobRun:
    """One counts, each stage has a thread of its own, and that of `AggregationJob.run` supervises."""

    config: JobConfig
    checkpoint: Checkpoint
    runtime: SparkRuntime
    view: JobView
    """The state store as the supervising thread reads it: never held up by those that write."""
    clock: EventClock
    completeness: Completeness
    delivery: Delivery
    evaluators: Sequence[FunctionEvaluator] = ()
    alarms: AlarmDelivery | None = None
    halt: threading.Event = field(default_factory=threading.Event)
    """Set when everything is to end."""
    all_counted: threading.Event = field(default_factory=threading.Event)
    """Set when there is nothing more to count."""
    failure: BaseException | None = None
    """What ends the job."""

    def stages(self) -> Stages:
        """What is done with complete windows. Each function has a stage of its own: none waits for another."""
        evaluations = [
            Stage(f"function-{number}", each.evaluate_due, [self.all_counted])
            for number, each in enumerate(self.evaluators, start=1)
        ]
        evaluated = [self.all_counted, *(each.done for each in evaluations)]
        stages = [*evaluations, Stage("delivery", self.delivery.deliver_due, evaluated)]
        if self.alarms is not None:
            stages.append(Stage("alarms", self.alarms.deliver_due, evaluated))
        return Stages(stages, self.completeness, self.halt, self.fail)

    def fail(self, error: BaseException) -> None:
        """Ends the job for `error`, unless it is ending already."""
        if self.failure is None and not self.halt.is_set():
            self.failure = error

    def translated(self, error: Exception) -> BaseException:
        """What `error`, raised by a call into Spark, means: the end of the job, that of its JVM, or what it says."""
        config = self.config
        return (
            self.failure
            or self.runtime.end_failure()
            or spark_failure(str(error), endpoint=config.kafka, topic=config.topic, folder=config.checkpoint)
        )


def prepare_run(
    config: JobConfig,
    checkpoint: Checkpoint,
    runtime: SparkRuntime,
    sink: Sink,
    *,
    functions: MakeRunner | None,
    alarms: AlarmTarget | None,
    reporter: Reporter,
) -> JobRun:
    """A run that goes on where the last one on this checkpoint ended."""
    clock = EventClock()
    store, rules = checkpoint.store, config.rules
    watermark_ms, seen_at_ms = store.watermark_ms, store.seen_at_ms
    if watermark_ms is not None and seen_at_ms is not None:
        # Time has gone on while the job was down. Should this machine's clock have been set meanwhile, windows may be
        # posted early, and are corrected.
        clock.observe(watermark_ms, time.monotonic() - max(0.0, time.time() - seen_at_ms / 1000))
    run = JobRun(
        config=config,
        checkpoint=checkpoint,
        runtime=runtime,
        view=JobView(checkpoint.folder),
        clock=clock,
        completeness=Completeness(clock, config.trigger_interval_ms / 1000, time.monotonic()),
        delivery=Delivery(store, sink, rules.analytics, reporter=reporter, give_up_after=config.give_up_after),
    )
    if functions is not None and rules.functions:
        runner = functions(runtime, store)
        threading.Thread(target=_warm_up, args=(runner,), name="warm-up", daemon=True).start()
        run.evaluators = [
            FunctionEvaluator(store, runner, each, translated=run.translated, reporter=reporter)
            for each in rules.functions
        ]
    if alarms is not None:
        run.alarms = AlarmDelivery(
            store,
            alarms,
            rules,
            # What a gateway gets in place of an asset is a device.
            devices_only=sink.name == _GATEWAY,
            reporter=reporter,
            give_up_after=config.give_up_after,
        )
    return run


def _warm_up(runner: FunctionRunner) -> None:
    # What is wrong will be wrong with the first call, too, where it is handled.
    with contextlib.suppress(Py4JError, OSError, PacificToolError):
        runner.warm_up()
