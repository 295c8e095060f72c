from __future__ import annotations

import pytest

from pacifictool.analytics.engine.jvm import DRIVER_JAVA_OPTIONS, driver_options
from pacifictool.errors import AggregationError

OURS = ["-XX:+UseParallelGC", "-Xms98304k", "-XX:MaxNewSize=131072k"]


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (None, OURS),
        ("-Dname='two words' -Xss2m", [*OURS, "-Dname=two words", "-Xss2m"]),
        ("-Xlog:gc -XX:+UseG1GC", ["-Xlog:gc", "-XX:+UseG1GC"]),
    ],
)
def test_options_for_the_driver_come_from_sparks_property(given: str | None, options: list[str]) -> None:
    found = driver_options({} if given is None else {DRIVER_JAVA_OPTIONS: given}, "768m")
    assert found == [
        "-XX:Tier4InvocationThreshold=100000",
        "-XX:Tier4MinInvocationThreshold=12000",
        "-XX:Tier4CompileThreshold=300000",
        "-XX:Tier4BackEdgeThreshold=800000",
        *options,
    ]


def test_a_quotation_mark_without_its_partner_is_reported() -> None:
    with pytest.raises(AggregationError, match=r"extraJavaOptions cannot be taken apart .*: no closing quotation"):
        driver_options({DRIVER_JAVA_OPTIONS: "-Dname='two words"}, "1g")


@pytest.mark.parametrize(
    ("memory", "sizes"),
    [
        ("1g", ["-Xms131072k", "-XX:MaxNewSize=174762k"]),
        ("2G", ["-Xms262144k", "-XX:MaxNewSize=349525k"]),
        ("65536k", ["-Xms8192k", "-XX:MaxNewSize=10922k"]),
        ("524288000", ["-Xms64000k", "-XX:MaxNewSize=85333k"]),
    ],
)
def test_parts_of_the_heap_follow_its_size(memory: str, sizes: list[str]) -> None:
    assert driver_options({}, memory)[-2:] == sizes
