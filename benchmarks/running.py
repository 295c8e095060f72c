"""Shared by the end-to-end benchmarks: a sandbox, the command line as a user runs it, and its costs."""

from __future__ import annotations

import json
import os
import platform as host
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.runtime.cache import default_cache_dir


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "system": host.platform(),
        "processors": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": host.python_version(),
    }


@dataclass(frozen=True)
class Place:
    """A running sandbox with a folder for scenarios and state."""

    stack: LocalStack
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PACIFICTOOL_")},
            "PACIFICTOOL_CACHE": str(default_cache_dir(os.environ)),
            "PACIFICTOOL_URL": self.stack.platform.url,
            "PACIFICTOOL_MQTT": f"127.0.0.1:{self.stack.platform.mqtt_port}",
            "PACIFICTOOL_KAFKA": self.stack.broker.bootstrap,
            "PACIFICTOOL_STATE": str(self.folder / "state"),
            "PACIFICTOOL_OUTPUT": "json",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts `pacifictool`; its progress goes to our stderr, its result is for `result_of`."""
        command = [sys.executable, "-m", "pacifictool", *arguments]
        return subprocess.Popen(command, env=self.environ, cwd=self.folder, stdout=subprocess.PIPE, text=True)

    def call(self, *arguments: str) -> dict[str, Any]:
        """Runs `pacifictool` to its end; exits with its words when it fails."""
        return result_of(self.start(*arguments))

    def servers(self) -> dict[str, psutil.Process]:
        """The two server processes."""
        found = {}
        for child in psutil.Process().children(recursive=True):
            words = child.cmdline()
            if child.name().startswith("java") and "kafka.Kafka" in words:
                found["kafka"] = child
            elif "pacifictool.sandbox" in words and "_supervisor.py" not in " ".join(words):
                found["sandbox"] = child
        return found


def result_of(program: subprocess.Popen[str], *, may_fail: bool = False) -> dict[str, Any]:
    """Waits for a command; the JSON document that it printed."""
    stdout, _ = program.communicate()
    document: dict[str, Any] = json.loads(stdout)
    if program.returncode and not may_fail:
        raise SystemExit(json.dumps(document.get("error", document), indent=2)[:4000])
    return document


@contextmanager
def sandbox(folder: Path, generation: int = 1, options: Sequence[str] = ()) -> Iterator[Place]:
    """A sandbox of the generation, stopped at the end; `options` are further ones of its platform (docs/sandbox.md)."""
    stack = LocalStack(
        folder / "stack",
        cache_dir=default_cache_dir(os.environ),
        environ=os.environ,
        generation=generation,
        shared=True,
    )
    if options:
        stack.platform = SandboxProcess(
            folder / "stack" / "platform", options=("--generation", str(generation), *options)
        )
    try:
        stack.start()
        yield Place(stack, folder)
    finally:
        stack.stop(graceful=False)


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def memory_mb(process: psutil.Process) -> float:
    """Resident memory."""
    return round(process.memory_info().rss / 2**20, 1)


def emit(document: dict[str, Any], path: Path | None) -> None:
    """Writes the result to a file, or prints it."""
    text = json.dumps(document, indent=2)
    if path is None:
        print(text)
    else:
        path.write_text(f"{text}\n", encoding="utf-8")
