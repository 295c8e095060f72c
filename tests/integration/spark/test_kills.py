"""kill -9 of a whole streaming program at random points: driver, JVM and workers."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pacifictool.rest import Device, Platform
from pacifictool.spark.login import PlatformLogin
from pacifictool.tools.times import utc_time
from tests.integration.spark import killed_stream

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.timeout(1500)]

NOW_MS = 1_795_477_550_000
KILLS, FILES, ROWS = 6, 12, 400


def test_a_streaming_program_that_is_killed_loses_and_doubles_nothing(
    login: PlatformLogin, platform: Platform, unique: str, tmp_path: Path
) -> None:
    devices = [platform.devices.create(f"{unique} {number}", "T") for number in range(5)]
    wanted = {(devices[n % 5].name, NOW_MS + n): n / 8 for n in range(FILES * ROWS)}
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        lines = [
            json.dumps({"name": name, "ts": utc_time(ms).isoformat(timespec="milliseconds"), "temperature": value})
            for (name, ms), value in list(wanted.items())[number * ROWS : (number + 1) * ROWS]
        ]
        (tmp_path / "in" / f"{number:03d}.json").write_text("\n".join(lines), encoding="utf-8")

    random_ = random.Random(4)
    killed = 0
    for _ in range(KILLS):
        until, process = random_.randrange(len(wanted)), start(login, tmp_path)
        while process.poll() is None and len(written(platform, devices)) < until:
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    last = start(login, tmp_path)
    assert last.wait(300) == 0
    assert killed
    assert written(platform, devices) == wanted


def start(login: PlatformLogin, folder: Path) -> subprocess.Popen[bytes]:
    """In a process group of its own, which has its JVM and workers, too."""
    environ = {**os.environ, "PACIFICTOOL_URL": login.url, "PYTHONPATH": str(Path(__file__).parents[3])}
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("ab"))
        return subprocess.Popen(
            [sys.executable, killed_stream.__file__, str(folder)],
            env=environ, cwd=folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def written(platform: Platform, devices: list[Device]) -> dict[tuple[str, int], Any]:
    return {
        (device.name, point.ts_ms): point.value
        for device in devices
        for point in platform.telemetry.range(device, "temperature", 0, 2 * NOW_MS)
    }
