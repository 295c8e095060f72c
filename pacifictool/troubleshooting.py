"""The entries of docs/troubleshooting.md, which the wheel holds as a resource of its own."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Final

_PAGE: Final = "troubleshooting.md"
_ENTRY: Final = re.compile(r"^### ([a-z0-9-]+)\n(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)


def entries() -> dict[str, str]:
    """The text of each entry by its name: the kind of an error, or the code of a problem."""
    return {name: text.strip() for name, text in _ENTRY.findall(_page())}


def _page() -> str:
    packed = resources.files("pacifictool") / "resources" / _PAGE
    if packed.is_file():
        return packed.read_text(encoding="utf-8")
    # A checkout has the page once, in the documentation; pyproject.toml puts it into the wheel.
    return (Path(__file__).parent.parent / "docs" / _PAGE).read_text(encoding="utf-8")
