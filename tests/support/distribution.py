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
    "spark": (
        "tests/e2e/analytics/",
        "tests/integration/analytics/test_batch_reader.py",
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

SECONDS: Final[dict[str, int]] = {}
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
