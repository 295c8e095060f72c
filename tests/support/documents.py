"""Runs pages of the documentation: their blocks, and a reader who types them.

A comment before a block, which the page does not show, says what to do with it:

    <!-- run -->             type it, wait, and expect exit code 0 (or one of those named: <!-- run exit 0 1 -->)
    <!-- run background -->  type it in another terminal; <!-- stop --> ends it with Ctrl-C
    <!-- output -->          what the previous block printed; numbers, times and ids may differ, … is anything

Without a block: <!-- stop --> is Ctrl-C in every other terminal; <!-- wait: ZONE LOW HIGH --> waits until the zone's
newest mean lies within these bounds, as the text claims.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from pacifictool.cli.app import app
from pacifictool.cli.context import CliSession
from pacifictool.cli.environment import Environment

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SHELLS = ("bash", "sh", "console")

_DIRECTIVE = re.compile(r"<!-- (run\b.*?|output|stop|wait: .*?) -->")
_FENCE = re.compile(r"```(\w*)")
_CLOSED_SECONDS = 15


@dataclass(frozen=True)
class Block:
    """A fenced block, or a directive that stands alone (then without text)."""

    page: Path
    line: int
    language: str
    text: str
    directive: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """All blocks and directives of a page, in its order."""
    directive: str | None = None
    opened: tuple[int, str] | None = None
    body: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if opened is not None:
            if line.strip() == "```":
                yield Block(page, opened[0], opened[1], "\n".join(body), directive)
                opened, directive = None, None
            else:
                body.append(line)
        elif (fence := _FENCE.fullmatch(line.strip())) is not None:
            opened, body = (number, fence[1]), []
        elif (found := _DIRECTIVE.fullmatch(line.strip())) is not None:
            if found[1].startswith(("stop", "wait")):
                yield Block(page, number, "", "", found[1])
            else:
                directive = found[1]
        elif line.strip():
            assert directive is None, f"{page}:{number}: <!-- {directive} --> must stand before a block"


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every `pacifictool` command in a shell block."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        typed = re.sub(r"^\S*\$\s+", "", line.strip())
        if typed.startswith("#") or "pacifictool" not in typed:
            continue
        words = shlex.split(typed, comments=True)
        while words and "=" in words[0] and not words[0].startswith("-"):
            words.pop(0)  # variables for this command only
        words = words[1:] if words[:1] == ["$"] else words
        if words and Path(words[0]).name == "pacifictool":
            end = next(
                (i for i, word in enumerate(words) if word in (">", "2>", "|", "&", "||", "&&", ";")), len(words)
            )
            yield [word.rstrip(";") for word in words[1:end]]


def parse(words: list[str]) -> None:
    """Parses a command line as the program does. Raises Typer's UsageError for what the program refuses."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("pacifictool", list(words), obj=CliSession(Environment(stdin=io.StringIO())))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def shape(line: str) -> str:
    """What must be the same whenever the command is run."""
    line = re.sub(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "ID", line)
    line = re.sub(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}Z", "TIME", line)
    line = re.sub(r"\d+(?:[.,]\d+)*", "N", line)
    return " ".join(line.split())


def assert_same_form(documented: str, actual: str) -> None:
    """Compares line by line. A documented `…` alone stands for any lines, within a line for any letters."""
    lines = [shape(line) for line in actual.splitlines()]
    lines = [line for line in lines if line.strip(" ─━")]
    position, anything = 0, False
    for raw in documented.splitlines():
        wanted = shape(raw)
        if not wanted:
            continue
        if wanted == "…":
            anything = True
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("…")))
        candidates = lines[position:] if anything else lines[position : position + 1]
        found = next((index for index, line in enumerate(candidates) if pattern.fullmatch(line)), None)
        assert found is not None, f"documented: {raw!r}; printed:\n{actual}"
        position, anything = position + found + 1, False


@dataclass
class Reader:
    """Types what the pages say, in one folder."""

    folder: Path
    environ: dict[str, str]
    replace: dict[str, str] = field(default_factory=dict)
    """Replacements for texts of the page, such as ports that are taken."""
    printed: str = ""
    _terminals: list[tuple[Block, subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def read(self, page: Path) -> int:
        """Follows the page. Returns how many blocks were run."""
        ran = 0
        try:
            for block in blocks_of(page):
                directive = block.directive or ""
                if directive.startswith("run"):
                    ran += 1
                if directive == "run background":
                    self._open(block)
                elif directive.startswith("run"):
                    codes = [int(code) for code in directive.removeprefix("run").removeprefix(" exit").split()]
                    self._type(block, codes or [0])
                elif directive == "output":
                    assert_same_form(block.text, self.printed)
                elif directive == "stop":
                    self._stop()
                elif directive.startswith("wait: "):
                    zone, low, high = directive.removeprefix("wait: ").rsplit(" ", 2)
                    self._wait(zone, float(low), float(high))
            self._stop()
        finally:
            for _, process, _ in self._terminals:
                process.kill()
                process.wait()
        return ran

    def run(self, text: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        for old, new in self.replace.items():
            text = text.replace(old, new)
        return subprocess.run(
            ["sh", "-euc", text],
            env=self._environ(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=timeout,
        )

    def _environ(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "COLUMNS": "120", **self.environ}

    def _type(self, block: Block, codes: list[int]) -> None:
        done = self.run(block.text)
        assert done.returncode in codes, f"{block}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, block
        self.printed = done.stdout
        for line in done.stdout.splitlines():
            if line.startswith("export "):  # variables that `sandbox up` prints for the other commands
                self.environ |= dict(word.split("=", 1) for word in shlex.split(line)[1:])

    def _open(self, block: Block) -> None:
        log = self.folder / f"terminal-{len(self._terminals)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                ["sh", "-euc", f"exec {block.text}"],
                env=self._environ(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        self._terminals.append((block, process, log))

    def _stop(self) -> None:
        # In reverse order, as a person would: turbines before the job.
        while self._terminals:
            block, process, log = self._terminals.pop()
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            code = process.wait(_CLOSED_SECONDS)
            assert code == 130, f"{block}: exit code {code}\n{log.read_text(encoding='utf-8')}"

    def _wait(self, zone: str, low: float, high: float, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        seen: object = None
        while time.monotonic() < deadline:
            for block, process, log in self._terminals:
                assert process.poll() is None, f"{block} ended\n{log.read_text(encoding='utf-8')}"
            done = self.run(f"pacifictool watch --once -o json --entity {shlex.quote(zone)}")
            if done.returncode == 0:
                seen = newest_mean(json.loads(done.stdout), zone)
                if isinstance(seen, int | float) and low <= seen <= high:
                    return
            time.sleep(1.5)  # each look is a process of its own
        raise AssertionError(f"the mean of {zone} is {seen}, not within {low} and {high}")


def newest_mean(snapshot: dict[str, object], zone: str) -> object:
    """Of a snapshot of `watch`."""
    analytics = snapshot["analytics"]
    assert isinstance(analytics, list)
    groups = [group for each in analytics for group in each["groups"] if group["name"] == zone]
    return next((value for group in groups for value in group["values"].values()), None)
