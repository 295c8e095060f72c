"""`pacifictool aggregate --available-now` as a person runs it, results to a Kafka topic of its own.

From the launch of the command to the last result, by the broker's clock of the topic of results. This process stays
small: what needs packages is done in another one, or after the measurement.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SCENARIO = """
[forwarding]
topic = "{topic}"
attributes = ["geoZone"]
telemetry = ["windSpeed"]
valid = {{ windSpeed = {{ min = 0, max = 1e9 }} }}
[[analytics]]
name = "zones"
group_by = ["geoZone"]
window = "{seconds:g}s"
telemetry = {{ windSpeed = "mean(windSpeed)" }}
"""
NEW_TOPIC = """
import sys
from confluent_kafka.admin import AdminClient, NewTopic
topic = NewTopic(sys.argv[2], 1, 1, config={"message.timestamp.type": "LogAppendTime"})
client = AdminClient({"bootstrap.servers": sys.argv[1]})
client.create_topics([topic])[sys.argv[2]].result(30)
"""


def main() -> None:
    document = json.loads(sys.argv[1])
    folder, bootstrap = Path(document["folder"]), document["bootstrap"]
    (task,) = document["tasks"]
    scenario = folder / "scenario.toml"
    scenario.write_text(SCENARIO.format(topic=task["topic"], seconds=document["window_ms"] / 1000))
    results = f"{task['topic']}-means-{os.getpid()}"
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PACIFICTOOL_")}
    environ |= {key: os.environ[key] for key in ("PACIFICTOOL_CACHE",) if key in os.environ}
    subprocess.run([sys.executable, "-c", NEW_TOPIC, bootstrap, results], check=True)
    print(json.dumps({"event": "ready"}), flush=True)
    began, launched_ms = time.perf_counter(), time.time() * 1000
    subprocess.run(
        [
            sys.executable, "-m", "pacifictool", "aggregate", "--scenario", str(scenario), "--available-now",
            "--starting-offsets", "earliest", "--sink", "kafka", "--result-topic", results,
            "--checkpoint", str(folder / "job"), "--quiet", "--output", "json",
        ],
        env={**environ, "PACIFICTOOL_KAFKA": bootstrap, "PACIFICTOOL_STATE": str(folder / "state")},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    sys.path.insert(0, str(Path(__file__).parent))
    from engine import done

    done()
    report_results(bootstrap, results, task["records"], seconds, launched_ms)


def report_results(bootstrap: str, results: str, records: int, seconds: float, launched_ms: float) -> None:
    from confluent_kafka import Consumer, TopicPartition
    from engine import Means, report

    from pacifictool.kafka.topics import KafkaAdmin
    from pacifictool.settings import KafkaEndpoint

    means: Means = {}
    last_ms = launched_ms
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.partition.eof": True})
    partitions = consumer.list_topics(results, timeout=10).topics[results].partitions
    consumer.assign([TopicPartition(results, partition, 0) for partition in partitions])
    open_ends = len(partitions)
    while open_ends:
        for message in consumer.consume(10_000, timeout=1.0):
            if message.error():
                open_ends -= 1
                continue
            found = json.loads(message.value())
            last_ms = max(last_ms, message.timestamp()[1])
            means[found["geoZone"], found["ts"]] = (found["count"], found["windSpeed"])
    consumer.close()
    KafkaAdmin(KafkaEndpoint(bootstrap)).delete(results)
    report(records, seconds, means, last_mean_seconds=(last_ms - launched_ms) / 1000)


main()
