from __future__ import annotations

import os
import time
from pathlib import Path

from pacifictool.analytics.state.lock import held_since_ms, is_held, take


def test_a_lock_says_since_when_it_is_held(tmp_path: Path) -> None:
    assert held_since_ms(tmp_path) is None
    os.close(take(tmp_path))
    os.utime(tmp_path / "lock", (1.0, 1.0))
    assert held_since_ms(tmp_path) is None  # left by an earlier job
    before_ms = time.time() * 1000 - 1000
    held = take(tmp_path)
    since_ms = held_since_ms(tmp_path)
    assert is_held(tmp_path)
    assert since_ms is not None
    assert before_ms < since_ms <= time.time() * 1000 + 1000
    os.close(held)
    assert held_since_ms(tmp_path) is None
