from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.runtime.java import find_java
from pacifictool.settings import KafkaEndpoint
from tests.support.batch_bench import Bench
from tests.support.fixtures import peer, unique
from tests.support.gateway_platform import make_sink, platform
from tests.support.local_spark import local_spark

__all__ = ["make_sink", "peer", "platform", "unique"]


@pytest.fixture(scope="session")
def spark_settings() -> SparkSettings:
    return local_spark(find_java(os.environ))


@pytest.fixture
def bench(spark: SparkRuntime, stack: LocalStack) -> Iterator[Bench]:
    endpoint = KafkaEndpoint(stack.broker.bootstrap)
    bench = Bench(spark, endpoint, f"ranges-{uuid4().hex[:8]}")
    yield bench
    KafkaAdmin(endpoint).delete(bench.topic)
