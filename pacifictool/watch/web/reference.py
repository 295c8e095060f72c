"""How a sandbox is told of its page: a name and some options. Light, for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

PAGE: Final = "pacifictool.watch.web.sandbox:page"
"""The function that makes it."""


def page_options(*, scenario: Path | None = None, jobs: Path | None = None, job: Path | None = None) -> dict[str, Any]:
    """What the page needs to know besides addresses: the scenario's file (None: the tutorial), and the folder that
    holds the folders of all jobs, or the folder of the one job."""
    named = {"scenario": scenario, "jobs": jobs, "job": job}
    return {name: None if path is None else str(path.absolute()) for name, path in named.items()}
