from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pacifictool.errors import RuntimeMissing
from pacifictool.runtime.processes import ManagedProcess, stop_all
from tests.support.waiting import SOON_SECONDS, wait_until

TELLING = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print(time.monotonic(), flush=True))
print('up', flush=True)
while True:
    time.sleep(99)
"""
"""Says when it is asked to end, and does not."""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"


def test_output_goes_to_the_log_and_its_end_can_be_read(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    with ManagedProcess(["sh", "-c", "echo one; echo two >&2; echo three; exit 3"], log_path=log) as process:
        assert process.wait(60) == 3
        assert process.tail(2) == ["two", "three"]
    with ManagedProcess(["echo", "four"], log_path=log) as process:
        assert process.wait(60) == 0
    assert log.read_text() == "one\ntwo\nthree\nfour\n"


def test_the_command_gets_its_folder_environment_arguments_and_no_input(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), os.environ['GREETING'], sys.argv[1:], repr(sys.stdin.read()))"
    with ManagedProcess(
        [sys.executable, "-c", code, "a b", "", "*"],
        log_path=tmp_path / "log",
        cwd=tmp_path,
        environ={**os.environ, "GREETING": "hé"},
    ) as process:
        assert process.wait(60) == 0
    assert process.tail() == [f"{tmp_path} hé ['a b', '', '*'] ''"]


def test_a_command_that_does_not_exist_ends_with_127_and_says_so(tmp_path: Path) -> None:
    with ManagedProcess(["no-such-program"], log_path=tmp_path / "log") as process:
        assert process.wait(60) == 127
    assert process.tail() == ["no-such-program cannot be started: No such file or directory"]


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeMissing, match="cannot be written"):
        ManagedProcess(["true"], log_path=tmp_path / "file" / "log")


def test_stop_asks_first_and_tells_how_it_ended(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(5)))\n"
        "print('up', flush=True); time.sleep(99)"
    )
    process = ManagedProcess([sys.executable, "-c", code], log_path=tmp_path / "log")
    wait_until(process.tail, "the start")
    assert process.is_running()
    process.stop(10)
    assert process.returncode == 5
    assert process.tail() == ["up", "bye"]
    process.stop(10)
    assert process.returncode == 5


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    process = ManagedProcess([sys.executable, "-c", STUBBORN], log_path=tmp_path / "log")
    wait_until(process.tail, "the start")
    began = time.monotonic()
    process.stop(0.3)
    assert 0.3 <= time.monotonic() - began < SOON_SECONDS
    assert process.returncode == 128 + signal.SIGKILL


def test_what_the_command_leaves_behind_is_killed_too(
    tmp_path: Path, processes_naming: Callable[[Path], list[str]]
) -> None:
    marker = tmp_path / "marker"
    # The marker is an argument of the grandchild, which outlives its parent.
    with ManagedProcess(["sh", "-c", f"sh -c 'sleep 98' {marker} & exit 0"], log_path=tmp_path / "log") as process:
        assert process.wait(60) == 0
    wait_until(lambda: not processes_naming(marker), "the end of the grandchild")


def test_a_stopped_command_is_not_taken_for_an_ended_one(tmp_path: Path) -> None:
    code = "echo $$; while true; do sleep 0.02; done"
    with ManagedProcess(["sh", "-c", code], log_path=tmp_path / "log") as process:
        wait_until(process.tail, "the start")
        pid = int(process.tail()[0])
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.2)
        assert process.is_running()
        os.kill(pid, signal.SIGCONT)


def test_the_command_survives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[ManagedProcess] = []
    thread = threading.Thread(target=lambda: started.append(ManagedProcess(["sleep", "97"], log_path=tmp_path / "log")))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert started[0].is_running()
    started[0].stop()


def test_nothing_outlives_a_parent_that_is_killed(
    tmp_path: Path,
    run_python: Callable[..., subprocess.Popen[str]],
    processes_naming: Callable[[Path], list[str]],
) -> None:
    marker = tmp_path / "marker"
    parent = run_python(
        "import sys, time; from pathlib import Path; from pacifictool.runtime.processes import ManagedProcess\n"
        f"ManagedProcess([sys.executable, '-c', {STUBBORN!r}, sys.argv[1]], log_path=Path(sys.argv[1] + '.log'))\n"
        "time.sleep(99)",
        marker,
    )
    log = tmp_path / "marker.log"
    wait_until(lambda: log.exists() and log.read_text() == "up\n", "the start")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not processes_naming(marker), "the end of parent, supervisor and command", 15)


def test_nothing_outlives_a_supervisor_that_is_killed(
    tmp_path: Path, processes_naming: Callable[[Path], list[str]]
) -> None:
    if sys.platform != "linux":  # Only Linux supports this.
        return
    marker = tmp_path / "marker"
    process = ManagedProcess([sys.executable, "-c", STUBBORN, marker], log_path=tmp_path / "log")
    wait_until(process.tail, "the start")
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not processes_naming(marker), "the end of the command")
    process.stop()
    assert process.returncode == 128 + signal.SIGKILL


def test_a_program_that_ends_or_is_interrupted_takes_its_processes_along(
    tmp_path: Path,
    run_python: Callable[..., subprocess.Popen[str]],
    processes_naming: Callable[[Path], list[str]],
) -> None:
    marker = tmp_path / "marker"
    parent = run_python(
        "import signal, sys, time; from pathlib import Path\n"
        "from pacifictool.runtime.processes import ManagedProcess, stop_all\n"
        "signal.signal(signal.SIGTERM, lambda *_: (stop_all(), sys.exit(7)))\n"
        f"children = [ManagedProcess([sys.executable, '-c', {STUBBORN!r}, sys.argv[1]],"
        " log_path=Path(sys.argv[1] + f'.{n}')) for n in range(5)]\n"
        "while not all(child.tail() for child in children): time.sleep(0.01)\n"
        "print('up', flush=True)\n"
        "children[0].wait()",
        marker,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    began = time.monotonic()
    parent.terminate()
    assert parent.wait(60) == 7
    assert time.monotonic() - began < SOON_SECONDS
    assert processes_naming(marker) == []


def test_stop_all_stops_everything_within_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not the sandbox and broker that other tests of this worker share.
    monkeypatch.setattr("pacifictool.runtime.processes._running", set())
    processes = [
        ManagedProcess([sys.executable, "-c", TELLING], log_path=tmp_path / f"log-{number}") for number in range(4)
    ]
    wait_until(lambda: all(process.tail() for process in processes), "the start")
    stop_all(3.0)
    asked = [float(process.tail()[1]) for process in processes]
    assert max(asked) - min(asked) < 3, "one after the other"
    assert [process.returncode for process in processes] == [128 + signal.SIGKILL] * 4


def test_a_forked_copy_leaves_the_processes_to_the_original(tmp_path: Path) -> None:
    with ManagedProcess(["sleep", "96"], log_path=tmp_path / "log") as process:
        copy = multiprocessing.get_context("fork").Process(target=stop_all)
        copy.start()
        copy.join(60)
        assert copy.exitcode == 0
        assert process.is_running()
