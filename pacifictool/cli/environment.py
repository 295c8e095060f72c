"""Streams, environment variables and folders as one object: the real ones by default; tests pass others.

Nothing else in the package reads `sys.stdout`, `sys.stdin` or `os.environ`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, cast

from pacifictool.errors import SettingsError


def _nowhere(mode: str = "w") -> TextIO:
    """Replaces a stream that the caller closed (`>&-`), which is None in Python."""
    return cast(TextIO, Path(os.devnull).open(mode, encoding="utf-8"))


def _current_folder() -> Path:
    """The current folder; where it was, when it has been deleted."""
    try:
        return Path.cwd()
    except OSError:
        return Path(os.environ.get("PWD") or "/")


@dataclass(slots=True)
class Environment:
    """Everything outside its arguments that a command may use."""

    stdin: TextIO = field(default_factory=lambda: sys.stdin or _nowhere("r"))
    stdout: TextIO = field(default_factory=lambda: sys.stdout or _nowhere())
    stderr: TextIO = field(default_factory=lambda: sys.stderr or _nowhere())
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = field(default_factory=_current_folder)
    user_file: Path | None = None
    """The user's configuration file; None: in the usual place."""

    def check_folder(self) -> None:
        """Raises SettingsError when the current folder is gone: no file of it, and no relative path, can be found."""
        if not self.folder.is_dir():
            raise SettingsError(
                f"The current folder, {self.folder}, no longer exists.", hint="Change to another folder: cd"
            )

    @property
    def stderr_is_terminal(self) -> bool:
        """Whether messages go to a terminal; decides between progress bars and plain lines."""
        return self.stderr.isatty() and self.environ.get("TERM") != "dumb"

    @property
    def stdout_is_terminal(self) -> bool:
        """Whether the result goes to a terminal that can move its cursor."""
        return self.stdout.isatty() and self.environ.get("TERM") != "dumb"

    @property
    def stdin_is_terminal(self) -> bool:
        """Whether a person can answer questions."""
        return self.stdin.isatty()

    @property
    def wants_colour(self) -> bool:
        """False when NO_COLOR is set and not empty (no-color.org)."""
        return not self.environ.get("NO_COLOR")

    @property
    def has_browser(self) -> bool:
        """Whether a browser window can open. Without a desktop, Python would start a text browser in the terminal."""
        if not self.stdout_is_terminal:
            return False
        return sys.platform in ("darwin", "win32") or bool(
            self.environ.get("DISPLAY") or self.environ.get("WAYLAND_DISPLAY")
        )

    @property
    def config_file(self) -> Path:
        """The user's configuration file, which need not exist."""
        from pacifictool.settings import user_config_file

        return self.user_file or user_config_file()

    @property
    def cache_dir(self) -> Path:
        """Where downloaded jars are kept."""
        from pacifictool.runtime.cache import default_cache_dir

        return default_cache_dir(self.environ)

    @property
    def state_dir(self) -> Path:
        """Where checkpoints and the sandbox are kept by default."""
        from pacifictool.runtime.cache import default_state_dir

        return default_state_dir(self.environ)
