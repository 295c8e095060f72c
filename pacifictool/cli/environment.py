"""The outside world as one object: streams, variables, folders. By default the real one; a test hands in another.

Nothing else in the package reads `sys.stdout`, `sys.stdin` or `os.environ`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, cast

from pacifictool.settings import user_config_file


def _nowhere(mode: str = "w") -> TextIO:
    """For a stream that the caller closed (`>&-`), which Python gives as None."""
    return cast(TextIO, Path(os.devnull).open(mode, encoding="utf-8"))


@dataclass(slots=True)
class Environment:
    """Everything a command may touch outside its arguments."""

    stdin: TextIO = field(default_factory=lambda: sys.stdin or _nowhere("r"))
    stdout: TextIO = field(default_factory=lambda: sys.stdout or _nowhere())
    stderr: TextIO = field(default_factory=lambda: sys.stderr or _nowhere())
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = field(default_factory=Path.cwd)
    user_file: Path = field(default_factory=user_config_file)

    @property
    def stderr_is_terminal(self) -> bool:
        """Whether a person watches the messages; decides between progress bars and plain lines."""
        return self.stderr.isatty() and self.environ.get("TERM") != "dumb"

    @property
    def stdout_is_terminal(self) -> bool:
        """Whether a person watches the result, on a terminal that can move its cursor."""
        return self.stdout.isatty() and self.environ.get("TERM") != "dumb"

    @property
    def stdin_is_terminal(self) -> bool:
        """Whether a person can be asked."""
        return self.stdin.isatty()

    @property
    def wants_colour(self) -> bool:
        """False when NO_COLOR is set to anything but the empty text (no-color.org)."""
        return not self.environ.get("NO_COLOR")
