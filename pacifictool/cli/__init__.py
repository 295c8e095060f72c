"""The command line: parse, call, render; nothing else."""

from __future__ import annotations

from pacifictool.cli.main import main

__all__ = ["main"]
