"""Shared by the generators of documentation pages: writes a page, or with --check compares it."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def keep(name: str, text: str, arguments: list[str]) -> int:
    """Writes `text` to the page docs/`name`; with `--check` only compares. Returns the exit code."""
    page = DOCS / name
    if "--check" in arguments:
        is_current = page.is_file() and page.read_text(encoding="utf-8") == text
        if not is_current:
            sys.stderr.write(f"docs/{name} is not current: make docs-reference\n")
        return 0 if is_current else 1
    page.write_text(text, encoding="utf-8")
    return 0
