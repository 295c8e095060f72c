"""Where a job begins: waiting for its topic, and the offsets of a new checkpoint."""

from __future__ import annotations

import threading
from datetime import datetime

from pacifictool.analytics.state.checkpoint import TWO_WAYS_ON, Checkpoint, records_gone
from pacifictool.errors import CheckpointMismatch, SettingsError
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.progress import Reporter

_TOPIC_POLL_SECONDS = 1.0
_DATE_DIGITS = len("20260131")


def starting_point(starting_offsets: str) -> str | int:
    """ "latest", "earliest", or milliseconds since the epoch for a time in ISO 8601, such as 2026-01-31T12:00:00Z.

    A time without offset is local time. Digits alone can only be a date, 20260131: as a number they could be meant in
    seconds, milliseconds or offsets. Raises SettingsError.
    """
    text = starting_offsets.strip()
    if text in ("latest", "earliest"):
        return text
    try:
        if text.isdigit() and len(text) != _DATE_DIGITS:
            raise ValueError
        milliseconds = round(datetime.fromisoformat(text).timestamp() * 1000)
        if milliseconds < 0:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise SettingsError(
            f"--starting-offsets: {starting_offsets!r} is neither latest, earliest nor a time.",
            hint="Write a time as 2026-01-31T12:00:00Z, or a date as 2026-01-31.",
        ) from None
    return milliseconds


def wait_for_topic(
    admin: KafkaAdmin, topic: str, stop: threading.Event, reporter: Reporter
) -> tuple[TopicInfo, bool] | None:
    """The topic as soon as it exists, and whether it had to be waited for; None when `stop` was set first.

    Raises KafkaUnreachable or KafkaError.
    """
    admin.check_reachable()
    reported = False
    while (info := admin.describe(topic)) is None:
        if not reported:
            reporter.warning(
                f"There is no topic {topic} at {admin.endpoint} yet. Waiting for it; `pacifictool setup` creates it."
            )
            reported = True
        if stop.wait(_TOPIC_POLL_SECONDS):
            return None
    if reported:
        reporter.info(f"Topic {topic} is there now, with {info.partitions} partitions.")
    return info, reported


def fix_start(checkpoint: Checkpoint, admin: KafkaAdmin, topic: str, point: str | int, *, appeared: bool) -> None:
    """Gives a new checkpoint the offsets at which it begins, once: a start that comes to nothing does not move them.

    `appeared`: the topic was made while the job waited for it, so that all it holds is new.
    """
    if checkpoint.store.starting_offsets() is not None or checkpoint.store.next_offsets():
        return
    if appeared:
        point = "earliest"
    at = {"latest": "end", "earliest": "start"}.get(point, "end") if isinstance(point, str) else point
    checkpoint.store.set_starting_offsets(admin.offsets(topic, at=at))


def check_topic_holds(checkpoint: Checkpoint, admin: KafkaAdmin, topic: str) -> None:
    """Makes sure that the topic still holds what the checkpoint goes on from.

    A broker that comes back with an older state of its disk has fewer records than were counted; one whose retention
    was too short has lost some that were not. Raises CheckpointMismatch.
    """
    counted = checkpoint.store.next_offsets()
    if not counted:
        return
    ends, starts = admin.offsets(topic), admin.offsets(topic, at="start")
    ahead = [
        f"partition {part} ends at offset {ends[part]}, the checkpoint is at {offset}"
        if part in ends
        else f"partition {part} is gone"
        for part, offset in sorted(counted.items())
        if ends.get(part, -1) < offset
    ]
    if ahead:
        raise CheckpointMismatch(
            f"The checkpoint {checkpoint.folder} is ahead of topic {topic} ({'; '.join(ahead)}): "
            "records that were counted are no longer there.",
            hint=TWO_WAYS_ON,
            checkpoint=str(checkpoint.folder),
        )
    if any(starts.get(part, 0) > offset for part, offset in counted.items()):
        raise records_gone(topic, checkpoint.folder)
