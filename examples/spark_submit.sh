#!/bin/sh
# The job through spark-submit, for clusters that require it: options for Spark in SPARK_OPTIONS, those of
# `pacifictool aggregate` as arguments. PACIFICTOOL_URL and PACIFICTOOL_KAFKA set the platform and Kafka.
#
#   SPARK_OPTIONS="--master spark://head:7077 --executor-memory 2g" sh examples/spark_submit.sh --checkpoint /shared/job
#
# The driver runs here, with the Python that has pacifictool installed. Executors need a Python only for functions of
# your own, with pandas: PYSPARK_PYTHON says where it is on their machines.
set -eu

python=${PYTHON:-python3}

# The program that spark-submit starts, and Kafka's connector in the version that goes with the installed pyspark.
# Where the cluster's head can reach a Maven repository, --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0
# does the same as --jars.
program=$("$python" -c 'import pacifictool; print(pacifictool.__path__[0] + "/__main__.py")')
home=$("$python" -c 'import pyspark; print(pyspark.__path__[0])')
jars=$("$python" -c '
import os
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java
jars = ensure_jars(SPARK_KAFKA, java=find_java(os.environ), cache_dir=default_cache_dir(os.environ), environ=os.environ)
print(",".join(map(str, jars)))')

export SPARK_HOME="$home" PYSPARK_PYTHON="${PYSPARK_PYTHON:-$python}" PYSPARK_DRIVER_PYTHON="$python"
# shellcheck disable=SC2086 - options are words
exec "$home/bin/spark-submit" ${SPARK_OPTIONS-} --jars "$jars" "$program" aggregate "$@"
