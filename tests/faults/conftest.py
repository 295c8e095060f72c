from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fault_rig import FaultRig


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRig]:
    """The test's own rig."""
    with FaultRig(tmp_path_factory.mktemp("rig")) as rig:
        yield rig
