from __future__ import annotations

import os

import pytest

from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.runtime.java import find_java
from tests.support.fixtures import peer
from tests.support.gateway_platform import make_sink, platform
from tests.support.local_spark import local_spark

__all__ = ["make_sink", "peer", "platform"]


@pytest.fixture(scope="session")
def spark_settings() -> SparkSettings:
    return local_spark(find_java(os.environ))
