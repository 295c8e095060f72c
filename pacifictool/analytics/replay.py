"""Sends invalid records to their topic again, once what made them invalid is corrected."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from pacifictool.analytics.engine.records import AHEAD_OF_ARRIVAL, TOO_LATE, UNREADABLE, none_of, time_faults
from pacifictool.analytics.state.dead_letters import DeadLetters
from pacifictool.analytics.state.queries import InvalidRecord
from pacifictool.analytics.state.schema import ANALYTICS
from pacifictool.errors import KafkaError
from pacifictool.kafka.producer import open_producer
from pacifictool.kafka.topics import no_connection, reason_of, unreachable
from pacifictool.progress import ProgressTask
from pacifictool.scenario import READING_TIME
from pacifictool.settings import KafkaEndpoint

HEADER: Final = "pacifictool-replay"
"""Names the record's first place, "topic/partition/offset"."""
_CHUNK: Final = 500
_DELIVERY_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


@dataclass(slots=True)
class ReplayCounts:
    """What became of the invalid records."""

    replayed: int = 0
    """Sent and acknowledged now; with a dry run, those that would be sent."""
    replayed_before: int = 0
    partly_counted: int = 0
    """Left out, because something of them may have been counted already."""
    without_value: int = 0
    """Left out: nothing of them could ever be counted."""


def replay(
    letters: DeadLetters,
    endpoint: KafkaEndpoint,
    *,
    reasons: Collection[str] = (),
    partly_counted: bool = False,
    dry_run: bool = False,
    stop: threading.Event,
    task: ProgressTask,
) -> ReplayCounts:
    """Sends the invalid records that were not sent again before to the partitions that they came from, at least once:
    what is acknowledged is noted in the state store, and what is not noted is sent by the next call.

    Only those with one of the `reasons` (none: all). Records of which something may have been counted already are left
    out unless `partly_counted`. Returns early when `stop` is set. Raises KafkaUnreachable, KafkaError.
    """
    counts = ReplayCounts()
    chosen = _chosen(letters, counts, reasons, partly_counted=partly_counted)
    if dry_run:
        counts.replayed = sum(1 for _ in chosen)
        return counts
    producer: Producer | None = None
    while not stop.is_set() and (chunk := list(islice(chosen, _CHUNK))):
        producer = producer or open_producer(endpoint)
        acknowledged, failure = _send(producer, endpoint, chunk, stop)
        letters.mark_replayed(acknowledged)
        counts.replayed += len(acknowledged)
        task.update(completed=counts.replayed)
        if failure is not None:
            raise failure
    return counts


def counted_nowhere(reason: str, identity: Mapping[str, Any]) -> bool:
    """Whether nothing of a record that is invalid for this reason was counted by the job with this identity.

    A record counts for each key and analytics by itself (docs/operations.md#valid-records).
    """
    analytics = [what for name, what in identity.items() if name.startswith(ANALYTICS)]
    telemetry: Sequence[str] = identity["records"]["telemetry"]
    if reason.startswith(TOO_LATE):
        return len(analytics) == 1 and analytics[0]["window_ms"] == analytics[0]["slide_ms"]
    of_whole_record = (*UNREADABLE, none_of(telemetry), *time_faults(READING_TIME))
    if reason in of_whole_record or reason.endswith(AHEAD_OF_ARRIVAL):
        return True
    for key in {key for each in analytics for key in each["group_by"]}:
        if reason == f"no {key}" or reason.startswith(f"{key} "):
            return all(key in each["group_by"] for each in analytics)
    return len(telemetry) == 1


def _chosen(
    letters: DeadLetters, counts: ReplayCounts, reasons: Collection[str], *, partly_counted: bool
) -> Iterator[InvalidRecord]:
    identity = letters.view.identity_document()
    for record in letters.view.invalid_records():
        if reasons and record.reason not in reasons:
            continue
        if record.replayed_ms is not None:
            counts.replayed_before += 1
        elif not record.value:
            counts.without_value += 1
        elif not partly_counted and not counted_nowhere(record.reason, identity):
            counts.partly_counted += 1
        else:
            yield record


def _send(
    producer: Producer, endpoint: KafkaEndpoint, records: Sequence[InvalidRecord], stop: threading.Event
) -> tuple[list[InvalidRecord], KafkaError | None]:
    """Those that the broker has acknowledged, and why some were not."""
    acknowledged: list[InvalidRecord] = []
    failures: list[str] = []

    def responded(record: InvalidRecord, error: Any, _message: Any) -> None:
        if error is None:
            acknowledged.append(record)
        else:
            failures.append(reason_of(KafkaException(error)))

    for record in records:
        _produce(producer, record, partial(responded, record))
    deadline = time.monotonic() + _DELIVERY_SECONDS
    while len(acknowledged) + len(failures) < len(records) and time.monotonic() < deadline and not stop.is_set():
        producer.poll(_POLL_SECONDS)
    if len(acknowledged) == len(records) or (stop.is_set() and not failures):
        return acknowledged, None
    producer.purge()
    if failures:
        place = f"topic {records[0].topic}"
        return acknowledged, KafkaError(f"Records could not be written to {place}: {failures[0].rstrip('.')}.")
    reason = no_connection(endpoint) or f"records were not acknowledged within {_DELIVERY_SECONDS:g} s"
    return acknowledged, unreachable(endpoint, reason)


def _produce(producer: Producer, record: InvalidRecord, responded: Any) -> None:
    place = f"{record.topic}/{record.partition}/{record.offset}"
    options: dict[str, Any] = {} if record.timestamp_ms is None else {"timestamp": record.timestamp_ms}
    while True:
        try:
            producer.produce(
                record.topic,
                record.value,
                partition=record.partition,
                headers=[(HEADER, place.encode())],
                on_delivery=responded,
                **options,
            )
        except BufferError:
            producer.poll(_POLL_SECONDS)
        except KafkaException as error:
            responded(error.args[0], None)
            return
        else:
            return
