"""A unit test starts no process: the folder has to run in seconds, many times a day."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

_FOLDER = Path(__file__).parent


def _refuse(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("A unit test starts no process. Move this test to the same folder below tests/integration.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Also during set-up: session fixtures start before any function's fixture could refuse it."""
    if not item.path.is_relative_to(_FOLDER):
        return (yield)  # the hook is called for the tests of all folders
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", _refuse)
        for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp"):
            patch.setattr(os, name, _refuse, raising=False)
        return (yield)
