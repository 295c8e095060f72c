"""What every command gets: the environment, the global options, and what follows from them."""

from __future__ import annotations

import getpass
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pacifictool.cli.environment import Environment
from pacifictool.cli.render import Messages, Output, TerminalReporter
from pacifictool.display import one_line
from pacifictool.errors import ExitCode, RuntimeMissing, SettingsError, UsageError, unknown_choice

if TYPE_CHECKING:
    from pacifictool.analytics.defaults import JobFolders
    from pacifictool.rest import Platform
    from pacifictool.scenario import Scenario
    from pacifictool.settings import Settings, Sources

OUTPUT_MODES = ("table", "json")
LOG_FORMATS = ("text", "json")
SANDBOX_FOLDER = "sandbox"
"""Name of the default folder for the sandbox's data, in the state folder."""
ANNOUNCED_AFTER_SECONDS = 1.0
"""An operation that takes longer reports what it is doing."""


class CliSession:
    """One run of the command line. Everything expensive is created on first use."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.flags: dict[str, Any] = {}
        """Global options by name, from before and after the command; a later one wins."""
        self.stop = threading.Event()
        """Set by Ctrl-C and SIGTERM; long-running work checks it."""
        self.temporary_folders: set[Path] = set()
        """Removed at the end, even if the process is ended by force."""
        self.conclusion_lock = threading.Lock()
        self.concluded = False
        """Whether the interruption has been reported. Guarded by `conclusion_lock`."""
        self._winding_down = False

    @contextmanager
    def temporary_folder(self, *, keep: bool = False) -> Iterator[Path]:
        """A folder for this run only; with `keep` it stays, and its path is reported."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="pacifictool-"))
        except OSError as error:
            raise RuntimeMissing(
                f"There is no folder for temporary files: {error.strerror or error}.",
                hint="Set TMPDIR to a folder that can be written.",
            ) from error
        if not keep:
            self.temporary_folders.add(folder)
        try:
            yield folder
        finally:
            if keep:
                self.reporter.info(f"Kept: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
                self.temporary_folders.discard(folder)

    @contextmanager
    def winding_down_on_interrupt(self) -> Iterator[None]:
        """Inside, an interrupt only sets `stop`: the work ends by itself and the command still prints its result."""
        self._winding_down = True
        try:
            yield
        finally:
            self._winding_down = False

    @property
    def ends_by_itself(self) -> bool:
        """Whether the running work handles an interrupt itself."""
        return self._winding_down

    def exit_if_interrupted(self) -> None:
        """Ends an interrupted run with its exit code; called after the result is printed."""
        if self.stop.is_set():
            raise typer.Exit(ExitCode.INTERRUPTED)

    @property
    def debug(self) -> bool:
        return bool(self.flags.get("debug"))

    @property
    def colour(self) -> bool:
        return self.environment.wants_colour and not self.flags.get("no_color")

    @property
    def verbose(self) -> bool:
        return bool(self.flags.get("verbose")) or self.debug

    @property
    def draws_on_terminal(self) -> bool:
        """Whether progress is drawn on stderr."""
        return self.environment.stderr_is_terminal and not self.flags.get("quiet") and not self._logs_json

    @cached_property
    def reporter(self) -> Messages:
        """Where messages and progress go."""
        stderr, quiet = self.environment.stderr, bool(self.flags.get("quiet"))
        if self._logs_json:
            from pacifictool.cli.log_lines import JsonMessages

            return JsonMessages(stderr, verbose=self.verbose, quiet=quiet)
        if self.draws_on_terminal:
            return TerminalReporter(stderr, colour=self.colour, verbose=self.verbose)
        return Messages(stderr, colour=self.colour, verbose=self.verbose, quiet=quiet)

    @cached_property
    def output(self) -> Output:
        """Where the result goes."""
        return Output(self.environment.stdout, as_json=self.output_mode() == "json", colour=self.colour)

    @property
    def result_is_out(self) -> bool:
        """Whether the command has printed its result."""
        return "output" in self.__dict__ and self.output.emitted

    def output_mode(self) -> str:
        """table or json, from option, environment or file. Raises SettingsError for anything else."""
        return self._choice("output", "PACIFICTOOL_OUTPUT", OUTPUT_MODES)

    def log_format(self) -> str:
        """text or json: how messages look on stderr. As `output_mode`."""
        return self._choice("log_format", "PACIFICTOOL_LOG_FORMAT", LOG_FORMATS)

    @cached_property
    def _logs_json(self) -> bool:
        try:
            return self.log_format() == "json"
        except SettingsError:  # it is reported, in text
            return False

    @cached_property
    def _folder_file(self) -> Mapping[str, Any]:
        """The configuration file of the current folder, which every choice asks for."""
        from pacifictool.settings import read_folder_file

        return read_folder_file(self.environment.folder)

    @cached_property
    def _user_file(self) -> Mapping[str, Any]:
        """The user's own configuration file."""
        from pacifictool.settings import read_config_file

        return read_config_file(self.environment.config_file)

    def _choice(self, key: str, variable: str, choices: Sequence[str]) -> str:
        """One of the choices, the first by default, from option, environment or file."""
        self.environment.check_folder()
        # Read even if there is an option: every command refuses a configuration file that must not be used.
        in_folder = self._folder_file.get(key)
        chosen = self.flags.get(key) or self.environment.environ.get(variable) or in_folder
        chosen = chosen or self._user_file.get(key) or choices[0]
        if chosen not in choices:
            raise unknown_choice(f"--{key.replace('_', '-')}", chosen, choices, kind=SettingsError)
        return str(chosen)

    @property
    def sources(self) -> Sources:
        """Where settings come from."""
        from pacifictool.settings import Sources

        return Sources(
            flags=self.flags,
            environ=self.environment.environ,
            folder=self.environment.folder,
            user_file=self.environment.config_file,
            read_stdin=self.environment.stdin.read,
        )

    @cached_property
    def settings(self) -> Settings:
        """Connections and credentials; without any configured address those of the user's running sandbox."""
        from pacifictool.settings import resolve

        self.environment.check_folder()
        settings = self._with_sandbox(resolve(self.sources))
        for setting in settings.sources.values():
            self.reporter.detail(f"Setting {setting}")
        return settings

    def _with_sandbox(self, settings: Settings) -> Settings:
        try:
            sandbox = self.environment.state_dir / SANDBOX_FOLDER
        except SettingsError:  # without a home folder there is no sandbox, either
            return settings
        if not sandbox.is_dir():
            return settings
        from pacifictool.local.client_login import at_running_sandbox, with_sandbox_login

        return with_sandbox_login(at_running_sandbox(settings, sandbox), sandbox)

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario named by the user, or the tutorial."""
        from pacifictool.scenario import load_scenario, tutorial_scenario

        path = self.settings.scenario_path
        if path is None:
            return tutorial_scenario()
        named_by_folder = self.settings.origin("scenario").is_folder
        return load_scenario(path, within=self.environment.folder if named_by_folder else None)

    def connect(self, *, check: bool = True, **session_options: Any) -> Platform:
        """A client of the platform; asks for a missing password on a terminal. With `check`, logs in at once.

        `session_options` are further options of `rest.Session`, such as `retry`.
        """
        import dataclasses

        from pacifictool.rest import Platform
        from pacifictool.settings import RUNNING_SANDBOX, Secret

        settings = self.settings
        if settings.origin("url") is RUNNING_SANDBOX:
            self.reporter.info(f"Using the running sandbox at {settings.url}: no address is configured.")
        if settings.api_key is None and settings.password is None and self.environment.stdin_is_terminal:
            origin = settings.origin("url")
            named_by = f" (from {origin})" if origin.is_folder else ""
            prompt = one_line(f"Password of {settings.username} at {settings.url}{named_by}: ")
            answer = getpass.getpass(prompt, self.environment.stderr)
            settings = dataclasses.replace(settings, password=Secret(answer))
            self.settings = settings  # asked once per run
        platform = Platform.connect(
            settings,
            stop=self.stop,
            reporter=self.reporter,
            deletion_journal=self._deletion_journal(settings.url),
            **session_options,
        )
        if check:
            with self.slow_task(f"Logging in at {settings.url}"):
                platform.generation()
        return platform

    @contextmanager
    def slow_task(self, description: str) -> Iterator[None]:
        """Shows the task once it has taken a second, which most calls do not."""
        shown, lock, over = ExitStack(), threading.Lock(), False

        def show() -> None:
            with lock:
                if not over:
                    shown.enter_context(self.reporter.task(description))

        timer = threading.Timer(ANNOUNCED_AFTER_SECONDS, show)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with lock:
                over = True
                shown.close()

    def _deletion_journal(self, url: str) -> Path | None:
        """Where this user's runs record their rule deletions on one server; None without a home folder."""
        import hashlib

        try:
            state_dir = self.environment.state_dir
        except SettingsError:
            return None
        return state_dir / "rule-deletions" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"

    def confirm(self, question: str, *, yes: bool, does: str = "deletes data") -> None:
        """Returns when the user agrees. Raises UsageError when nobody can answer, Abort when the answer is no.

        `does` says what needs the confirmation.
        """
        if yes:
            return
        if not self.environment.stdin_is_terminal:
            raise UsageError(f"This {does}, and there is no terminal to confirm it on.", hint="Add --yes.")
        self.environment.stderr.write(f"{one_line(question)} [y/N] ")
        self.environment.stderr.flush()
        if self.environment.stdin.readline().strip().lower() not in ("y", "yes"):
            raise typer.Abort

    @property
    def job_folders(self) -> JobFolders:
        """Where jobs with these settings keep their checkpoints."""
        from pacifictool.analytics.defaults import JobFolders

        return JobFolders(self.settings, self.scenario, self.environment.state_dir)
