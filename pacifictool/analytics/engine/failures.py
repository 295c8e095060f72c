"""What a failure of Spark means, in plain words."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pacifictool.analytics.state.checkpoint import records_gone, storage_full
from pacifictool.errors import AggregationError, KafkaError, KafkaUnreachable, PacificToolError
from pacifictool.runtime.cache import disk_is_full
from pacifictool.settings import KafkaEndpoint

_DATA_LOSS: Final = ("OffsetOutOfRangeException", "NoOffsetForPartitionException")
_NO_CLIENT: Final = "org.apache.kafka"
_NOT_FOUND: Final = ("NoClassDefFoundError", "ClassNotFoundException", "could not be loaded")
_REFUSED: Final = ("AuthenticationException", "AuthorizationException", "ConfigException", "Failed to construct kafka")
_MAY_PASS: Final = re.compile(
    r"org\.apache\.kafka\.common\.errors\.\w*(Timeout|Disconnect|Network|NotLeader|NotAvailable|UnknownTopic|Epoch"
    r"|Coordinator|NotController|Retriable|NotEnoughReplicas|KafkaStorage)\w*Exception"
    r"|java\.util\.concurrent\.TimeoutException"
)
_JAVA_EXCEPTION: Final = re.compile(r"(?P<kind>(?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error)): (?P<message>[^\n]+)")


def spark_failure(text: str, *, endpoint: KafkaEndpoint, topic: str, folder: Path) -> PacificToolError:
    """The error for a batch that failed with this text. KafkaUnreachable is the one worth another attempt."""
    log = folder / "spark.log"
    if disk_is_full(folder, text):
        return storage_full(folder)
    if any(words in text for words in _DATA_LOSS):
        return records_gone(topic, folder)
    if _NO_CLIENT in text and any(words in text for words in _NOT_FOUND):
        return AggregationError(
            "Spark has no Kafka client.",
            hint="Give it to spark-submit: --packages "
            f"org.apache.spark:spark-sql-kafka-0-10_2.13:{version('pyspark')}, or --jars (docs/clusters.md).",
        )
    if any(words in text for words in _REFUSED) and "kafka" in text.lower():
        return KafkaError(
            f"Spark's Kafka client cannot work with {endpoint}: {essence(text)}",
            hint="Check the security settings given with -X and --kafka-config.",
            log=str(log),
        )
    if _MAY_PASS.search(text):
        return KafkaUnreachable(f"Kafka at {endpoint} does not serve topic {topic}: {essence(text)}", log=str(log))
    return AggregationError(f"Spark failed: {essence(text)}", hint=f"Its log is {log}.", log=str(log))


_JVM_REASON: Final = re.compile(
    r'^(?:Error: |Terminating due to |Unrecognized |Exception in thread "main" (?:[a-z]\w*\.)+)\S.*$', re.MULTILINE
)
_JVM_FRAME: Final = ("could not create the java virtual machine", "a fatal exception has occurred")
"""What Java says besides its reason."""


def jvm_reason(output: str) -> str | None:
    """Why a JVM could not start or go on, in its own words, from what it has printed; None when it did not say."""
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("Error occurred during initialization of VM") and number + 1 < len(lines):
            return lines[number + 1].strip().rstrip(".")
    found = [match[0].removeprefix("Error: ").strip() for match in _JVM_REASON.finditer(output)]
    found = [line for line in found if not line.lower().startswith(_JVM_FRAME)]
    return found[0].rstrip(".") if found else None


def essence(text: str) -> str:
    """The message of the last Java exception that is named, which is the cause; else the first line."""
    messages = [match["message"].strip() for match in _JAVA_EXCEPTION.finditer(text)]
    if not messages:
        messages = [line.strip() for line in text.splitlines() if line.strip()][:1] or ["no reason given"]
    return messages[-1].rstrip(".") + "."
