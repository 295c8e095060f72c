"""The secret of a Spark cluster: where it comes from, where it must not go, and the message without one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pacifictool.analytics.launch import SECRET_VARIABLE, spark_settings
from tests.support.recorders import RecordingReporter


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Java and the jars are there: a test without processes and network neither asks for them nor downloads them."""
    java = SimpleNamespace(home=Path("java"), full_version="25", source="the test")
    monkeypatch.setattr("pacifictool.analytics.launch.find_java", lambda _environ: java)
    monkeypatch.setattr("pacifictool.analytics.launch.ensure_jars", lambda _group, **_options: ())


def settings_of(
    master: str | None, environ: Mapping[str, str] | None = None, conf: dict[str, str] | None = None
) -> tuple[Any, list[str]]:
    """Spark's settings for this master, and the warnings."""
    notes = RecordingReporter()
    settings: Any = SimpleNamespace(jars_mirror=None, jars_folder=None)
    cache = Path("cache")
    found = spark_settings(settings, environ or {}, cache_dir=cache, master=master, conf=conf, reporter=notes)
    return found, notes.warnings


def test_the_secret_comes_from_the_environment_and_goes_no_further() -> None:
    settings, warnings = settings_of("spark://head:7077", {SECRET_VARIABLE: "hush"})
    assert settings.secret == "hush"
    assert settings.authenticates
    assert "hush" not in repr(settings)
    assert SECRET_VARIABLE not in settings.environ
    assert warnings == []


def test_a_cluster_that_others_can_reach_is_warned_of_once_when_there_is_no_secret() -> None:
    settings, warnings = settings_of("spark://head:7077", {SECRET_VARIABLE: ""})
    assert not settings.authenticates
    assert len(warnings) == 1
    assert SECRET_VARIABLE in warnings[0]
    assert "docs/clusters.md" in warnings[0]


@pytest.mark.parametrize("master", [None, "local[2]", "spark://127.0.0.1:7077", "yarn"])
def test_others_need_none(master: str | None) -> None:
    assert settings_of(master)[1] == []


def test_whoever_sets_up_authentication_is_not_warned() -> None:
    assert settings_of("spark://head:7077", conf={"spark.authenticate": "true"})[1] == []
