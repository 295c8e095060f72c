"""Waits until the platform shows the client attributes that it has acknowledged over MQTT.

Since 2.0 an acknowledgement means that the message is in the server's queue (docs/servers/4.x.md#mqtt, row 5). A 2.5.6
server stored the first attributes after a cold start 30 s later (docs/servers/2.x-3.x.md#telemetry-and-mqtt, row 4),
and does not forward what a device sends before.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final

from pacifictool.errors import Interrupted
from pacifictool.progress import Reporter
from pacifictool.rest import CLIENT_SCOPE, Device, Platform

STORED_SECONDS: Final = 60.0
"""How long acknowledged attributes may take."""

_CHECKED: Final = 100
"""Devices of a fleet that are checked. One request for each of ten thousand would be a quarter of their setup, and
a server that is slow is so for all."""
_FIRST_WAIT_SECONDS: Final = 0.05
_LONGEST_WAIT_SECONDS: Final = 2.0
_SAID_AFTER_SECONDS: Final = 3.0


def devices_to_check(names: Sequence[str]) -> set[str]:
    """Up to about a hundred of the devices, evenly spread, with the first and the last."""
    return {*names[:: len(names) // _CHECKED + 1], *names[-1:]}


def same_attribute(actual: object, wanted: str) -> bool:
    """Whether the platform's value is the wanted text. From 2.2 on a text that is a number becomes a number
    (docs/servers/2.x-3.x.md#telemetry-and-mqtt, row 1), which records hold as a text again."""
    return actual == wanted or (
        isinstance(actual, int | float) and not isinstance(actual, bool) and str(actual) == wanted
    )


class StoredAttributes:
    """The wait for the attributes of several devices, from several threads."""

    def __init__(
        self,
        platform: Platform,
        reporter: Reporter,
        stop: threading.Event | None,
        *,
        timeout_seconds: float = STORED_SECONDS,
    ) -> None:
        self._platform = platform
        self._reporter = reporter
        self._stop = stop or threading.Event()
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._is_said = self._has_given_up = False

    def wait_for(self, device: Device, wanted: Mapping[str, str]) -> None:
        """Returns when the platform shows the client attributes, or with a warning after the timeout.

        After one timeout no other device is waited for. Raises Interrupted when the stop signal is set, PlatformError.
        """
        began, pause = monotonic(), _FIRST_WAIT_SECONDS
        while not self._has_given_up:
            found = self._platform.attributes.get(device, scope=CLIENT_SCOPE)
            if all(same_attribute(found.get(key), value) for key, value in wanted.items()):
                return
            seconds = monotonic() - began
            if seconds > self._timeout_seconds:
                self._give_up(device.name)
            elif seconds > _SAID_AFTER_SECONDS:
                self._say()
            if self._stop.wait(pause):
                raise Interrupted
            pause = min(2 * pause, _LONGEST_WAIT_SECONDS)

    def _say(self) -> None:
        with self._lock:
            is_first, self._is_said = not self._is_said, True
        if is_first:
            self._reporter.info(
                "The platform has acknowledged attributes that it does not show yet; waiting for them up to"
                f" {self._timeout_seconds:g} s."
            )

    def _give_up(self, name: str) -> None:
        with self._lock:
            is_first, self._has_given_up = not self._has_given_up, True
        if is_first:
            self._reporter.warning(
                f"The platform acknowledged the attributes of {name!r} and does not show them after"
                f" {self._timeout_seconds:g} s: until it does, readings are not forwarded. `pacifictool doctor` says"
                " whether they are there."
            )
