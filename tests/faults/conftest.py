from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fault_rig import ProvingGround


@pytest.fixture
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    """A place of the test's own."""
    with ProvingGround(tmp_path_factory.mktemp("ground")) as ground:
        yield ground
