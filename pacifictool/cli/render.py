"""How results, progress and errors look: the result goes to stdout, everything else to stderr."""

from __future__ import annotations

import io
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

from pacifictool.display import block, json_document, one_line
from pacifictool.errors import OutputFailed, PacificToolError, file_fault, help_on
from pacifictool.progress import ProgressTask, Reporter

if TYPE_CHECKING:
    from pacifictool.console import Console

PLAIN_INTERVAL_SECONDS = 5.0
"""Without a terminal, how often a long task reports its progress."""


class Messages(Reporter):
    """Messages on stderr, one per line. The reporter without a terminal or with --quiet, and the base of the other."""

    def __init__(self, stream: TextIO, *, colour: bool, verbose: bool, quiet: bool) -> None:
        from pacifictool.console import Console

        self.console = Console(stream, colour=colour, soft_wrap=True)
        self._verbose = verbose
        self._quiet = quiet

    def info(self, message: str) -> None:
        if not self._quiet:
            self._print(message)

    def detail(self, message: str) -> None:
        if self._verbose:
            self._print(message, style="dim")

    def warning(self, message: str) -> None:
        self._print(f"Warning: {message}", style="yellow")

    def error(self, error: PacificToolError, trace: str | None = None) -> None:
        """One sentence, followed by what to do and the place in the documentation; before it the traceback `trace`."""
        if trace is not None:
            self.console.file.write(block(trace))
        self._print(f"Error: {error.message}", style="bold red")
        if error.hint:
            self._print(f"  {error.hint}")
        for note in getattr(error, "__notes__", ()):
            self._print(f"  {note}")
        self._print(f"  More: {help_on(error.kind)}", style="dim")

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[ProgressTask]:
        with _plain_task(self.info, description, total, unit) as task:
            yield task

    def _print(self, message: str, style: str | None = None) -> None:
        self.console.print(message, style=style)


class TaskState:
    """What is known about a task; the base of everything that shows one."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = 0.0
        self._note = ""

    def advance(self, amount: float = 1) -> None:
        self._done += amount

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        self._done = self._done if completed is None else completed
        self._total = self._total if total is None else total
        self._note = self._note if note is None else note


class OccasionalTask(TaskState, ABC):
    """A task of which a line is written now and then. Usable from many threads."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        super().__init__(description, total, unit)
        self._lock = threading.Lock()
        self._started = self._reported_at = monotonic()

    @abstractmethod
    def report(self) -> None:
        """Writes how far it is."""

    @property
    def is_long(self) -> bool:
        """Whether its end is worth a line."""
        return monotonic() - self._started > PLAIN_INTERVAL_SECONDS

    def advance(self, amount: float = 1) -> None:
        with self._lock:
            super().advance(amount)
        self._report_now_and_then()

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        with self._lock:
            super().update(completed=completed, total=total, note=note)
        self._report_now_and_then()

    def _report_now_and_then(self) -> None:
        with self._lock:
            if monotonic() - self._reported_at < PLAIN_INTERVAL_SECONDS:
                return
            self._reported_at = monotonic()
        self.report()


class _PlainTask(OccasionalTask):
    def __init__(self, write: Callable[[str], None], description: str, total: float | None, unit: str) -> None:
        super().__init__(description, total, unit)
        self._write = write

    def report(self) -> None:
        with self._lock:
            line = self.line()
        self._write(line)

    def line(self) -> str:
        """The task's progress."""
        if self._total is None and not self._unit and not self._done:  # nothing is known but the time
            amount, unit = f"{monotonic() - self._started:.0f}", "s"
        else:
            amount = f"{self._done:.0f}" if self._total is None else f"{self._done:.0f} of {self._total:.0f}"
            unit = self._unit
        return " ".join(part for part in (f"{self._description}:", amount, unit, self._note) if part)


@contextmanager
def _plain_task(
    write: Callable[[str], None], description: str, total: float | None, unit: str
) -> Iterator[ProgressTask]:
    write(f"{description} …")
    task = _PlainTask(write, description, total, unit)
    yield task
    if task.is_long:
        task.report()


