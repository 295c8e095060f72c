"""What the document of a fast demo must say."""

from __future__ import annotations

import time
from typing import Any


def assert_held(document: Any, *, since: float) -> None:
    """Every check held, and every window lies between `since` (seconds since the epoch) and now."""
    assert document["ok"] is True
    names = [check["name"] for check in document["checks"]]
    for name in (
        "zone-a-turbine-1",
        "zone-a-turbines-1-and-2",
        "zone-b-absent-before-its-turbine",
        "zone-b-created-by-the-job",
        "zone-b-turbine-3",
        "windows-equal-to-topic",
    ):
        assert name in names
    assert all(
        check["ok"] is True and {"name", "expected", "actual", "ok"} == set(check) for check in document["checks"]
    )
    zones = document["zones"]
    assert {name: zone["created_by"] for name, zone in zones.items()} == {"Zone A": "setup", "Zone B": "aggregate"}
    for zone in zones.values():
        assert len(zone["asset_id"]) == 36
        assert zone["windows"]
        for window in zone["windows"]:
            assert set(window) == {"ts", "windSpeed"}
            assert window["ts"] % 2000 == 0
            assert since * 1000 - 2000 < window["ts"] < time.time() * 1000 + 2000
    assert document["seconds"] > 0
