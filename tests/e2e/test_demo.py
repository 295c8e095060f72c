from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest


@pytest.mark.spark
@pytest.mark.parametrize("generation", ["1", "4"])
def test_the_fast_demo_holds_every_check_and_leaves_nothing_behind(tmp_path: Path, generation: str) -> None:
    before = {process.pid for process in psutil.process_iter()}
    began = time.time()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pacifictool",
            *["demo", "--fast", "--report", "demo.html", "-o", "json", "--generation"],
            generation,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PACIFICTOOL_STATE": str(tmp_path / "state")},
    )
    stdout, stderr = process.communicate(timeout=170)
    assert process.returncode == 0, stderr
    document = json.loads(stdout)
    assert document["ok"] is True
    assert document["report"] == str(tmp_path / "demo.html")
    drawn = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert all(text in drawn for text in ("Zone A", "Zone B", "plotly"))
    assert re.search(r"http://127\.0\.0\.1:\d+/ shows the data move", stderr)
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
            assert began * 1000 - 2000 < window["ts"] < time.time() * 1000 + 2000
    assert document["seconds"] > 0

    assert "Traceback" not in stderr
    assert list(tmp_path.glob("pacifictool-*")) == []
    left = [
        other
        for other in psutil.process_iter(["pid", "ppid", "cmdline"])
        if other.pid not in before and str(tmp_path) in " ".join(other.info["cmdline"] or [])
    ]
    assert left == []
