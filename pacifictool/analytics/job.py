"""The aggregation job: topic → results of windows and groups → sink, until it is stopped."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from py4j.protocol import Py4JError

from pacifictool.analytics.alarm_delivery import AlarmTarget
from pacifictool.analytics.batches import BatchProcessor, BatchReport
from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.counting import CountingLoop
from pacifictool.analytics.engine.reader import SOURCES, BatchReader
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.job_progress import JobProgress, JobSummary, Tracker, gained_since, summary_of
from pacifictool.analytics.planner import Planner
from pacifictool.analytics.run import JobRun, MakeRunner, prepare_run
from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.stages import Stages
from pacifictool.analytics.starting import check_topic_holds, fix_start, starting_point, wait_for_topic
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.waiting import wait_until_reachable
from pacifictool.errors import PacificToolError
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.progress import SILENT, Reporter
from pacifictool.tools.pacing import next_show

_TICK_SECONDS = 0.1
_LAST_TICK_SECONDS = 0.01
"""When everything is counted, and delivered at any time now."""
_PROGRESS_SECONDS = 0.5
_THREAD_STOP_SECONDS = 0.5
"""All of them together: the end of Spark needs time, too."""
_ALONE_SECONDS = 15.0
_COLLECTION_THRESHOLD = 10_000


class AggregationJob:
    """One job. `run` may be called once."""

    def __init__(
        self,
        config: JobConfig,
        sink: Sink,
        *,
        functions: MakeRunner | None = None,
        alarms: AlarmTarget | None = None,
        reporter: Reporter = SILENT,
        progress: Callable[[JobProgress], None] | None = None,
        runtime: SparkRuntime | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        """`functions` makes what calls the functions of the rules, `alarms` is where alarms go; each is needed where
        the rules have some. `progress` is called twice a second from the thread of `run`. `runtime`: a Spark to use and
        leave running. `tracker` collects what happens, for whoever looks at it from the outside.

        Sink and target of alarms are closed by whoever made them. Raises SettingsError.
        """
        rules = config.rules
        if rules.functions and functions is None:
            raise ValueError("the rules have functions, and nothing calls them")
        if any(map(rules.may_raise, rules.analytics)) and alarms is None:
            raise ValueError("the rules may raise alarms, and they have no target")
        self._config = config
        self._functions = functions
        self._alarms = alarms
        self._start = starting_point(config.starting_offsets)
        self._sink = sink
        self._reporter = reporter
        self._progress = progress
        self._runtime = runtime
        self._tracker = tracker or Tracker()
        self._before: Mapping[str, int] = {}
        self._reported: set[str] = set()
        self._ending = threading.Event()
        """Set when the run ends: nothing waits for a lock any more."""
        self._looked = threading.Event()
        """Set after the first look at the topic, when what it held is counted."""
        self._alone_since: float | None = None
        self._alone_reported = False

    def run(self, stop: threading.Event) -> JobSummary:
        """Works until `stop` is set, the duration is over or, with `available_now`, the topic is read.

        Raises a PacificToolError when the job cannot start or go on. Whatever happens, the checkpoint lets the next
        run go on without a gap or a doubled record.
        """
        config = self._config
        ending = self._ending
        with (
            _fewer_garbage_collections(),
            Checkpoint(
                config.checkpoint,
                config.topic,
                config.rules,
                gives_up=lambda: stop.is_set() or ending.is_set(),
                reporter=self._reporter,
            ) as checkpoint,
        ):
            self._before = checkpoint.store.counters()
            runtime = self._runtime or SparkRuntime(config.spark, config.checkpoint, SOURCES)
            try:
                self._tracker.phase = "waiting for the topic"
                topic = wait_until_reachable(
                    lambda: self._meet_topic(checkpoint, stop),
                    stop,
                    self._reporter,
                    waits=bool(checkpoint.store.next_offsets()),
                    failed=self._tracker.failed,
                )
                if topic is None:
                    return self._summary(checkpoint, "stop")
                self._tracker.counted_before(
                    (checkpoint.store.starting_offsets() or {}) | checkpoint.store.next_offsets()
                )
                self._tracker.phase = "starting"
                if not _started(runtime, stop, keep=runtime is self._runtime):
                    return self._summary(checkpoint, "stop")
                run = prepare_run(
                    config,
                    checkpoint,
                    runtime,
                    self._sink,
                    functions=self._functions,
                    alarms=self._alarms,
                    reporter=self._reporter,
                )
                stopped_by = self._supervise(run, topic, stop)
                return self._summary(checkpoint, stopped_by)
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

    def _counting_loop(self, run: JobRun, topic: TopicInfo, stages: Stages) -> CountingLoop:
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
            done=lambda report: self._note_batch(stages, report),
        )
        return CountingLoop(
            processor,
            run.clock,
            slides_ms=[each.slide_ms for each in analytics],
            trigger_ms=config.trigger_interval_ms,
            available_now=config.available_now,
            halt=run.halt,
            translated=run.translated,
            looked=self._note_look,
            reporter=self._reporter,
        )

    def _supervise(self, run: JobRun, topic: TopicInfo, stop: threading.Event) -> str:
        """Keeps the threads of a run going until the end of the job. Returns what ended it."""
        stages = run.stages()
        loop = self._counting_loop(run, topic, stages)
        counting = threading.Thread(target=self._keep_counting, args=(run, loop, stages), name="counting", daemon=True)
        threads = [counting, *stages.threads()]
        if not (self._config.available_now and run.runtime.works_alone):
            threads.append(threading.Thread(target=self._start_spark, args=(run,), name="spark", daemon=True))
        for thread in threads:
            thread.start()
        try:
            return self._watch(run, stages, stop)
        finally:
            self._tracker.phase = "stopping"
            self._ending.set()
            run.halt.set()
            self._looked.set()
            stages.announce()
            run.runtime.cancel_work()
            deadline = time.monotonic() + _THREAD_STOP_SECONDS
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            run.view.close()

    def _watch(self, run: JobRun, stages: Stages, stop: threading.Event) -> str:
        """Waits for the end of the run. Raises what made it fail."""
        duration = self._config.duration
        next_progress = 0.0
        while not stages.are_done:
            if run.failure is not None:
                raise run.failure
            if stop.wait(_LAST_TICK_SECONDS if run.all_counted.is_set() else _TICK_SECONDS):
                return "stop"
            if duration is not None and self._tracker.reading_seconds >= duration:
                return "duration"
            if time.monotonic() >= next_progress:
                began = time.monotonic()
                self._check_spark(run)
                self._show(run)
                # With hundreds of thousands of windows, counting them takes a while.
                next_progress = next_show(began, _PROGRESS_SECONDS)
        return "end of topic"

    def _check_spark(self, run: JobRun) -> None:
        """Raises AggregationError when Spark's Java process has ended; says when a cluster has nobody to do the work,
        which Spark only writes into its log."""
        now = time.monotonic()
        run.runtime.bound_logs()
        try:
            has_executors = run.runtime.has_executors()
        except (Py4JError, OSError) as error:
            raise run.translated(error) from error
        if not run.runtime.is_running():
            raise run.translated(OSError("it has ended"))
        if has_executors:
            if self._alone_reported:
                self._tracker.idle = None
                self._reporter.info("The cluster does the work now.")
            self._alone_since, self._alone_reported = None, False
            return
        self._alone_since = self._alone_since or now
        if now - self._alone_since >= _ALONE_SECONDS and not self._alone_reported:
            self._alone_reported = True
            self._tracker.idle = f"No executor has taken the work for {_ALONE_SECONDS:.0f} s."
            self._reporter.warning(
                f"{self._tracker.idle} Has the cluster a worker with free cores "
                "and memory (--conf spark.executor.memory=512m asks for less), and can it reach this machine?"
            )

    def _start_spark(self, run: JobRun) -> None:
        """Starts Spark once the first batch is counted, which has the whole machine until then."""
        self._looked.wait()
        if run.halt.is_set():
            return
        try:
            _ = run.runtime.java_context  # its first use waits
        except BaseException as error:  # noqa: BLE001 - handed to the thread of `run`
            run.fail(error)

    def _keep_counting(self, run: JobRun, loop: CountingLoop, stages: Stages) -> None:
        try:
            loop.run()
            run.all_counted.set()
            stages.announce()
        except BaseException as error:  # noqa: BLE001 - handed to the thread of `run`
            run.fail(error)

    # --- small things --------------------------------------------------------------------------------------------

    def _note_look(self, ends: Mapping[int, int] | None, failure: str | None) -> None:
        self._tracker.looked(ends, failure)
        self._looked.set()

    def _note_batch(self, stages: Stages, report: BatchReport) -> None:
        self._tracker.add(report)
        stages.announce()
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

    def _show(self, run: JobRun) -> None:
        if self._progress is None:
            return
        tracker, delivery, alarms = self._tracker, run.delivery, run.alarms
        last_failure = next((each.last_failure for each in run.evaluators if each.last_failure is not None), None)
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
                delivery_failure=delivery.failure or (alarms.failure if alarms is not None else None),
                function_failures=sum(each.failures for each in run.evaluators),
                last_function_failure=last_failure,
                alarms=run.view.alarm_counts().active if alarms is not None else 0,
                gained=gained_since(run.view, self._before),
                failed_attempts=delivery.failed_attempts + (alarms.failed_attempts if alarms is not None else 0),
                delivered_at=delivery.delivered_at,
                state_bytes=run.view.bytes_on_disk,
            )
        )

    def _summary(self, checkpoint: Checkpoint, stopped_by: str) -> JobSummary:
        store, folder = checkpoint.store, checkpoint.folder
        return summary_of(store, self._before, self._tracker, folder=folder, stopped_by=stopped_by)


@contextmanager
def _fewer_garbage_collections() -> Iterator[None]:
    """Has Python look for cycles after every 10,000 new objects, not 700: a batch holds hundreds of thousands, without
    cycles. A sixth of the processor time of delivery."""
    before = gc.get_threshold()
    gc.set_threshold(max(_COLLECTION_THRESHOLD, before[0]) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _started(runtime: SparkRuntime, stop: threading.Event, *, keep: bool) -> bool:
    """Waits until the topic can be counted, which takes seconds; False when `stop` is set meanwhile.

    Nothing in the JVM's start can be interrupted, so a stop takes the JVM away, unless it is to be kept. Raises
    AggregationError, StorageFull.
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
        _ = runtime.gateway if runtime.works_alone else runtime.java_context
    except PacificToolError:
        if not stop.is_set():
            raise
    finally:
        over.set()
    return not stop.is_set()
