"""The aggregation job: topic → windowed means per zone → sink, until told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from py4j.protocol import Py4JError

from pacifictool.aggregation.batches import BatchReport
from pacifictool.aggregation.checkpoint import Checkpoint
from pacifictool.aggregation.clock import Coverage, EventClock
from pacifictool.aggregation.delivery import Delivery
from pacifictool.aggregation.patience import LONGEST_WAIT_SECONDS, until_reachable
from pacifictool.aggregation.progress import JobProgress, JobSummary, Tracker
from pacifictool.aggregation.query import Query
from pacifictool.aggregation.run import JobConfig, Run
from pacifictool.aggregation.sinks.base import Sink
from pacifictool.aggregation.source import TopicWatch, check_not_ahead, fixed_start, kafka_options, wait_for_topic
from pacifictool.aggregation.spark import SparkRuntime
from pacifictool.errors import KafkaUnreachable, PacificToolError, ScenarioError
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.reporting import SILENT, Reporter

_TICK_SECONDS = 0.1
_PROGRESS_SECONDS = 0.5
_DELIVERY_STOP_SECONDS = 1.0
_ALONE_SECONDS = 15.0
_SETTLED_SECONDS = 20.0
"""A job that runs for so long has done with Spark what it will do, and may spend time on the next one's start."""


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

        The sink is closed by whoever made it. Raises ScenarioError for settings that cannot work.
        """
        if config.aggregation.zone_key == config.aggregation.value_key:
            raise ScenarioError("aggregation: zone_key and value_key must be different keys of the record.")
        self._config = config
        self._sink = sink
        self._reporter = reporter
        self._progress = progress
        self._runtime = runtime
        self._tracker = Tracker()
        self._unstamped_told = False
        self._alone_since: float | None = None
        self._alone_told = False

    def run(self, stop: threading.Event) -> JobSummary:
        """Works until `stop` is set, the duration is over or, with `available_now`, the topic is read.

        Raises a PacificToolError when the job cannot start or go on. Whatever happens, the checkpoint lets the next
        run go on without a gap or a doubled record.
        """
        config = self._config
        options = kafka_options(config.kafka, config.topic, config.starting_offsets)
        with Checkpoint(config.checkpoint) as checkpoint:
            before = checkpoint.ledger.counters()
            runtime = self._runtime or SparkRuntime(config.spark, config.checkpoint)
            try:
                self._phase("waiting for the topic")
                met = until_reachable(
                    lambda: self._meet_topic(checkpoint, options, stop),
                    stop,
                    self._reporter,
                    waits=not checkpoint.is_new,
                )
                if met is None:
                    return self._summary(checkpoint, before, "stop")
                topic, options = met
                self._phase("starting")
                if not _started(runtime, stop, keep=runtime is self._runtime):
                    return self._summary(checkpoint, before, "stop")
                run = self._prepare(checkpoint, runtime, topic)
                stopped_by = self._supervise(run, options, stop)
                return self._summary(checkpoint, before, stopped_by)
            finally:
                if runtime is not self._runtime:
                    runtime.close()

    # --- the parts of a run --------------------------------------------------------------------------------------

    def _meet_topic(
        self, checkpoint: Checkpoint, options: dict[str, str], stop: threading.Event
    ) -> tuple[TopicInfo, dict[str, str]] | None:
        """The topic, once it is there and fits the checkpoint, and where to read from; None: `stop` was set before."""
        config = self._config
        admin = KafkaAdmin(config.kafka)
        found = wait_for_topic(admin, config.topic, stop, self._reporter)
        if found is None:
            return None
        topic, appeared = found
        kafka_identity = {"topic_id": topic.topic_id, "cluster_id": admin.cluster_id()}
        checkpoint.check_identity(config.identity(self._sink) | kafka_identity)
        checkpoint.check_spark_id()
        check_not_ahead(checkpoint, admin, config.topic)
        if checkpoint.is_new and options.get("startingOffsets") == "latest":
            options = fixed_start(options, admin, config.topic, checkpoint.ledger, appeared=appeared)
        return topic, options

    def _prepare(self, checkpoint: Checkpoint, runtime: SparkRuntime, topic: TopicInfo) -> Run:
        clock = EventClock()
        ledger = checkpoint.ledger
        watermark_ms, seen_at_ms = ledger.watermark_ms, ledger.seen_at_ms
        if watermark_ms is not None and seen_at_ms is not None:
            # Time has gone on while the job was down. Should this machine's clock have been set meanwhile, windows
            # may be posted early, and are corrected.
            clock.observe(watermark_ms, time.monotonic() - max(0.0, time.time() - seen_at_ms / 1000))
        return Run(
            checkpoint=checkpoint,
            runtime=runtime,
            topic=topic,
            clock=clock,
            coverage=Coverage(clock, self._config.trigger_interval_ms / 1000, time.monotonic()),
            delivery=Delivery(
                ledger,
                self._sink,
                window_ms=self._config.aggregation.window_ms,
                reporter=self._reporter,
                give_up_after=self._config.give_up_after,
            ),
        )

    def _supervise(self, run: Run, options: Mapping[str, str], stop: threading.Event) -> str:
        """Keeps a query running until the end of the job. Returns what ended it."""
        watch = TopicWatch(
            self._config.kafka,
            run.topic,
            ends=self._note_ends,
            failed=run.fail,
            reporter=self._reporter,
        )

        def note(report: BatchReport) -> None:
            self._note_batch(run, report)

        deliverer = threading.Thread(target=self._keep_delivering, args=(run,), name="delivery", daemon=True)
        try:
            attempts = 0
            while True:
                batches_before = self._tracker.batches
                try:
                    query = Query(run, self._config, options, done=note, reporter=self._reporter)
                    self._phase("running")
                    if not self._config.available_now and not deliverer.is_alive():
                        deliverer.start()
                    stopped_by = self._watch_query(run, query, stop)
                    break
                except KafkaUnreachable as error:
                    attempts = 1 if self._tracker.batches > batches_before else attempts + 1
                    seconds = min(2.0**attempts, LONGEST_WAIT_SECONDS)
                    self._phase("waiting for Kafka")
                    self._reporter.warning(f"{error.message} Trying again in {seconds:.0f} s.")
                    if self._wait_out(run, stop, seconds):
                        return "stop"
            self._phase("stopping")
            if stopped_by == "end of topic":
                run.delivery.deliver_due(None, stop)
            return stopped_by
        finally:
            run.halt.set()
            watch.close()
            if deliverer.is_alive():
                deliverer.join(_DELIVERY_STOP_SECONDS)

    def _watch_query(self, run: Run, query: Query, stop: threading.Event) -> str:
        """Waits for the end of the query. Raises what made it fail, in our words."""
        duration = self._config.duration
        next_progress = 0.0
        try:
            while not query.has_ended():
                if stop.wait(_TICK_SECONDS):
                    return "stop"
                if duration is not None and self._tracker.seconds >= duration:
                    return "duration"
                query.notice_idle()
                if time.monotonic() >= next_progress:
                    next_progress = time.monotonic() + _PROGRESS_SECONDS
                    if self._tracker.batches and self._tracker.seconds >= _SETTLED_SECONDS:
                        run.runtime.prepare_next_start()
                    self._notice_alone(run)
                    self._show(run)
            return "end of topic"
        except (Py4JError, OSError) as error:
            raise query.translated(error) from error
        finally:
            query.stop()

    def _notice_alone(self, run: Run) -> None:
        """Says when a cluster has nobody to do the work, which Spark only writes into its log."""
        now = time.monotonic()
        if run.runtime.has_executors():
            if self._alone_told:
                self._reporter.info("The cluster does the work now.")
            self._alone_since, self._alone_told = None, False
            return
        self._alone_since = self._alone_since or now
        if now - self._alone_since >= _ALONE_SECONDS and not self._alone_told:
            self._alone_told = True
            self._reporter.warning(
                f"No executor has taken the work for {_ALONE_SECONDS:.0f} s. Has the cluster a worker with free cores "
                "and memory (--conf spark.executor.memory=512m asks for less), and can it reach this machine?"
            )

    def _keep_delivering(self, run: Run) -> None:
        """The one thread that posts results. It ends with the run or with a failure that waiting does not mend."""
        try:
            while not run.halt.is_set():
                due_until = run.coverage.due_until(time.monotonic())
                if due_until is not None:
                    run.delivery.deliver_due(due_until, run.halt)
                run.batch_applied.wait(_TICK_SECONDS)
                run.batch_applied.clear()
        except BaseException as error:  # noqa: BLE001 - handed to the thread of `run`
            run.fail(error)

    # --- small things --------------------------------------------------------------------------------------------

    def _note_batch(self, run: Run, report: BatchReport) -> None:
        self._tracker.add(report)
        run.batch_applied.set()
        if report.unstamped and not self._unstamped_told:
            self._unstamped_told = True
            self._reporter.warning(
                f"Records of topic {self._config.topic} have no time stamp: the time of their arrival is taken. "
                "`pacifictool setup` makes the broker stamp them (message.timestamp.type=LogAppendTime)."
            )

    def _note_ends(self, ends: Mapping[int, int] | None) -> None:
        self._tracker.topic_ends = ends

    def _wait_out(self, run: Run, stop: threading.Event, seconds: float) -> bool:
        """Waits before another attempt; True when the job is to stop instead."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            run.check()
            if stop.wait(_TICK_SECONDS):
                return True
            if self._config.duration is not None and self._tracker.seconds >= self._config.duration:
                return True
            self._show(run)
        return False

    def _phase(self, phase: str) -> None:
        self._tracker.phase = phase

    def _show(self, run: Run) -> None:
        if self._progress is None:
            return
        tracker, state = self._tracker, run.delivery.state
        _, open_windows = run.checkpoint.ledger.count_windows()
        self._progress(
            JobProgress(
                seconds=tracker.seconds,
                phase=tracker.phase,
                batches=tracker.batches,
                records=tracker.records,
                records_per_second=tracker.records_per_second,
                rejected=tracker.rejected.total(),
                last_reject=tracker.last_reject,
                open_windows=open_windows,
                posted=run.delivery.posted,
                last_posted=state.last_posted,
                lag=tracker.lag,
                delivery_failure=state.failure,
            )
        )

    def _summary(self, checkpoint: Checkpoint, before: Mapping[str, int], stopped_by: str) -> JobSummary:
        after = checkpoint.ledger.counters()
        gained = {name: value - before.get(name, 0) for name, value in after.items()}
        rejects = {name.removeprefix("reject:"): n for name, n in gained.items() if name.startswith("reject:") and n}
        _, open_windows = checkpoint.ledger.count_windows()
        valid = gained.get("valid", 0)
        return JobSummary(
            checkpoint=str(checkpoint.folder),
            seconds=round(self._tracker.seconds, 3),
            batches=gained.get("batches", 0),
            records=valid + sum(rejects.values()),
            valid=valid,
            rejects=rejects,
            windows_posted=gained.get("posted", 0),
            corrections=gained.get("corrections", 0),
            refused=gained.get("refused", 0),
            open_windows=open_windows,
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
        _ = runtime.session  # its first use waits
    except PacificToolError:
        if not stop.is_set():
            raise
    finally:
        over.set()
    return not stop.is_set()
