"""Upgrade and rollback of a checkpoint, as docs/howto/service.md describes them."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.state.schema import ADDED, FILE_NAME, TABLES, VERSION
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.errors import AggregationError
from pacifictool.scenario import tutorial_scenario
from tests.support.command_line import CommandLine
from tests.support.documents import ROOT
from tests.support.job_folders import Windows, job_checkpoint, job_identity, write_job

TUTORIAL = tutorial_scenario()
WINDOWS: Windows = {("zones", ("Zone A",), 10_000): 3}


def content(folder: Path) -> list[str]:
    """Everything in the store, as SQL."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        return [f"PRAGMA user_version = {database.execute('PRAGMA user_version').fetchone()[0]}", *database.iterdump()]


def test_a_store_of_a_later_version_is_refused_in_one_sentence_and_not_changed(
    command_line: CommandLine, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    write_job(folder, TUTORIAL, windows=WINDOWS, end=5)
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        database.executescript(
            f"PRAGMA user_version = {VERSION + 1}; CREATE TABLE of_the_future (x); DROP TABLE replays"
        )
    before = content(folder)
    said = f"was written by another version of pacifictool (format {VERSION + 1}, not {VERSION})"
    with pytest.raises(AggregationError, match=re.escape(said)), job_checkpoint(folder, TUTORIAL):
        pass
    with pytest.raises(AggregationError, match=re.escape(said)):
        JobView(folder)
    for command in ("rejects", "rejects export x", "rejects replay", "rejects expire --older-than 1h --yes"):
        outcome = command_line(*command.split(), "--checkpoint", str(folder), "-o", "json")
        assert outcome.code == 1
        assert said in outcome.document["error"]["message"]
    assert content(folder) == before


def test_the_former_version_goes_on_with_a_store_that_has_tables_it_does_not_know(tmp_path: Path) -> None:
    """The former version knows TABLES only; what it does with them is what this one does, without ADDED."""
    folder = tmp_path / "job"
    write_job(folder, TUTORIAL, windows=WINDOWS, end=5)
    added = set(re.findall(r"TABLE IF NOT EXISTS (\w+)", ADDED))
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        columns = {
            table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    with contextlib.closing(sqlite3.connect(":memory:")) as former:
        former.executescript(TABLES)
        known = {table for (table,) in former.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in known:
            assert columns[table] == [row[1] for row in former.execute(f"PRAGMA table_info({table})")]
    assert columns.keys() - known == added


def test_a_copy_from_before_goes_on_from_where_it_was(tmp_path: Path) -> None:
    folder, copy = tmp_path / "job", tmp_path / "job.before"
    write_job(folder, TUTORIAL, windows=WINDOWS, end=5)
    shutil.copytree(folder, copy)
    more = BatchOutcome([OffsetRange(0, 5, 9)], [], 4)
    with job_checkpoint(folder, TUTORIAL) as checkpoint:
        checkpoint.store.apply(more)
    with job_checkpoint(copy, TUTORIAL) as checkpoint:
        checkpoint.check_identity(job_identity(TUTORIAL))
        assert checkpoint.store.next_offsets() == {0: 5}
        checkpoint.store.apply(more)  # what the topic holds since then is counted again
    assert content(copy) == content(folder)


def test_the_page_names_every_format() -> None:
    page = (ROOT / "docs" / "howto" / "service.md").read_text(encoding="utf-8")
    section = page[page.index("## Upgrade and rollback") :]
    assert f"| {VERSION} | 0.2 | goes on with it |" in section
    assert f"(format {VERSION + 1}, not {VERSION})" in section
