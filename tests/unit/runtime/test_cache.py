from __future__ import annotations

from pathlib import Path

from pacifictool.runtime.cache import default_cache_dir


def test_the_cache_is_where_the_user_wants_it() -> None:
    assert default_cache_dir({"PACIFICTOOL_CACHE": "/somewhere/else"}) == Path("/somewhere/else")
    assert default_cache_dir({"PACIFICTOOL_CACHE": "here"}) == Path.cwd() / "here"
    assert default_cache_dir({"PACIFICTOOL_CACHE": ""}).name == "pacifictool"
    assert default_cache_dir({}).is_absolute()
