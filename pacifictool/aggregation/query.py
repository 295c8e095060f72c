"""Spark's streaming query as the job sees it: started, asked how it is, and stopped."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql.streaming.query import StreamingQuery

from pacifictool.aggregation.batches import BatchProcessor, BatchReport, BatchStopped
from pacifictool.aggregation.pipeline import Rules
from pacifictool.aggregation.range_sums import RangeSums
from pacifictool.aggregation.run import JobConfig, Run
from pacifictool.aggregation.source import consumer_properties, spark_failure
from pacifictool.errors import PacificToolError
from pacifictool.reporting import Reporter

_SPARK_ERRORS = (PySparkException, Py4JError, OSError)
"""What calls into Spark's JVM raise; OSError when it is gone."""

_STOP_SECONDS = 1.0
_TRIGGER_LEEWAY_SECONDS = 0.1
"""Spark begins a trigger within this time."""


class Query:
    """One query, from its start to its end. A job may need several: an outage of Kafka ends them."""

    def __init__(
        self,
        run: Run,
        config: JobConfig,
        options: Mapping[str, str],
        *,
        done: Callable[[BatchReport], None],
        reporter: Reporter,
    ) -> None:
        """Starts it; `options` are those of Spark's Kafka source, `done` hears of every batch.

        Raises a PacificToolError that says why it does not start.
        """
        self._run = run
        self._config = config
        self._trigger_ms = config.trigger_interval_ms
        self._ready = threading.Event()
        self._failure: Exception | None = None
        """What Spark said when it failed within a batch; it says the same of the query, with our stack trace in it."""
        self._processor = self._batch_processor(done, reporter)
        try:
            self._query = self._started(options)
        except _SPARK_ERRORS as error:
            raise self.translated(error) from error
        try:
            run.checkpoint.check_spark_id(self._query.id)
        except BaseException:
            run.halt.set()
            self._ready.set()
            self.stop()
            raise
        self._ready.set()

    def has_ended(self) -> bool:
        """Whether it came to the end of what it was to read. Raises what made it fail, in our words."""
        self._run.check()
        if self._query.isActive:
            return False
        if (exception := self._query.exception()) is not None:
            self._run.check()
            raise self._in_our_words(self._failure or exception)
        return True

    def notice_idle(self) -> None:
        """Spark calls us only for batches with records: a trigger that found none has to be noticed from outside."""
        run = self._run
        now = time.monotonic()
        event_ms = run.clock.at(now)
        if event_ms is None or run.coverage.in_flight or not run.checkpoint.ledger.due(event_ms, 1):
            return
        due_until = run.coverage.due_until(now)
        if due_until is not None and run.checkpoint.ledger.due(due_until, 1):
            return  # The delivery is at work.
        since_trigger = time.time() % (self._trigger_ms / 1000)
        if since_trigger < _TRIGGER_LEEWAY_SECONDS:
            return
        status = self._query.status
        if not status["isTriggerActive"] and status["message"].startswith("Waiting for"):
            run.coverage.covered(now - since_trigger, now)
            run.batch_applied.set()

    def stop(self) -> None:
        """Stops it; one that does not stop soon is left to the end of its JVM."""

        def stop() -> None:
            try:
                self._query.stop()
            except _SPARK_ERRORS:
                return

        stopper = threading.Thread(target=stop, name="query-stop", daemon=True)
        stopper.start()
        stopper.join(_STOP_SECONDS)

    def translated(self, error: Exception) -> BaseException:
        """What `error`, raised by a call into Spark, means: the end of the job, that of its JVM, or what it says."""
        run = self._run
        return run.failure or run.runtime.end_failure() or self._in_our_words(error)

    def _in_our_words(self, error: Exception) -> PacificToolError:
        config = self._config
        return spark_failure(str(error), endpoint=config.kafka, topic=config.topic, folder=config.checkpoint)

    def _batch_processor(self, done: Callable[[BatchReport], None], reporter: Reporter) -> BatchProcessor:
        run, config = self._run, self._config
        aggregation = config.aggregation
        rules = Rules(
            window_ms=aggregation.window_ms,
            zone_key=aggregation.zone_key,
            value_key=aggregation.value_key,
            minimum=aggregation.valid.min,
            maximum=aggregation.valid.max,
            nonce=secrets.token_hex(16),
        )
        return BatchProcessor(
            checkpoint=run.checkpoint,
            topic=config.topic,
            rules=rules,
            ranges=RangeSums(run.runtime, consumer_properties(config.kafka), config.topic, rules),
            lateness_ms=aggregation.lateness_ms,
            trigger_ms=self._trigger_ms,
            clock=run.clock,
            coverage=run.coverage,
            stop=run.halt,
            done=done,
            reporter=reporter,
        )

    def _started(self, options: Mapping[str, str]) -> StreamingQuery:
        writer = (
            self._run.runtime.session.readStream.format("kafka")
            .options(**options)
            .load()
            .writeStream.foreachBatch(self._process)
            .option("checkpointLocation", self._run.checkpoint.spark.as_uri())
            .queryName("aggregate")
        )
        if self._config.available_now:
            return writer.trigger(availableNow=True).start()
        return writer.trigger(processingTime=f"{self._trigger_ms} milliseconds").start()

    def _process(self, records: Any, batch_id: int) -> None:
        self._ready.wait()  # a checkpoint that is not ours must not get a batch
        try:
            self._processor(records, batch_id)
        except (PySparkException, Py4JError) as error:
            self._failure = error
            raise
        except BatchStopped:
            raise
        except Exception as error:
            self._run.fail(error)
            raise
