"""Runs many short programs, each in a fork of one Python: to start one for each takes ten times as long as most of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.command_line import Outcome, checkout_on_path, kept_variables

COMMAND_LINE: Final = "from pacifictool.cli import main; main()"
"""What `python -m pacifictool` does."""

_SERVE: Final = """
import importlib, json, os, sys, traceback
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, (name, flags) in enumerate(
            [("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT)]
        ):
            os.dup2(os.open(os.path.join(request["streams"], name), flags, 0o600), number)
        sys.stdin = open(0, encoding="utf-8", closefd=False)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environ"])
        sys.argv = ["pacifictool", *request["arguments"]]
        code = 0
        try:
            exec(request["code"], {"__name__": "__main__"})
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """Programs of a Python that has imported `modules`; what a program imports, changes or closes is gone with it.

    They have variables, folder and streams of their own, and share what Python does at its start: for a test of that,
    start a process.
    """

    def __init__(self, folder: Path, modules: tuple[str, ...]) -> None:
        """`folder`: for the programs' streams; nobody else's."""
        self._folder = folder
        self._runs = 0
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVE, json.dumps(modules)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept_variables(), **checkout_on_path()},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.kill()
        self._server.communicate()

    def run(
        self, *arguments: str, folder: Path, environ: Mapping[str, str], stdin: str = "", code: str = COMMAND_LINE
    ) -> Outcome:
        """Runs `code` to its end. Signals and time limits are the test's own."""
        self._runs += 1
        streams = self._folder / str(self._runs)
        streams.mkdir()
        (streams / "stdin").write_text(stdin, encoding="utf-8")
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "environ": dict(environ),
            "streams": str(streams),
            "code": code,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{json.dumps(request)}\n")
        self._server.stdin.flush()
        exit_code = int(self._server.stdout.readline())
        return Outcome(exit_code, *((streams / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")))
