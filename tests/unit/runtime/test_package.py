from __future__ import annotations

from pathlib import Path

import pytest

import pacifictool.runtime
from pacifictool.runtime.cache import default_cache_dir


def test_every_public_name_is_there_and_no_other() -> None:
    assert dir(pacifictool.runtime) == sorted(pacifictool.runtime.__all__)
    assert all(getattr(pacifictool.runtime, name) is not None for name in pacifictool.runtime.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        pacifictool.runtime.no_such_name  # noqa: B018 - the look-up is what is tested


def test_the_cache_is_where_the_user_wants_it() -> None:
    assert default_cache_dir({"PACIFICTOOL_CACHE": "/somewhere/else"}) == Path("/somewhere/else")
    assert default_cache_dir({"PACIFICTOOL_CACHE": "here"}) == Path.cwd() / "here"
    assert default_cache_dir({"PACIFICTOOL_CACHE": ""}).name == "pacifictool"
    assert default_cache_dir({}).is_absolute()
