"""The files of the page, compressed once and with a digest in their path, so that browsers can cache them.

They are in `resources/page`; the chart library is the script inside the installed plotly package.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Final

from pacifictool.errors import PacificToolError

PREFIX: Final = "/watch/assets/"
PAGE: Final = "index.html"
CHART_LIBRARY: Final = "plotly.min.js"

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_REFERENCE: Final = re.compile(r"\{\{([a-z.]+)\}\}")
_GZIP_LEVEL: Final = 6


@dataclass(frozen=True)
class PageFile:
    """One file."""

    name: str
    body: bytes

    @property
    def media_type(self) -> str:
        return f"{_TYPES[Path(self.name).suffix]}; charset=utf-8"

    @cached_property
    def digest(self) -> str:
        """Changes with the content."""
        return hashlib.sha256(self.body).hexdigest()[:16]

    @property
    def path(self) -> str:
        """Where it is served; the content at a path never changes."""
        return f"{PREFIX}{self.digest}/{self.name}"

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.body, _GZIP_LEVEL, mtime=0)


class PageFiles:
    """All files of the page."""

    def __init__(self) -> None:
        """Raises PacificToolError when the plotly package lacks its script."""
        folder = resources.files("pacifictool") / "resources" / "page"
        files = [PageFile(item.name, item.read_bytes()) for item in folder.iterdir() if item.name != PAGE]
        files.append(PageFile(CHART_LIBRARY, _chart_library()))
        self._by_path = {file.path: file for file in files}
        paths = {file.name: file.path for file in files}
        text = (folder / PAGE).read_text(encoding="utf-8")
        self.page = PageFile(PAGE, _REFERENCE.sub(lambda match: paths[match[1]], text).encode())
        """Refers to every other file by its path."""

    def find(self, path: str) -> PageFile | None:
        """The file that is served at `path`."""
        return self._by_path.get(path)

    def compress_all(self) -> None:
        """Compresses before the first visitor waits for it; the chart library takes 0.2 s."""
        for file in self._by_path.values():
            _ = file.compressed


def _chart_library() -> bytes:
    # Importing plotly would take longer than reading the one file that is needed.
    spec = importlib.util.find_spec("plotly")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place) / "package_data" / CHART_LIBRARY
        if path.is_file():
            return path.read_bytes()
    raise PacificToolError(
        "The page's chart library was not found in the installed plotly package.",
        hint="Install pacifictool again with its dependencies.",
    )
