"""Which worker runs which tests, when pytest runs with `-n`.

A file goes to one worker, as with `--dist loadfile`. Two things are added. Files that share a server go to one worker
together, because each worker starts its own: a broker takes 5 s of processor time, Spark 10 s. And what takes longest
begins first, because a worker that gets a long file last works on while the others have nothing left to do.
"""

from __future__ import annotations

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final[dict[str, tuple[str, ...]]] = {
    "jobs": ("tests/e2e/analytics/",),
    "spark": (
        "tests/integration/analytics/test_batch_reader.py",
        "tests/integration/analytics/test_function_runner.py",
        "tests/integration/analytics/test_random_scenarios.py",
        "tests/security/test_kafka_tls.py",
        "tests/faults/test_power_cut.py",
    ),
    "browser": ("tests/browser/",),
    "contract of 4.x": ("tests/contract/modern/",),
    "contract of 1.x": ("tests/contract/",),
    "sandbox": ("tests/integration/sandbox/",),
    "rest": ("tests/integration/rest/",),
    "watch": ("tests/integration/watch/",),
    "drawings": ("tests/unit/report/",),
}
"""Name of a group → the beginnings of its tests' paths. The first that fits counts."""

SECONDS: Final = {
    "jobs": 200,
    "spark": 200,
    "tests/e2e/test_your_analytics.py": 120,
    "browser": 150,
    "tests/e2e/test_doctor.py": 120,
    "tests/integration/spark/test_session.py": 110,
    "tests/faults/test_outages.py": 110,
    "tests/e2e/test_trace_job.py": 90,
    "tests/integration/runtime/test_kafka_broker.py": 80,
    "tests/e2e/test_trace.py": 80,
    "tests/e2e/test_your_data.py": 60,
    "tests/security/test_other_users.py": 70,
    "tests/integration/runtime/test_jars.py": 60,
    "tests/e2e/test_demo.py": 50,
    "tests/e2e/test_examples.py": 50,
    "sandbox": 50,
    "contract of 1.x": 50,
    "tests/e2e/test_setup_interrupted.py": 50,
    "tests/integration/simulation/test_fleet_faults.py": 50,
    "tests/e2e/test_pipeline.py": 45,
    "tests/security/test_hostile_folder.py": 45,
    "tests/e2e/test_setup_side_by_side.py": 40,
    "tests/integration/cli/test_sandbox.py": 40,
    "tests/integration/analytics/test_function_process.py": 40,
    "contract of 4.x": 40,
    "tests/integration/cli/test_bad_input.py": 40,
    "tests/integration/analytics/test_spark.py": 40,
    "tests/security/test_secrets.py": 40,
    "watch": 40,
    "tests/integration/cli/test_environments.py": 30,
    "tests/e2e/test_sinks.py": 30,
    "tests/docs/test_blocks.py": 30,
    "tests/integration/simulation/test_overload.py": 30,
    "tests/integration/cli/test_help.py": 20,
    "tests/integration/cli/test_output.py": 20,
    "tests/faults/test_gateway_queue.py": 20,
    "drawings": 15,
}
"""How long groups and files take alone on an idle machine; those that are not here take less."""


def unit_of(nodeid: str) -> str:
    """What one worker runs as a whole: the name of a group, or a file."""
    for name, paths in TOGETHER.items():
        if nodeid.startswith(paths):
            return name
    return nodeid.partition("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts by how long the unit of each test takes; otherwise the order stays."""
    items.sort(key=lambda item: -SECONDS.get(unit_of(item.nodeid), 0))


class InUnits(LoadScopeScheduling):  # type: ignore[misc]
    """Gives workers whole units, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False  # by number of tests: the long ones, which are few, would come last
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
