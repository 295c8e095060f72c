"""Runs the command line: turns every outcome into output for a person or a script, and into an exit code."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import typer
from typer.exceptions import TyperException

from pacifictool.cli.app import app
from pacifictool.cli.context import CliSession
from pacifictool.cli.environment import Environment
from pacifictool.cli.render import Output
from pacifictool.errors import ExitCode, Interrupted, OutputFailed, PacificToolError, UsageError, entry_of

_ASKS_FOR_JSON = re.compile(r"\n(?:--output[=\n]|-[a-zA-Z]*o\n?)json\n")
"""-o json, -ojson, -qo json, --output json or --output=json among arguments that are joined by line feeds."""

CHILDREN_END_AFTER_SECONDS = 0.7
"""After an interrupt, how long the work may take to end by itself before its child processes are ended."""

STOP_WITHIN_SECONDS = 1.8
"""After an interrupt, how long a clean end may take before the process is ended by force."""


def main() -> None:
    """The `pacifictool` program."""
    sys.exit(run(sys.argv[1:], Environment()))


def run(arguments: Sequence[str], environment: Environment) -> ExitCode:
    """Runs one command line in `environment` and returns its exit code; never raises."""
    session = CliSession(environment)
    restore = _catch_signals(session, arguments)
    try:
        outcome = typer.main.get_command(app).main(
            args=list(arguments) or ["--help"], prog_name="pacifictool", standalone_mode=False, obj=session
        )
        return ExitCode(outcome) if isinstance(outcome, int) else ExitCode.OK
    except TyperException as error:
        return _fail(session, arguments, _usage_error(error))
    except PacificToolError as error:
        return _fail(session, arguments, error)
    except (Interrupted, KeyboardInterrupt, typer.Abort):
        return _interrupted(session, arguments)
    except (BrokenPipeError, SystemExit):
        # The reader of stdout is gone (`| head`), which Typer turns into SystemExit; there is nothing left to print.
        _abandon_output(session)
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the last handler turns bugs into a sentence, too
        return _fail(session, arguments, _bug(error))
    finally:
        restore()


def _usage_error(error: TyperException) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "pacifictool"
    similar: list[str] = getattr(error, "possibilities", None) or []  # of an option that does not exist
    message = error.message if similar else error.format_message()
    suggestion = f"Did you mean {' or '.join(sorted(similar))}? " if similar else ""
    return UsageError(f"{message.rstrip('.')}.", hint=f"{suggestion}See: {path} --help")


def _bug(error: Exception) -> PacificToolError:
    failure = PacificToolError(
        f"Unexpected error: {type(error).__name__}: {' '.join(str(error).split())}",
        hint="This is a bug in pacifictool. Run the command again with --debug and report what it prints.",
    )
    failure.__cause__ = error
    return failure


def _fail(session: CliSession, arguments: Sequence[str], error: PacificToolError) -> ExitCode:
    session.reporter.error(error, "".join(traceback.format_exception(error)) if session.debug else None)
    if isinstance(error, OutputFailed):
        _abandon_output(session)
    elif _wants_json(session, arguments):
        _print_document(session, error.as_document())
    return error.exit_code


def _interrupted(session: CliSession, arguments: Sequence[str]) -> ExitCode:
    with session.conclusion_lock:
        if session.concluded or session.result_is_out:
            return ExitCode.INTERRUPTED
        session.concluded = True
    session.reporter.info("Interrupted.")
    if _wants_json(session, arguments):
        error = {"kind": "interrupted", "message": "Interrupted.", "hint": None, "help": entry_of("interrupted")}
        _print_document(session, {"ok": False, "error": error})
    return ExitCode.INTERRUPTED


def _print_document(session: CliSession, document: dict[str, Any]) -> None:
    try:
        Output(session.environment.stdout, as_json=True, colour=False).write_document(document)
    except (OutputFailed, BrokenPipeError):
        _abandon_output(session)


def _abandon_output(session: CliSession) -> None:
    """Discards what standard output did not accept, so that Python does not write it again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), session.environment.stdout.fileno())


def _wants_json(session: CliSession, arguments: Sequence[str]) -> bool:
    """Whether errors go to stdout as JSON, even if the command line could not be parsed."""
    try:
        if session.output_mode() == "json":
            return True
    except PacificToolError:
        pass
    return _ASKS_FOR_JSON.search("\n".join(["", *arguments, ""])) is not None


def _catch_signals(session: CliSession, arguments: Sequence[str]) -> Callable[[], None]:
    """Makes SIGINT, SIGTERM and SIGHUP end the run cleanly, within two seconds in every case."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if session.stop.is_set():
            return  # a second Ctrl-C changes nothing: the process ends within two seconds
        session.stop.set()
        threading.Thread(target=_end_soon, args=(session, arguments), name="interrupt-watchdog", daemon=True).start()
        if not session.ends_by_itself:
            raise Interrupted

    # What was ignored at the start stays ignored: `nohup`, or a shell's job in the background.
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    ]
    previous = {number: signal.signal(number, interrupt) for number in numbers}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    return restore


def _end_soon(session: CliSession, arguments: Sequence[str]) -> None:
    """Ends the process if a clean end takes too long, for example inside a library's blocking call."""
    never = threading.Event()
    never.wait(CHILDREN_END_AFTER_SECONDS)
    processes = sys.modules.get("pacifictool.runtime.processes")
    if processes is not None and not session.ends_by_itself:
        # Ends every wait for one of them, so that the waiting code cleans up.
        processes.stop_all(grace_seconds=0.2)
    never.wait(STOP_WITHIN_SECONDS - CHILDREN_END_AFTER_SECONDS)
    if processes is not None:
        processes.stop_all(grace_seconds=0)
    for folder in list(session.temporary_folders):
        shutil.rmtree(folder, ignore_errors=True)
    _interrupted(session, arguments)
    os._exit(ExitCode.INTERRUPTED)
