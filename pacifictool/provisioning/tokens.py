"""Access tokens of many devices."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence

from pacifictool.errors import NotFound
from pacifictool.provisioning.bulk import run_with_progress
from pacifictool.provisioning.entities import find_devices
from pacifictool.reporting import SILENT, Reporter
from pacifictool.rest import Device, Platform
from pacifictool.settings import Secret


def look_up_tokens(
    platform: Platform, names: Sequence[str], reporter: Reporter = SILENT, stop: threading.Event | None = None
) -> dict[str, Secret]:
    """Access token by device name. Raises NotFound for a device that the platform does not have."""
    devices = find_devices(platform, names)
    missing = [name for name in names if name not in devices]
    if missing:
        close = difflib.get_close_matches(missing[0], (device.name for device in platform.devices.list()), n=3)
        suggestion = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise NotFound(
            f"The platform has no device {missing[0]!r}"
            + (f" (and {len(missing) - 1} more of the scenario are missing)." if len(missing) > 1 else "."),
            hint=f"{suggestion}`pacifictool setup` creates the devices of a scenario.",
        )

    def look_up(device: Device) -> tuple[str, Secret]:
        return device.name, platform.devices.token(device.id)

    found = list(devices.values())
    return dict(run_with_progress(look_up, found, "Looking up access tokens", reporter, unit="devices", stop=stop))
