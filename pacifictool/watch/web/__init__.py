"""The page: its files (`files`), its collector (`source`), and how it is served (`app`, `server`).

A sandbox that serves the page at `/` (`sandbox`) gets the name of a function and a file of options. They are here,
because the command line imports them and must not wait for a web framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

PAGE: Final = "pacifictool.watch.web.sandbox:page"
"""The function that creates a sandbox's page."""


def page_options(*, scenario: Path | None = None, jobs: Path | None = None, job: Path | None = None) -> dict[str, Any]:
    """The options of a page: the scenario's file (None: the tutorial), and the folder that contains the folders of all
    jobs, or the folder of the one job."""
    paths = {"scenario": scenario, "jobs": jobs, "job": job}
    return {name: None if path is None else str(path.absolute()) for name, path in paths.items()}
