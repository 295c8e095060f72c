"""The topic as the job's source: its options for Spark, waiting for it, watching it, and the words of its failures."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from pacifictool.aggregation.checkpoint import TWO_WAYS_ON, Checkpoint, another_topic, storage_full
from pacifictool.aggregation.ledger import Ledger
from pacifictool.errors import (
    AggregationError,
    CheckpointMismatch,
    KafkaError,
    KafkaUnreachable,
    PacificToolError,
    SettingsError,
)
from pacifictool.kafka.config import java_properties
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.reporting import Reporter
from pacifictool.runtime.cache import disk_is_full
from pacifictool.settings import KafkaEndpoint

POLL_RECORDS = "10000"
"""Kafka's own 500 cost a quarter of the processor time of reading. A poll holds what one fetch brought: 1 MB."""
FETCH_WAIT_MS = "50"
"""How long the broker holds a fetch for which it has nothing yet. Spark's consumers ask only for what is there, but the
fetch that they send ahead of time comes before that: with Kafka's own 500 it holds up small batches by 0.1-0.2 s."""
_TOPIC_POLL_SECONDS = 1.0
STARTING_OFFSETS = "starting_offsets"
"""Where the ledger keeps what `fixed_start` fixed."""

_WATCH_SECONDS = 2.0

_DATA_LOSS = ("KAFKA_DATA_LOSS", "failOnDataLoss", "OffsetOutOfRangeException", "KAFKA_START_OFFSET_DOES_NOT_MATCH")
_NO_CONNECTOR = "Failed to find data source: kafka"
_REFUSED = ("AuthenticationException", "AuthorizationException", "ConfigException", "Failed to construct kafka")
_MAY_PASS = re.compile(
    r"org\.apache\.kafka\.common\.errors\.\w*(Timeout|Disconnect|Network|NotLeader|NotAvailable|UnknownTopic|Epoch"
    r"|Coordinator|NotController|Retriable|NotEnoughReplicas|KafkaStorage)\w*Exception"
    r"|java\.util\.concurrent\.TimeoutException|Cannot fetch record for offset"
)
_STAMP = re.compile(r"partition (\d+) offset (\d+) has timestamp value (-?\d+) that overflows")
_JAVA_EXCEPTION = re.compile(r"(?P<kind>(?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error)): (?P<message>[^\n]+)")


def starting_options(starting_offsets: str) -> dict[str, str]:
    """Spark's options for "latest", "earliest", an ISO 8601 time or milliseconds since the epoch.

    A time without offset is local time. Raises SettingsError.
    """
    text = starting_offsets.strip()
    if text in ("latest", "earliest"):
        return {"startingOffsets": text}
    try:
        milliseconds = int(text) if text.isdigit() else round(datetime.fromisoformat(text).timestamp() * 1000)
        if milliseconds < 0:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise SettingsError(
            f"--starting-offsets: {starting_offsets!r} is neither latest, earliest nor a time.",
            hint="Write a time as 2026-01-31T12:00:00Z or in milliseconds since 1970.",
        ) from None
    # Partitions without a record that new start at their end.
    return {"startingTimestamp": str(milliseconds), "startingOffsetsByTimestampStrategy": "latest"}


def consumer_properties(endpoint: KafkaEndpoint) -> dict[str, str]:
    """Properties of the consumers that read the topic, Spark's and ours. May hold secrets. Raises SettingsError."""
    client = {
        "isolation.level": "read_committed",
        "max.poll.records": POLL_RECORDS,
        "fetch.max.wait.ms": FETCH_WAIT_MS,
    } | java_properties(endpoint)
    for name in ("group.id", "auto.offset.reset", "enable.auto.commit", "key.deserializer", "value.deserializer"):
        # Spark manages these itself and refuses to start when they are given.
        client.pop(name, None)
    return client


def kafka_options(endpoint: KafkaEndpoint, topic: str, starting_offsets: str) -> dict[str, str]:
    """All options of Spark's Kafka source. May hold secrets. Raises SettingsError."""
    return {
        **{f"kafka.{name}": value for name, value in consumer_properties(endpoint).items()},
        "subscribe": topic,
        "failOnDataLoss": "true",
        **starting_options(starting_offsets),
    }


def fixed_start(
    options: Mapping[str, str], admin: KafkaAdmin, topic: str, ledger: Ledger, *, appeared: bool
) -> dict[str, str]:
    """Options in which "latest" has become the offsets of this moment, which the ledger keeps.

    Spark fixes "latest" when it plans its first batch, seconds after the job said that it runs, and anew when it did
    not get that far: records of that time would be skipped. `appeared`: the topic was made while we waited for it, so
    that all it holds is new.
    """
    ends = dict.fromkeys(admin.offsets(topic), 0) if appeared else admin.offsets(topic)
    kept = ledger.state(STARTING_OFFSETS)
    # A partition that was added later held nothing then.
    start = {str(part): 0 for part in ends} | (json.loads(kept) if kept else {str(k): v for k, v in ends.items()})
    if kept is None:
        ledger.set_state(STARTING_OFFSETS, json.dumps(start))
    return {**options, "startingOffsets": json.dumps({topic: start})}


