"""The process that runs a user's function, without Spark: what it survives, what it says, and when it ends."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from pacifictool.analytics.engine import function_worker
from pacifictool.analytics.engine.function_files import FunctionFiles, check_functions
from pacifictool.analytics.engine.function_process import (
    FunctionEnded,
    FunctionProcess,
    FunctionUnusable,
    child_environment,
)
from pacifictool.analytics.engine.function_worker import ENDS_IN_A_ROW, FunctionSpec, WorkerTask
from pacifictool.errors import ScenarioError, UsageError
from pacifictool.scenario import Analytics
from pacifictool.scenario.function import FunctionReference
from tests.support.waiting import wait_until

Make = Callable[..., FunctionProcess]
READING = struct.pack(">ii qq id", 1, 0, 1, 1, 0, 2.0)
"""A chunk with one reading of one number."""


def frames(group: str = "A") -> list[bytes]:
    document = {"group": {"site": group}, "entity": group, "windows": [[10_000, [[0, 0, 9]], []]]}
    return [json.dumps(document).encode(), struct.pack(">ii qq d", 1, 0, 1, 1, 2.0)]


def config_of(folder: Path, text: str, **more: Any) -> dict[str, Any]:
    (folder / "mine.py").write_text("import os, sys, time\n" + text)
    return {
        "file": str(folder / "mine.py"), "folder": str(folder), "name": "f", "text": "mine:f", "memory": 100,
        "timeout": 20, "analytics": "own", "kind": "asset", "window_ms": 10_000, "forwarded": ["t"], "texts": [],
        "numbers": ["t"], **more,
    }  # fmt: skip


@pytest.fixture
def process_of(tmp_path: Path) -> Iterator[Make]:
    made: list[FunctionProcess] = []

    def make(text: str, **more: Any) -> FunctionProcess:
        made.append(FunctionProcess(config_of(tmp_path, text, **more)))
        return made[-1]

    yield make
    for process in made:
        process.close()


def call(process: FunctionProcess, group: str = "A") -> Mapping[str, Any]:
    return process.call(object(), frames(group), 0)


def ended(process: FunctionProcess, group: str = "A") -> FunctionEnded:
    with pytest.raises(FunctionEnded) as error:
        call(process, group)
    assert not process.is_running
    return error.value


def test_one_process_serves_all_calls_until_it_ends(process_of: Make) -> None:
    process = process_of(
        "CALLS = []\n"
        "def f(readings, window):\n"
        "    if window.group['site'] == 'bad': os._exit(5)\n"
        "    CALLS.append(1)\n"
        "    return {'calls': len(CALLS), 'pid': os.getpid()}\n"
    )
    first, second = call(process)["results"], call(process)["results"]
    assert first[0][2]["pid"] == second[0][2]["pid"] != os.getpid()
    assert second[0][2]["calls"] == 2
    assert ended(process, "bad").message == "ended its process with the exit code 5"
    assert call(process)["results"][0][2]["calls"] == 1


def test_a_call_that_takes_too_long_ends_and_says_where_it_was(process_of: Make, tmp_path: Path) -> None:
    # A loop in C that holds Python's lock, so that nothing in Python could end it.
    process = process_of(
        "def f(readings):\n    return g()\ndef g():\n    return sum(map(int, iter(int, 1)))\n", timeout=1
    )
    found = ended(process)
    assert found.message == "did not return within 1 s"
    file = tmp_path / "mine.py"
    assert found.traceback == (
        f'Most recent call last, when its time was over:\n  File "{file}", line 3 in f\n  File "{file}", line 5 in g'
    )


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")
@pytest.mark.parametrize("hoard", ["[bytes(1_000_000) + b'x' for _ in range(400)]", "bytearray(10**15)"])
def test_memory_is_limited(process_of: Make, hoard: str) -> None:
    process = process_of(f"def f(readings):\n    hoard = {hoard}\n    time.sleep(60)\n", memory=64)
    assert ended(process).message == "used more than its 64 MiB of memory"


def test_memory_of_pandas_and_numpy_does_not_count(process_of: Make) -> None:
    process = process_of(
        "import numpy, pyarrow, sklearn.linear_model\n"
        "def f(readings):\n"
        "    model = sklearn.linear_model.LinearRegression().fit(readings[['t']], readings['t'])\n"
        "    return {'mean': numpy.ones(1_000_000).mean()}\n"
    )
    assert call(process)["results"] == [["A", "asset", {"mean": 1.0}]]


def test_what_is_printed_is_kept_in_part_and_harms_nothing(process_of: Make) -> None:
    process = process_of(
        "def f(readings, window):\n"
        "    os.write(1, b'\\0' * 1_000_000); os.write(2, b'\\xff'); print('last words')\n"
        "    if window.group['site'] == 'bad': os._exit(0)\n"
        "    sys.stdout.close()\n"
    )
    for _ in range(2):
        found = ended(process, "bad")
        assert str(found.output).endswith("last words") or found.output is not None
        assert len(str(found.output)) <= 4096
    assert call(process)["results"] == []
    assert call(process)["failure"].startswith("mine:f raised ValueError: I/O operation on closed file")


def test_processes_that_a_function_starts_end_with_it(process_of: Make, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    process = process_of(
        f"import subprocess\nfrom pathlib import Path\n"
        f"def f(readings):\n"
        f"    if not os.fork():\n"
        f"        Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(600)\n"
        f"    while not Path({str(pid_file)!r}).exists(): time.sleep(0.01)\n"
        f"    os._exit(4)\n"
    )
    # It holds the pipes open, which must not keep anybody waiting.
    assert ended(process).message == "ended its process with the exit code 4"
    wait_until(lambda: _is_gone(int(pid_file.read_text())), "the end of the process")


def test_the_process_ends_with_the_one_that_started_it_in_the_middle_of_a_call(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    config = config_of(
        tmp_path,
        f"from pathlib import Path\n"
        f"def f(readings):\n"
        f"    Path({str(pid_file)!r}).write_text(f'{{os.getpid()}} ')\n"
        f"    while True: pass\n",
        timeout=3600,
    )  # fmt: skip
    script = (
        "import sys, json; from pacifictool.analytics.engine.function_process import FunctionProcess\n"
        "from tests.integration.analytics.test_function_process import frames\n"
        "FunctionProcess(json.loads(sys.argv[1])).call(object(), frames(), 0)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script, json.dumps(config)])
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith(" "), "the call")
        child = int(pid_file.read_text())
        assert not _is_gone(child)
    finally:
        worker.kill()
        worker.wait()
    wait_until(lambda: _is_gone(child), "the end of the process")


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_function_has_no_secrets_in_its_environment(process_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hush-hush"
    for name in ("PACIFICTOOL_PASSWORD", "PYSPARK_GATEWAY_SECRET", "SPARK_AUTH", "PYTHON_WORKER_FACTORY_SECRET"):
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("AWS_PROFILE", "mine")
    process = process_of(
        "def f(readings): return {'secrets': sum('hush' in each for each in os.environ.values()),\n"
        "    'own': os.environ['AWS_PROFILE'] == 'mine', 'threads': int(os.environ['OMP_NUM_THREADS'])}\n"
    )
    assert call(process)["results"][0][2] == {"secrets": 0.0, "own": 1.0, "threads": 1.0}


def test_a_function_that_ends_its_process_while_it_is_loaded_is_unusable(process_of: Make) -> None:
    process = process_of("os._exit(9)\n")
    with pytest.raises(FunctionUnusable, match="mine:f cannot be loaded: it ended its process with the exit code 9"):
        process.load()


# --- a worker's task ----------------------------------------------------------------------------------------------


def test_a_task_gives_up_a_function_that_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_worker, "LOST_SECONDS", 0.0)
    monkeypatch.setattr(function_worker, "_archives", lambda: tmp_path.parent)
    monkeypatch.setattr(function_worker, "_hosts", {})
    config = config_of(
        tmp_path, "def f(readings, window):\n    if window.group['site'] != 'fine': os._exit(1)\n    return {'x': 1}\n"
    )
    task = WorkerTask(FunctionSpec("mine:f", tmp_path.name, "mine.py", config))

    def outcomes(*groups: str) -> list[str | None]:
        sent = []
        for number, group in enumerate(groups):
            calls, readings = frames(group)
            sent += [struct.pack(">iB", number, 0) + calls, struct.pack(">iB", number, 1) + readings]
        found = [json.loads(each) for each in task(0, iter(sent))]
        return [each.get("failure") for each in found if "series" in each]

    tried = "mine:f ended its process with the exit code 1."
    passed_over = f"mine:f was not called: all of the last {ENDS_IN_A_ROW} calls ended its process."
    assert outcomes("1", "fine", "2", "3", "4", "5", "fine") == [tried, None, tried, tried, tried, *[passed_over] * 2]
    # The next task tries again, but not as often.
    assert outcomes("1", "fine") == [tried, passed_over]
    assert outcomes("fine", "2", "3", "fine") == [None, tried, tried, None]
    for host in function_worker._hosts.values():
        host.process.close()


# --- the check of a job that starts -------------------------------------------------------------------------------


def analytics(file: Path, **more: Any) -> Analytics:
    return Analytics(
        name="own", window=10, entity="All", function=FunctionReference(f"{file.stem}:f", file, "f"), **more
    )


def test_functions_are_checked_with_the_files_that_the_scenario_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from helpers import more\nfrom pathlib import Path\nMODEL = (Path(__file__).parent / 'm').read_text()\n"
        "def f(readings): ...\n"
    )
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("from helpers import more\n")
    (tmp_path / "helpers" / "more.py").write_text("")
    (tmp_path / "m").write_text("")
    check_functions([analytics(file, files=("helpers", "m"))])

    for files, hint in (((), "helpers"), (("helpers",), "m")):
        with pytest.raises(ScenarioError, match=r"mine:f cannot be loaded: .*/mine\.py raised") as error:
            check_functions([analytics(file, files=files)])
        assert error.value.hint == f"Add it to analytics 'own': files = {[*files, hint]}."
        assert str(file) in error.value.details["traceback"]
        assert "functions-" not in str(error.value.details)
    with pytest.raises(ScenarioError, match="The file 'n' of analytics 'own' does not exist in"):
        check_functions([analytics(file, files=("n",))])
    with pytest.raises(ScenarioError, match="does not exist in"):
        check_functions([analytics(file, files=(str(tmp_path / "m"),))])


def test_files_above_the_function_are_sent_along(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "m").write_text("x")
    file = tmp_path / "lib" / "mine.py"
    file.write_text(
        "from pathlib import Path\nMODEL = (Path(__file__).parent / '../m').read_text()\ndef f(readings): ...\n"
    )
    own = analytics(file, files=("../m",))
    check_functions([own])
    assert FunctionFiles([own]).path(own) == "own/lib/mine.py"


def test_without_pandas_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f(readings): ...\n")
    check_functions([])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs pandas, which is not installed") as error:
        check_functions([analytics(file)])
    assert error.value.hint == "Install it: pip install 'pacifictool[analytics]'."


def test_modules_that_the_worker_finds_by_a_relative_path_are_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["./package.zip", "/usr/lib/python"])
    assert child_environment()["PYTHONPATH"].split(os.pathsep) == [str(tmp_path / "package.zip"), "/usr/lib/python"]
