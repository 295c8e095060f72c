"""What a power cut may leave of the state store's files, really torn: the store is as it was at the last commit."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.runtime.own_folder import MARKER
from tests.support import power_cut
from tests.support.scenarios import mean_rules, partial

RULES = mean_rules()


@pytest.mark.parametrize("seed", range(20))
def test_what_was_not_synced_does_not_matter(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    batches = random_.randint(0, 30)
    folder, left = tmp_path / "job", tmp_path / "left"
    with Checkpoint(folder, "t", RULES) as checkpoint:
        for number in range(batches):
            sums = [partial(f"Zone {zone}", 10_000, 2, zone) for zone in range(100)]
            checkpoint.store.apply(BatchOutcome((OffsetRange(0, 200 * number, 200 * number + 200),), sums, valid=200))
        (checkpoint.tmp / "half").write_bytes(bytes(1000))
        (folder / "spark.log").write_bytes(bytes(1000))
        # As it is while the job runs: the store was not closed, so its log is not empty.
        shutil.copytree(folder, left)
    power_cut.tear(left, random_)

    with Checkpoint(left, "t", RULES) as checkpoint:
        assert checkpoint.store.next_offsets() == ({0: 200 * batches} if batches else {})
        assert [window.count for window in checkpoint.store.due(None, 1000)] == [2 * batches] * (100 if batches else 0)
        ((sound,),) = checkpoint.store._query("PRAGMA integrity_check")
        assert sound == "ok"
        assert not [*checkpoint.tmp.iterdir()]
    assert (left / MARKER).read_bytes() == (folder / MARKER).read_bytes()


def test_the_tearing_spares_what_is_committed_and_nothing_else(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    log = tmp_path / "db-wal"
    assert power_cut.synced_length(log.read_bytes() if log.exists() else b"") == 0
    database.execute("CREATE TABLE numbers (number)")
    before = power_cut.synced_length(log.read_bytes())
    database.execute("INSERT INTO numbers VALUES (1)")
    content = log.read_bytes()
    assert 0 < before < power_cut.synced_length(content) == len(content)
    # A transaction whose last frame is damaged has not ended.
    damaged = content[:-1] + struct.pack("B", content[-1] ^ 1)
    assert power_cut.synced_length(damaged) == before
    database.close()
