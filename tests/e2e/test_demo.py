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

from tests.support.demo_result import assert_held


@pytest.mark.spark
# `make package` plays a demo of the first generation, too.
@pytest.mark.parametrize("generation", [pytest.param("1", marks=pytest.mark.long), "4"])
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
    stdout, stderr = process.communicate(timeout=500)
    assert process.returncode == 0, stderr
    document = json.loads(stdout)
    assert_held(document, since=began)
    assert document["report"] == str(tmp_path / "demo.html")
    drawn = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert all(text in drawn for text in ("Zone A", "Zone B", "plotly"))
    assert re.search(r"http://127\.0\.0\.1:\d+/ shows the data live until the demo ends", stderr)

    assert "Traceback" not in stderr
    assert list(tmp_path.glob("pacifictool-*")) == []
    left = [
        other
        for other in psutil.process_iter(["pid", "ppid", "cmdline"])
        if other.pid not in before and str(tmp_path) in " ".join(other.info["cmdline"] or [])
    ]
    assert left == []
