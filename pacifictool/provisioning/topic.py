"""The Kafka topic that the rule forwards to.

It must stamp records with the broker's time: a 1.x server's records carry no time of their own (CreateTime -1:
docs/servers/1.x.md#forwarding-to-kafka, row 2), and event-time windows need one.
"""

from __future__ import annotations

from collections.abc import Iterator

from pacifictool.errors import TopicMismatch
from pacifictool.kafka.topics import LOG_APPEND_TIME, KafkaAdmin
from pacifictool.provisioning.plan import Action, Kind, Step
from pacifictool.scenario import Topic


def topic_steps(admin: KafkaAdmin, wanted: Topic, *, add_partitions: bool = False) -> Iterator[Step]:
    """Compares the topic with the scenario.

    Raises TopicMismatch when it has fewer partitions than wanted, unless `add_partitions`; KafkaUnreachable when
    there is no Kafka or its advertised addresses lead nowhere.
    """
    admin.check_reachable()
    actual = admin.describe(wanted.topic)
    if actual is None:
        yield Step(
            Kind.TOPIC,
            wanted.topic,
            Action.CREATE,
            carry_out=lambda: admin.create(wanted.topic, partitions=wanted.partitions, replication=wanted.replication),
        )
        return
    differences = []
    if actual.partitions < wanted.partitions:
        if not add_partitions:
            raise TopicMismatch(
                f"Topic {wanted.topic} has {actual.partitions} partitions, the scenario asks for {wanted.partitions}.",
                hint="Run setup with --add-partitions to add them, or lower `partitions` in the scenario.",
            )
        differences.append(f"{wanted.partitions} partitions instead of {actual.partitions}")
    if actual.timestamp_type != LOG_APPEND_TIME:
        differences.append(f"message.timestamp.type {LOG_APPEND_TIME} instead of {actual.timestamp_type}")

    def change() -> None:
        if actual.partitions < wanted.partitions:
            admin.add_partitions(wanted.topic, wanted.partitions)
        if actual.timestamp_type != LOG_APPEND_TIME:
            admin.set_timestamp_type(wanted.topic, LOG_APPEND_TIME)

    if differences:
        yield Step(Kind.TOPIC, wanted.topic, Action.CHANGE, tuple(differences), change)
    else:
        yield Step(Kind.TOPIC, wanted.topic, Action.KEEP)
