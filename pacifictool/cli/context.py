"""What every command gets: the outside world, the options given anywhere on the line, and what follows from them."""

from __future__ import annotations

import getpass
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pacifictool.cli.environment import Environment
from pacifictool.cli.render import Messages, Output, TerminalReporter
from pacifictool.display import one_line
from pacifictool.errors import ExitCode, SettingsError, UsageError

if TYPE_CHECKING:
    from pacifictool.rest import Platform
    from pacifictool.scenario import Scenario
    from pacifictool.settings import Settings, Sources

OUTPUT_MODES = ("table", "json")
SANDBOX_FOLDER = "sandbox"
"""Where the sandbox keeps its data, in the state folder, unless the user names another."""
PATIENCE_SECONDS = 1.0
"""What takes longer tells what it is doing."""


class Session:
    """One run of the command line. Everything expensive is made when first asked for."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.flags: dict[str, Any] = {}
        """Global options by name, from before and after the command; a later one wins."""
        self.stop = threading.Event()
        """Set by Ctrl-C and SIGTERM; long-running work watches it."""
        self.temporary_folders: set[Path] = set()
        """Removed at the end, also when the end has to be sudden."""
        self.last_word = threading.Lock()
        self.concluded = False
        """Whether the run's result, or that it was interrupted, has been said. Guarded by `last_word`."""
        self._winding_down = False

    @contextmanager
    def temporary_folder(self, *, keep: bool = False) -> Iterator[Path]:
        """A folder for this run only; with `keep` it stays, and its place is told."""
        folder = Path(tempfile.mkdtemp(prefix="pacifictool-"))
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
        """Within, an interrupt only sets `stop`: the work ends by itself and the command still prints its result."""
        self._winding_down = True
        try:
            yield
        finally:
            self._winding_down = False

    @property
    def ends_by_itself(self) -> bool:
        """Whether an interrupt may be left to the running work."""
        return self._winding_down

    def exit_if_interrupted(self) -> None:
        """To be called after the result is printed."""
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
        """Whether somebody watches stderr who wants to see progress drawn."""
        return self.environment.stderr_is_terminal and not self.flags.get("quiet")

    @cached_property
    def reporter(self) -> Messages:
        """Where messages and progress go."""
        stderr, quiet = self.environment.stderr, bool(self.flags.get("quiet"))
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
        """table or json, by the usual precedence. Raises SettingsError for anything else."""
        from pacifictool.settings import read_config_file, read_folder_file

        # Read even if an option says it: a file that must not be used is refused by every command.
        in_folder = read_folder_file(self.environment.folder).get("output")
        mode = self.flags.get("output") or self.environment.environ.get("PACIFICTOOL_OUTPUT") or in_folder
        mode = mode or read_config_file(self.environment.user_file).get("output") or "table"
        if mode not in OUTPUT_MODES:
            raise SettingsError(f"--output: {mode!r} is not known.", hint="Use table or json.")
        return str(mode)

    @property
    def sources(self) -> Sources:
        """Where settings are looked up."""
        from pacifictool.settings import Sources

        return Sources(
            flags=self.flags,
            environ=self.environment.environ,
            folder=self.environment.folder,
            user_file=self.environment.user_file,
            read_stdin=self.environment.stdin.read,
        )

    @cached_property
    def settings(self) -> Settings:
        """Connections and credentials; for the broker of the user's running sandbox, those that it keeps."""
        from pacifictool.settings import resolve

        settings = resolve(self.sources)
        for setting in settings.sources.values():
            self.reporter.detail(f"Setting {setting}")
        if not (self.state_dir() / SANDBOX_FOLDER).is_dir():
            return settings
        from pacifictool.cli.sandbox_login import with_sandbox_login

        return with_sandbox_login(settings, self.state_dir() / SANDBOX_FOLDER)

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
        """A client of the platform; asks a person for a password that is not known. With `check`, logs in at once.

        `session_options` are further ones of `rest.Session`, such as `retry`.
        """
        import dataclasses

        from pacifictool.rest import Platform
        from pacifictool.settings import Secret

        settings = self.settings
        if settings.api_key is None and settings.password is None and self.environment.stdin_is_terminal:
            origin = settings.origin("url")
            named_by = f" (which {origin} names)" if origin.is_folder else ""
            prompt = one_line(f"Password of {settings.username} at {settings.url}{named_by}: ")
            answer = getpass.getpass(prompt, self.environment.stderr)
            settings = dataclasses.replace(settings, password=Secret(answer))
            self.settings = settings  # asked once for the whole run
        platform = Platform.connect(
            settings,
            stop=self.stop,
            reporter=self.reporter,
            deletion_journal=self._deletion_journal(settings.url),
            **session_options,
        )
        if check:
            with self.patience(f"Logging in at {settings.url}"):
                platform.generation()
        return platform

    @contextmanager
    def patience(self, description: str) -> Iterator[None]:
        """Tells what is going on once it has taken a second: most calls do not, and then nothing is said."""
        shown, lock, over = ExitStack(), threading.Lock(), False

        def show() -> None:
            with lock:
                if not over:
                    shown.enter_context(self.reporter.task(description))

        timer = threading.Timer(PATIENCE_SECONDS, show)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with lock:
                over = True
                shown.close()

    def _deletion_journal(self, url: str) -> Path:
        """Where the runs of this user remember their rule deletions at one server."""
        import hashlib

        return self.state_dir() / "rule-deletions" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"

    @cached_property
    def cache_dir(self) -> Path:
        """Where jars are kept."""
        from pacifictool.runtime import default_cache_dir

        return default_cache_dir(self.environment.environ)

    def state_dir(self) -> Path:
        """Where checkpoints and the sandbox live unless the user says otherwise."""
        import platformdirs

        configured = self.environment.environ.get("PACIFICTOOL_STATE")
        return Path(configured or platformdirs.user_state_dir("pacifictool", appauthor=False)).expanduser()


def parse_key_values(options: list[str], option_name: str = "-X") -> dict[str, str]:
    """Turns the values of a repeated `-X key=value` into a mapping. Raises UsageError, never showing a value."""
    pairs = {}
    for number, option in enumerate(options, start=1):
        key, separator, value = option.partition("=")
        if not separator or not key.strip():
            # It may be a password whose name was forgotten.
            raise UsageError(
                f"{option_name}: number {number} of these options is not of the form key=value.",
                hint="For example security.protocol=SSL.",
            )
        pairs[key.strip()] = value
    return pairs