def wait_for_topic(
    admin: KafkaAdmin, topic: str, stop: threading.Event, reporter: Reporter
) -> tuple[TopicInfo, bool] | None:
    """The topic as soon as it exists, and whether it had to be waited for; None when `stop` was set first.

    Raises KafkaUnreachable or KafkaError.
    """
    admin.check_reachable()
    told = False
    while (info := admin.describe(topic)) is None:
        if not told:
            reporter.warning(
                f"There is no topic {topic} at {admin.endpoint} yet. Waiting for it; `pacifictool setup` creates it."
            )
            told = True
        if stop.wait(_TOPIC_POLL_SECONDS):
            return None
    if told:
        reporter.info(f"Topic {topic} is there now, with {info.partitions} partitions.")
    return info, told


class TopicWatch:
    """Looks at the topic every two seconds while the job runs: its ends, and whether it is still the same topic."""

    def __init__(
        self,
        endpoint: KafkaEndpoint,
        topic: TopicInfo,
        *,
        ends: Callable[[Mapping[int, int] | None], None],
        failed: Callable[[PacificToolError], None],
        reporter: Reporter,
    ) -> None:
        """`ends` gets the ends by partition, or None when Kafka does not answer; `failed` a topic that is another."""
        self._endpoint = endpoint
        self._topic = topic
        self._reporter = reporter
        self._trouble: str | None = None
        self._ends = ends
        self._failed = failed
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="topic-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the watch; a request under way is not waited for."""
        self._halt.set()

    def _run(self) -> None:
        admin: KafkaAdmin | None = None
        name = self._topic.name
        while not self._halt.is_set():
            try:
                admin = admin or KafkaAdmin(self._endpoint, timeout_seconds=5)
                info = admin.describe(name)
                if info is not None and info.topic_id != self._topic.topic_id:
                    self._failed(another_topic(name))
                    return
                self._ends(admin.offsets(name) if info is not None else None)
                self._tell(f"There is no topic {name} at {self._endpoint} any more." if info is None else None)
            except KafkaError:
                self._ends(None)
                self._tell(f"Kafka at {self._endpoint} does not answer. What it holds is counted once it is back.")
            self._halt.wait(_WATCH_SECONDS)

    def _tell(self, trouble: str | None) -> None:
        """Says what is wrong, once, and that it is over."""
        if trouble != self._trouble and not self._halt.is_set():
            if trouble is not None:
                self._reporter.warning(trouble)
            else:
                self._reporter.info(f"Kafka serves topic {self._topic.name} again.")
            self._trouble = trouble


def check_not_ahead(checkpoint: Checkpoint, admin: KafkaAdmin, topic: str) -> None:
    """Makes sure that the topic still holds what the checkpoint goes on from.

    A broker that comes back with an older state of its disk has fewer records than were counted. Raises
    CheckpointMismatch.
    """
    planned = checkpoint.planned_ends(topic)
    if not planned:
        return
    ends = admin.offsets(topic)
    ahead = [
        f"partition {part} ends at offset {ends[part]}, the checkpoint is at {offset}"
        if part in ends
        else f"partition {part} is gone"
        for part, offset in sorted(planned.items())
        if ends.get(part, -1) < offset
    ]
    if ahead:
        raise CheckpointMismatch(
            f"The checkpoint {checkpoint.folder} is ahead of topic {topic} ({'; '.join(ahead)}): "
            "records that were counted are no longer there.",
            hint=TWO_WAYS_ON,
            checkpoint=str(checkpoint.folder),
        )


def spark_failure(text: str, *, endpoint: KafkaEndpoint, topic: str, folder: Path) -> PacificToolError:
    """Spark's failure of a query, in our words. KafkaUnreachable is the one worth another attempt."""
    log = folder / "spark.log"
    if disk_is_full(folder, text):
        return storage_full(folder)
    if any(words in text for words in _DATA_LOSS):
        return CheckpointMismatch(
            f"Topic {topic} no longer holds the records that the checkpoint {folder} goes on from.",
            hint="Either the topic was created again, or its retention removed records that were not counted yet, or "
            f"the broker lost some. {TWO_WAYS_ON}",
            log=str(log),
        )
    if _NO_CONNECTOR in text:
        return AggregationError(
            "Spark has no Kafka connector.",
            hint="Give it to spark-submit: --packages "
            f"org.apache.spark:spark-sql-kafka-0-10_2.13:{version('pyspark')}, or --jars (docs/clusters.md).",
        )
    if (unreadable := _STAMP.search(text)) is not None:
        partition, offset, stamp = unreadable.groups()
        return AggregationError(
            f"The record at offset {offset} of partition {partition} of topic {topic} has a time stamp that Spark "
            f"cannot read ({stamp} ms).",
            hint="Let the broker stamp the records (message.timestamp.type=LogAppendTime, as `pacifictool setup` does) "
            "and start behind that record: a new --checkpoint folder and --starting-offsets with a time.",
            log=str(log),
        )
    if any(words in text for words in _REFUSED) and "kafka" in text.lower():
        return KafkaError(
            f"Spark's Kafka client cannot work with {endpoint}: {_essence(text)}",
            hint="Check the security settings given with -X and --kafka-config.",
            log=str(log),
        )
    if _MAY_PASS.search(text):
        return KafkaUnreachable(f"Kafka at {endpoint} does not serve topic {topic}: {_essence(text)}", log=str(log))
    return AggregationError(f"Spark failed: {_essence(text)}", hint=f"Its own words are in {log}.", log=str(log))


def _essence(text: str) -> str:
    """The message of the last Java exception that is named, which is the cause; else the first line."""
    messages = [match["message"].strip() for match in _JAVA_EXCEPTION.finditer(text)]
    if not messages:
        messages = [line.strip() for line in text.splitlines() if line.strip()][:1] or ["no reason given"]
    return messages[-1].rstrip(".") + "."