class TerminalReporter(Messages):
    """Progress bars on a terminal; all concurrent tasks share one live display."""

    def __init__(self, stream: TextIO, *, colour: bool, verbose: bool) -> None:
        super().__init__(stream, colour=colour, verbose=verbose, quiet=False)
        self._lock = threading.Lock()
        self._running = 0
        self._progress: Any = None

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[ProgressTask]:
        with self._lock:
            if self._running == 0:
                self._progress = self._new_progress()
                self._progress.start()
            self._running += 1
            progress = self._progress
        identifier = progress.add_task(one_line(description), total=total, unit=one_line(unit), note="")
        try:
            yield _BarTask(progress, identifier)
            progress.update(identifier, visible=False)
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    progress.stop()

    def _new_progress(self) -> Any:
        from rich import progress

        return progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=30),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[unit]}", markup=False),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[note]}", markup=False, style="dim"),
            console=self.console,
            transient=True,
        )


class _BarTask:
    def __init__(self, progress: Any, identifier: Any) -> None:
        self._progress, self._identifier = progress, identifier

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(self._identifier, amount)

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        fields = {} if note is None else {"note": one_line(note)}  # the column converts it to text without escaping
        self._progress.update(self._identifier, completed=completed, total=total, **fields)


class _Canvas(io.StringIO):
    """A buffer for Rich with the properties of the real stream; `Output` does the writing.

    Rich itself would end the process when a pipe breaks.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only in StringIO, too
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        return self._stream.isatty()


class Output:
    """The result on stdout: a table for people or exactly one JSON document for scripts."""

    def __init__(self, stream: TextIO, *, as_json: bool, colour: bool) -> None:
        self.as_json = as_json
        self.emitted = False
        """Whether the result has been printed."""
        self.colour = colour
        self._stream = stream

    def emit(self, document: Mapping[str, Any], render: Callable[[Console], None]) -> None:
        """Prints `document` as JSON, or calls `render` to draw it."""
        self.emitted = True
        if self.as_json:
            self.write_document(document)
            return
        from pacifictool.console import Console

        terminal = self._stream.isatty()
        # A pipe has no width, and tables must not be cut there.
        canvas = _Canvas(self._stream)
        console = Console(canvas, colour=self.colour, width=None if terminal else 200)
        render(console)
        text = canvas.getvalue()
        self._write(text if terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines()))

    def emit_text(self, document: Mapping[str, Any], text: str) -> None:
        """Prints `document` as JSON, or `text` as it is, for files; what a terminal would interpret is escaped."""
        self.emitted = True
        if self.as_json:
            self.write_document(document)
        else:
            self._write(f"{block(text).rstrip()}\n")

    def write_document(self, document: Mapping[str, Any], *, indent: int | None = 2) -> None:
        """Prints one JSON document, without `indent` on one line. Raises like `write_line`."""
        # JSON's own escapes represent what the terminal's encoding cannot, and lone surrogates, which stand for bytes
        # on the command line that are not valid Unicode.
        ascii_only = indent is None or not self._shows_everything()
        self._write(f"{json_document(document, ascii_only=ascii_only, indent=indent)}\n")

    def write_line(self, text: str) -> None:
        """Prints one line. Raises OutputFailed when it cannot be written, BrokenPipeError when the reader is gone."""
        self._write(f"{one_line(text)}\n")

    def _shows_everything(self) -> bool:
        return self._encoding.lower().replace("-", "") == "utf8"

    @property
    def _encoding(self) -> str:
        return self._stream.encoding or "utf-8"

    def _write(self, text: str) -> None:
        printable = text.encode(self._encoding, errors="backslashreplace").decode(self._encoding)
        try:
            self._stream.write(printable)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(
                f"The result cannot be written to standard output: {file_fault(error)}.",
                hint="The command itself has finished; run it again and send its output elsewhere.",
            ) from error


def table(title: str | None, columns: Mapping[str, str], rows: list[list[str]]) -> Any:
    """A table; `columns` maps a heading to "left" or "right"."""
    from rich import box
    from rich.table import Table

    result = Table(box=box.SIMPLE_HEAD)
    for heading, side in columns.items():
        result.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result if title is None else titled(title, result)


def titled(title: str, below: Any) -> Any:
    """`below` under a title in a line of its own, which a table would wrap at its own width."""
    from rich.console import Group

    from pacifictool.console import styled

    return Group(styled(title, style="bold"), below)
