"""Paths that programs take apart: names that Java, Spark and log4j read as something else than a name.

A class path has colons between its parts, Spark's lists of folders have commas, and patterns of log files give `%` and
`${` a meaning. Nothing escapes all of them, so such a program gets a link with a plain name to the folder.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9/._+@=~-]*")
_links: dict[Path, Path] = {}
_lock = threading.Lock()


def plain_path(folder: Path) -> Path:
    """`folder`, or a link to it whose path holds nothing but letters, digits and a few signs.

    The link is in a folder of this process, which only this user can enter, and goes with it. Raises OSError.
    """
    folder = folder.absolute()
    if _PLAIN.fullmatch(str(folder)):
        return folder
    with _lock:
        if folder not in _links:
            home = _links_folder()
            link = home / str(len(_links))
            link.symlink_to(folder, target_is_directory=True)
            _links[folder] = link
        return _links[folder]


def _links_folder() -> Path:
    if _links:
        return next(iter(_links.values())).parent
    chosen = tempfile.gettempdir()
    home = Path(tempfile.mkdtemp(prefix="pacifictool-", dir=chosen if _PLAIN.fullmatch(chosen) else "/tmp"))  # noqa: S108
    atexit.register(_remove, home)
    return home


def _remove(home: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(home)
