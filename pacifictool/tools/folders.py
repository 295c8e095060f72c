"""Folders of the user, also where there is no home folder: services and containers often have none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pacifictool.errors import SettingsError


def expanded(path: str | Path) -> Path:
    """The path with the home folder in place of `~`; as it is where there is no such home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises an error of its own then


def user_folder(kind: Literal["config", "cache", "state"]) -> Path | None:
    """The folder of this program for the user's settings, downloads or state; None without a home folder."""
    import platformdirs

    find = {
        "config": platformdirs.user_config_dir,
        "cache": platformdirs.user_cache_dir,
        "state": platformdirs.user_state_dir,
    }[kind]
    try:
        return Path(find("pacifictool", appauthor=False))
    except RuntimeError:
        return None


def required_folder(kind: Literal["cache", "state"], variable: str) -> Path:
    """As `user_folder`. Raises SettingsError, which names the variable that sets another folder."""
    folder = user_folder(kind)
    if folder is None:
        raise SettingsError(
            "This user has no home folder.", hint=f"Set HOME, or {variable} to a folder that can be written."
        )
    return folder
