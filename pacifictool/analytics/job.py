"""The aggregation job: topic → results of windows and groups → sink, until it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from py4j.protocol import Py4JError

from pacifictool.analytics.batches import BatchProcessor, BatchReport
from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.counting import CountingLoop
from pacifictool.analytics.delivery import Delivery
from pacifictool.analytics.engine.failures import spark_failure
from pacifictool.analytics.engine.reader import BatchReader
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.event_time import Completeness, EventClock
from pacifictool.analytics.job_progress import JobProgress, JobSummary, Tracker
from pacifictool.analytics.planner import Planner
from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.starting import check_topic_holds, fix_start, starting_point, wait_for_topic
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.state.schema import INVALID
from pacifictool.analytics.waiting import wait_until_reachable
from pacifictool.errors import PacificToolError
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.progress import SILENT, Reporter

_TICK_SECONDS = 0.1
_PROGRESS_SECONDS = 0.5
_THREAD_STOP_SECONDS = 1.0
_ALONE_SECONDS = 15.0


@dataclass(slots=True)
class _Run:
    """One run, as its threads share it: one counts, one delivers, and that of `run` supervises."""

    checkpoint: Checkpoint
    runtime: SparkRuntime
    view: JobView
    """The state store as the supervising thread reads it: never held up by those that write."""
    clock: EventClock
    completeness: Completeness
    delivery: Delivery
    halt: threading.Event = field(default_factory=threading.Event)
    """Set when everything is to end."""
    all_counted: threading.Event = field(default_factory=threading.Event)
    """Set when there is nothing more to count."""
    all_delivered: threading.Event = field(default_factory=threading.Event)
    batch_applied: threading.Event = field(default_factory=threading.Event)
    """Set when there may be something to deliver."""
    failure: BaseException | None = None
    """What ends the job."""

    def fail(self, error: BaseException) -> None:
        """Ends the job for `error`, unless it is ending already."""
        if self.failure is None and not self.halt.is_set():
            self.failure = error


class AggregationJob:
    """One job. `run` may be called once."""

    def __init__(
        self,
        config: JobConfig,
        sink: Sink,
        *,
        reporter: Reporter = SILENT,
        progress: Callable[[JobProgress], None] | None = None,
        runtime: SparkRuntime | None = None,
    ) -> None:
        """`progress` is called twice a second from the thread of `run`. `runtime`: a Spark to use and leave running.

        The sink is closed by whoever made it. Raises SettingsError.
        """
        self._config = config
        self._start = starting_point(config.starting_offsets)
        self._sink = sink
        self._reporter = reporter
        self._progress = progress
        self._runtime = runtime
        self._tracker = Tracker()
        self._reported: set[str] = set()
        self._ending = threading.Event()
        """Set when the run ends: nothing waits for a lock any more."""
        self._alone_since: float | None = None
        self._alone_reported = False

    def run(self, stop: threading.Event) -> JobSummary:
        """Works until `stop` is set, the duration is over or, with `available_now`, the topic is read.

        Raises a PacificToolError when the job cannot start or go on. Whatever happens, the checkpoint lets the next
        run go on without a gap or a doubled record.
        """
        config = self._config
        ending = self._ending
        with Checkpoint(
            config.checkpoint,
            config.topic,
            config.rules,
            gives_up=lambda: stop.is_set() or ending.is_set(),
            reporter=self._reporter,
        ) as checkpoint:
            before = checkpoint.store.counters()
            runtime = self._runtime or SparkRuntime(config.spark, config.checkpoint)
            try:
                self._tracker.phase = "waiting for the topic"
                topic = wait_until_reachable(
                    lambda: self._meet_topic(checkpoint, stop),
                    stop,
                    self._reporter,
                    waits=bool(checkpoint.store.next_offsets()),
                )
                if topic is None:
                    return self._summary(checkpoint, before, "stop")
                self._tracker.phase = "starting"
                if not _started(runtime, stop, keep=runtime is self._runtime):
                    return self._summary(checkpoint, before, "stop")
                stopped_by = self._supervise(self._prepare(checkpoint, runtime), topic, stop)
                return self._summary(checkpoint, before, stopped_by)
            finally:
                if runtime is not self._runtime:
                    runtime.close()

    # --- the parts of a run --------------------------------------------------------------------------------------

    def _meet_topic(self, checkpoint: Checkpoint, stop: threading.Event) -> TopicInfo | None:
        """The topic, once it is there and fits the checkpoint; None: `stop` was set before."""
        config = self._config
        admin = KafkaAdmin(config.kafka)
        found = wait_for_topic(admin, config.topic, stop, self._reporter)
        if found is None:
            return None
        topic, appeared = found
        kafka_identity = {"topic_id": topic.topic_id, "cluster_id": admin.cluster_id()}
        checkpoint.check_identity(config.identity(self._sink) | kafka_identity)
        check_topic_holds(checkpoint, admin, config.topic)
        fix_start(checkpoint, admin, config.topic, self._start, appeared=appeared)
        return topic

    def _prepare(self, checkpoint: Checkpoint, runtime: SparkRuntime) -> _Run:
        clock = EventClock()
        store = checkpoint.store
        watermark_ms, seen_at_ms = store.watermark_ms, store.seen_at_ms
        if watermark_ms is not None and seen_at_ms is not None:
            # Time has gone on while the job was down. Should this machine's clock have been set meanwhile, windows
            # may be posted early, and are corrected.
            clock.observe(watermark_ms, time.monotonic() - max(0.0, time.time() - seen_at_ms / 1000))
        return _Run(
            checkpoint=checkpoint,
            runtime=runtime,
            view=JobView(checkpoint.folder),
            clock=clock,
            completeness=Completeness(clock, self._config.trigger_interval_ms / 1000, time.monotonic()),
            delivery=Delivery(
                store,
                self._sink,
                self._config.rules.analytics,
                reporter=self._reporter,
                give_up_after=self._config.give_up_after,
            ),
        )

    def _counting_loop(self, run: _Run, topic: TopicInfo) -> CountingLoop:
        config = self._config
        analytics = config.rules.analytics
        processor = BatchProcessor(
            Planner(
                run.checkpoint,
                config.kafka,
                topic,
                available_now=config.available_now,
                reporter=self._reporter,
            ),
            BatchReader(run.runtime, config.kafka, config.topic, config.rules),
            run.checkpoint.store,
            lateness_ms={each.name: each.lateness_ms for each in analytics},
            trigger_ms=config.trigger_interval_ms,
            clock=run.clock,
            completeness=run.completeness,
            stop=run.halt,
            done=lambda report: self._note_batch(run, report),
        )
        return CountingLoop(
            processor,
            run.clock,
            slides_ms=[each.slide_ms for each in analytics],
            trigger_ms=config.trigger_interval_ms,
            available_now=config.available_now,
            halt=run.halt,
            translated=lambda error: self._translated(run, error),
            looked=self._tracker.looked,
            reporter=self._reporter,
        )

    def _supervise(self, run: _Run, topic: TopicInfo, stop: threading.Event) -> str:
        """Keeps the threads of a run going until the end of the job. Returns what ended it."""
        loop = self._counting_loop(run, topic)
        threads = [
            threading.Thread(target=self._keep_counting, args=(run, loop), name="counting", daemon=True),
            threading.Thread(target=self._keep_delivering, args=(run,), name="delivery", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            return self._watch(run, stop)
        finally:
            self._tracker.phase = "stopping"
            self._ending.set()
            run.halt.set()
            run.batch_applied.set()
            run.runtime.cancel_work()
            for thread in threads:
                thread.join(_THREAD_STOP_SECONDS)
            run.view.close()

    def _watch(self, run: _Run, stop: threading.Event) -> str:
        """Waits for the end of the run. Raises what made it fail."""
        duration = self._config.duration
        next_progress = 0.0
        while not run.all_delivered.is_set():
            if run.failure is not None:
                raise run.failure
            if stop.wait(_TICK_SECONDS):
                return "stop"
            if duration is not None and self._tracker.reading_seconds >= duration:
                return "duration"
            if time.monotonic() >= next_progress:
                next_progress = time.monotonic() + _PROGRESS_SECONDS
                self._check_spark(run)
                self._show(run)
        return "end of topic"

    def _check_spark(self, run: _Run) -> None:
        """Raises AggregationError when Spark's Java process has ended; says when a cluster has nobody to do the work,
        which Spark only writes into its log."""
        now = time.monotonic()
        try:
            has_executors = run.runtime.has_executors()
        except (Py4JError, OSError) as error:
            raise self._translated(run, error) from error
        if not run.runtime.is_running():
            raise self._translated(run, OSError("it has ended"))
        if has_executors:
            if self._alone_reported:
                self._reporter.info("The cluster does the work now.")
            self._alone_since, self._alone_reported = None, False
            return
        self._alone_since = self._alone_since or now
        if now - self._alone_since >= _ALONE_SECONDS and not self._alone_reported:
            self._alone_reported = True
            self._reporter.warning(
                f"No executor has taken the work for {_ALONE_SECONDS:.0f} s. Has the cluster a worker with free cores "
                "and memory (--conf spark.executor.memory=512m asks for less), and can it reach this machine?"
            )

    def _keep_counting(self, run: _Run, loop: CountingLoop) -> None:
        try:
            loop.run()
            run.all_counted.set()
            run.batch_applied.set()
        except BaseException as error:  # noqa: BLE001 - handed to the thread of `run`
            run.fail(error)

    def _keep_delivering(self, run: _Run) -> None:
        """The one thread that posts results. It ends with the run or with a failure that waiting does not fix."""
        try:
            while not run.halt.is_set():
                at_end = run.all_counted.is_set()
                due_until = run.completeness.due_until(time.monotonic())
                if at_end or due_until is not None:
                    run.delivery.deliver_due(None if at_end else due_until, run.halt)
                if at_end and not run.halt.is_set():
                    run.all_delivered.set()
                    return
                run.batch_applied.wait(_TICK_SECONDS)
                run.batch_applied.clear()
        except BaseException as error:  # noqa: BLE001 - handed to the thread of `run`
            run.fail(error)

    # --- small things --------------------------------------------------------------------------------------------

    def _translated(self, run: _Run, error: Exception) -> BaseException:
        """What `error`, raised by a call into Spark, means: the end of the job, that of its JVM, or what it says."""
        config = self._config
        return (
            run.failure
            or run.runtime.end_failure()
            or spark_failure(str(error), endpoint=config.kafka, topic=config.topic, folder=config.checkpoint)
        )

    def _note_batch(self, run: _Run, report: BatchReport) -> None:
        self._tracker.add(report)
        run.batch_applied.set()
        topic, ahead = self._config.topic, self._config.rules.ahead_of_arrival
        if report.without_timestamp:
            self._warn_once(
                f"Records of topic {topic} have no timestamp: the time of their arrival is taken. "
                "`pacifictool setup` has the broker set it (message.timestamp.type=LogAppendTime)."
            )
        if ahead in report.invalid:
            self._warn_once(
                f"Records of topic {topic} are not counted: {ahead}. Check the clocks of their producers and of this "
                "machine; with message.timestamp.type=LogAppendTime neither matters."
            )

    def _warn_once(self, message: str) -> None:
        if message not in self._reported:
            self._reported.add(message)
            self._reporter.warning(message)

    def _show(self, run: _Run) -> None:
        if self._progress is None:
            return
        tracker, delivery = self._tracker, run.delivery
        self._progress(
            JobProgress(
                seconds=tracker.seconds,
                phase=tracker.phase,
                batches=tracker.batches,
                records=tracker.records,
                records_per_second=tracker.records_per_second,
                rejected=tracker.rejected.total(),
                last_invalid=tracker.last_invalid,
                open_windows=run.view.due_windows(),
                posted=delivery.posted,
                last_posted=delivery.last_posted,
                lag=tracker.lag,
                delivery_failure=delivery.failure,
            )
        )

    def _summary(self, checkpoint: Checkpoint, before: Mapping[str, int], stopped_by: str) -> JobSummary:
        after = checkpoint.store.counters()
        gained = {name: value - before.get(name, 0) for name, value in after.items()}
        invalid = {name.removeprefix(INVALID): n for name, n in gained.items() if name.startswith(INVALID) and n}
        valid = gained.get("valid", 0)
        return JobSummary(
            checkpoint=str(checkpoint.folder),
            seconds=round(self._tracker.seconds, 3),
            batches=gained.get("batches", 0),
            records=valid + sum(invalid.values()),
            valid=valid,
            rejects=invalid,
            windows_posted=gained.get("posted", 0),
            corrections=gained.get("corrections", 0),
            refused=gained.get("refused", 0),
            open_windows=checkpoint.store.due_windows(),
            lag=self._tracker.lag,
            stopped_by=stopped_by,
        )


def _started(runtime: SparkRuntime, stop: threading.Event, *, keep: bool) -> bool:
    """Waits for Spark, which takes seconds; False when `stop` is set meanwhile. Raises AggregationError, StorageFull.

    Nothing in the JVM's start can be interrupted, so a stop takes the JVM away, unless it is to be kept.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_TICK_SECONDS):
            if stop.is_set():
                runtime.close()
                return

    watcher = threading.Thread(target=watch, name="spark-start", daemon=True)
    if not keep:
        watcher.start()
    try:
        _ = runtime.java_context  # its first use waits
    except PacificToolError:
        if not stop.is_set():
            raise
    finally:
        over.set()
    return not stop.is_set()
