from __future__ import annotations

import pytest

from pacifictool.analytics.engine.jvm import DRIVER_JAVA_OPTIONS, driver_options
from pacifictool.errors import AggregationError


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (None, ["-XX:+UseParallelGC"]),
        ("-Dname='two words' -Xss2m", ["-XX:+UseParallelGC", "-Dname=two words", "-Xss2m"]),
        ("-Xlog:gc -XX:+UseG1GC", ["-Xlog:gc", "-XX:+UseG1GC"]),
    ],
)
def test_options_for_the_driver_come_from_sparks_property(given: str | None, options: list[str]) -> None:
    found = driver_options({} if given is None else {DRIVER_JAVA_OPTIONS: given})
    assert found == ["-XX:TieredStopAtLevel=1", *options]


def test_a_quotation_mark_without_its_partner_is_reported() -> None:
    with pytest.raises(AggregationError, match=r"extraJavaOptions cannot be taken apart .*: no closing quotation"):
        driver_options({DRIVER_JAVA_OPTIONS: "-Dname='two words"})
