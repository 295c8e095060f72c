"""Tests that may fail on a busy machine, and their one retry.

A test belongs here only while nobody knows how to make it independent of the machine's load: fix it if you can. Each
retry is counted, with its name, at the end of the run; a test that fails twice fails. Nothing else is retried.
"""

from __future__ import annotations

import pytest
from _pytest.runner import runtestprotocol

FLAKY_WHEN_BUSY: dict[str, str] = {
    "tests/e2e/test_your_analytics.py::test_turbulence_of_each_anemometer_on_a_device_of_its_own": (
        "its turbines publish for a minute, in which the job has to start, to deliver and to be killed"
    ),
    "tests/integration/simulation/test_fleet_faults.py::test_without_an_acknowledgement_the_same_reading_is_sent_again": (
        "a peer without processor time for seconds looks like one that never acknowledges"
    ),
}
"""Test without its parameters, as pytest names it → why its result depends on the load."""

_RETRIED = "retried when busy"


class RetryWhenBusy:
    """The plugin that retries what has the marker `flaky_when_busy`, once."""

    def __init__(self, flaky: dict[str, str]) -> None:
        self._flaky = flaky
        self._retried: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if (reason := self._flaky.get(item.nodeid.partition("[")[0])) is not None:
                item.add_marker(pytest.mark.flaky_when_busy(reason=reason))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        marker = item.get_closest_marker("flaky_when_busy")
        if marker is None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failures = [report.longreprtext for report in reports if report.failed]
        if failures:
            item.user_properties.append((_RETRIED, marker.kwargs["reason"]))
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                report.sections.append(("The first attempt failed", "\n".join(failures)))
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Properties travel with the report from the worker to the process that prints the summary.
        if report.when == "teardown":
            for name, reason in report.user_properties:
                if name == _RETRIED:
                    self._retried[report.nodeid] = str(reason)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if terminalreporter.config.option.collectonly:
            return
        if self._retried:
            terminalreporter.section(f"{len(self._retried)} tests retried: flaky when the machine is busy")
            for nodeid, reason in sorted(self._retried.items()):
                terminalreporter.write_line(f"{nodeid}: {reason}")
        else:
            terminalreporter.write_line("0 tests retried")
