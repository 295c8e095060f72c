"""Finds what a user named, or says which names come close."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pacifictool.errors import NotFound

if TYPE_CHECKING:
    from pacifictool.rest import Asset, Device, Platform


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the names most like `name`."""
    candidates = list(known)
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(repr(by_folded[match]) for match in close)}? Names are case-sensitive."
    return "`pacifictool device list` and `pacifictool asset list` show all names."


def require_device(platform: Platform, name: str) -> Device:
    """The device of that name. Raises NotFound with the nearest names."""
    device = platform.devices.find(name)
    if device is None:
        raise NotFound(
            f"There is no device {name!r} at {platform.url}.",
            hint=nearest(name, (device.name for device in platform.devices.list())),
        )
    return device


def require_asset(platform: Platform, name: str) -> Asset:
    """The asset of that name. Raises NotFound with the nearest names."""
    asset = platform.assets.find(name)
    if asset is None:
        raise NotFound(
            f"There is no asset {name!r} at {platform.url}.",
            hint=nearest(name, (asset.name for asset in platform.assets.list())),
        )
    return asset
