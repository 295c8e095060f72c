"""A store of format 3, made by the version that wrote it, goes on: what was counted, delivered and refused is as it was."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from pacifictool.analytics.defaults import last_used_sink
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.state.reader import JobView, target_of
from pacifictool.analytics.state.schema import ADDED, TABLES
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.analytics.windows import UNITS, PartialAggregate
from pacifictool.errors import AggregationError
from pacifictool.runtime.own_folder import CHECKPOINT, claim
from tests.support.scenarios import mean_state, rules_of, sum_of

DUMP = Path(__file__).parents[2] / "support" / "state_format_3.sql"
SITES = {"name": "sites", "group_by": ["site"], "telemetry": {"temperature": "mean(temperature)"}}
SCORES = {"name": "scores", "group_by": ["site"], "function": "scoring:score"}
HIGH = {"type": "High", "analytics": "sites", "when": "temperature > 10.0"}
RULES = rules_of(SITES, SCORES)
IDENTITY = {"topic": "readings", "target": "rest http://h", "topic_id": "Qx"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    claim(folder, CHECKPOINT)
    with contextlib.closing(sqlite3.connect(folder / "state.sqlite")) as store:
        store.executescript(DUMP.read_text(encoding="utf-8"))
    return folder


def test_it_goes_on(folder: Path) -> None:
    with Checkpoint(folder, "readings", RULES) as checkpoint:
        store = checkpoint.store
        checkpoint.check_identity(IDENTITY)
        assert store.next_offsets() == {0: 12, 1: 9}
        assert store.starting_offsets() == {0: 0, 1: 2}
        assert (store.watermark_ms, store.seen_at_ms, store.arrival_ms) == (19_500, 22_000, 22_000)
        assert store.closed_until_ms() == {"sites": 9_000, "scores": 9_000}
        assert [(batch.number, batch.records) for batch in store.batches()] == [(1, 14), (2, 2)]
        assert store.invalid_counts() == {"empty": 1, "not UTF-8": 1}
        assert store.refusal("sites", "Österreich", 10_000) == "no such asset"
        assert store.window_offsets("scores", 20_000) == [OffsetRange(1, 3, 9)]
        due = {(each.group, each.window_end_ms): (each.count, sum_of(each.state)) for each in store.due(None, 9)}
        assert due == {("North", 20_000): (7, 140 * UNITS)}
        # The earlier version took windows of a function for delivered, as it called none.
        assert [(each.window_end_ms, each.count) for each in store.to_evaluate("scores", None, 9)] == [
            (10_000, 4), (20_000, 5)
        ]  # fmt: skip
        more = PartialAggregate("sites", "North", 20_000, 1, mean_state(1, UNITS))
        store.apply(BatchOutcome([OffsetRange(0, 12, 13)], [more], 1))
        assert store.counters() == {
            "batches": 3, "invalid:empty": 1, "invalid:not UTF-8": 1, "posted": 1, "refused": 1, "valid": 15,
        }  # fmt: skip

    with Checkpoint(folder, "readings", RULES) as checkpoint:
        assert checkpoint.store.due_windows() == 3


def test_its_tables_are_those_of_a_new_one(folder: Path) -> None:
    Checkpoint(folder, "readings", RULES).close()

    def parts(store: sqlite3.Connection) -> set[tuple[str, str]]:
        rows = store.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL")
        # Columns that were added have no comment.
        return {(name, "" if name == "windows" else sql) for name, sql in rows}

    with (
        contextlib.closing(sqlite3.connect(folder / "state.sqlite")) as changed,
        contextlib.closing(sqlite3.connect(":memory:")) as new,
    ):
        new.executescript(TABLES + ADDED)
        assert parts(changed) == parts(new)
        columns = "SELECT name, type FROM pragma_table_info('windows')"
        assert changed.execute(columns).fetchall() == new.execute(columns).fetchall()


def test_alarms_are_derived_from_windows_that_are_still_there(folder: Path) -> None:
    with Checkpoint(folder, "readings", rules_of(SITES, SCORES, alarms=[HIGH])) as checkpoint:
        checkpoint.check_identity(IDENTITY)
        due = checkpoint.store.due(None, 9, to="alarms")
        assert [(each.analytics, each.group, each.window_end_ms) for each in due] == [
            ("sites", "North", 10_000), ("sites", "Österreich", 10_000), ("sites", "North", 20_000)
        ]  # fmt: skip
    with Checkpoint(folder, "readings", RULES) as checkpoint:
        checkpoint.check_identity(IDENTITY)
        assert checkpoint.store.due(None, 9, to="alarms") == []


def test_before_it_is_brought_over_only_its_target_is_read(folder: Path) -> None:
    assert target_of(folder) == "rest http://h"
    assert last_used_sink(folder) == "rest"
    with pytest.raises(AggregationError, match="format 3, not 4"):
        JobView(folder)


def test_a_scenario_of_another_job_changes_no_window(folder: Path) -> None:
    """A refused start is no reason to call functions, or not to deliver, with the right scenario later."""
    other = rules_of({**SITES, "telemetry": {}, "function": "scoring:score"}, SCORES)
    Checkpoint(folder, "readings", other).close()
    with Checkpoint(folder, "readings", RULES) as checkpoint:
        checkpoint.check_identity(IDENTITY)
        assert [(each.analytics, each.window_end_ms) for each in checkpoint.store.due(None, 9)] == [("sites", 20_000)]
