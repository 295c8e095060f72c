"""Starts and stops plugins and rules of a 1.x server, and finds out whether they really run.

The response to an activation is 200 and the state becomes ACTIVE even when the start failed; only the event log says
so. Activating what is active already leaks a Kafka producer in the server, so that it is only done where the last start
failed (docs/servers/1.x.md#rules-and-plugins, rows 14 and 16).
"""

from __future__ import annotations

from time import monotonic

from pacifictool.errors import ForwardingFailed
from pacifictool.rest.entities import ACTIVE, Plugin, Rule
from pacifictool.rest.events import EVENT_TIMEOUT_SECONDS, Events
from pacifictool.rest.http import Session

_POLL_SECONDS = 0.1
ACTIVATED = "ACTIVATED"
UPDATED = "UPDATED"


class ComponentLifecycle:
    """Activates, suspends and deletes plugins and rules."""

    def __init__(
        self, session: Session, events: Events, *, event_timeout_seconds: float = EVENT_TIMEOUT_SECONDS
    ) -> None:
        self._session = session
        self._events = events
        self._timeout_seconds = event_timeout_seconds

    def last_failure(self, part: Plugin | Rule) -> str | None:
        """Why an ACTIVE part does not run, in one line; None when its last start succeeded or left no trace."""
        if part.state != ACTIVE:
            return None
        newest = next(iter(self._events.lifecycle(part.entity_id, part.tenant_id)), None)
        return newest.reason if newest is not None and not newest.success else None

    def remember(self, part: Plugin | Rule) -> set[str]:
        """The events so far, by id: what comes after them is new."""
        return {event.id for event in self._events.lifecycle(part.entity_id, part.tenant_id)}

    def activate(self, part: Plugin | Rule) -> None:
        """Starts a suspended part. Raises ForwardingFailed with the server's reason when it does not run."""
        before = self.remember(part)
        self._session.request("POST", f"{_path(part)}/activate", repeatable=True)
        if not self.check(part, ACTIVATED, before):
            self._session.reporter.warning(
                f"The server did not say within {self._timeout_seconds:g} s whether the {part.noun} {part.name!r} has"
                " started."
            )

    def restart(self, part: Plugin | Rule, reason: str) -> None:
        """Starts an ACTIVE part once more that failed for `reason`. Raises ForwardingFailed when it fails again.

        A rule is suspended first. A plugin cannot be while its rules are active; activating it again starts it.
        """
        if isinstance(part, Rule):
            self.suspend(part)
        before = self.remember(part)
        self._session.request("POST", f"{_path(part)}/activate", repeatable=True)
        if not self.check(part, ACTIVATED, before):
            raise _not_running(part, reason)

    def check(self, part: Plugin | Rule, event_name: str, before: set[str]) -> bool:
        """Waits for the event that says how a start or a restart after an update went; False when none comes in time.

        Raises ForwardingFailed when it did not go well. The event must be the one that was asked for: earlier
        ones, CREATED or STARTED, may still arrive and say nothing.
        """
        deadline = monotonic() + self._timeout_seconds
        while True:
            for event in self._events.lifecycle(part.entity_id, part.tenant_id):
                if event.id in before or (event.success and event.event != event_name):
                    continue
                if event.success:
                    return True
                raise _not_running(part, event.reason)
            if monotonic() >= deadline or self._session.stop.wait(_POLL_SECONDS):
                return False

    def suspend(self, part: Plugin | Rule) -> None:
        """Stops a part; doing it twice does no harm."""
        self._session.request("POST", f"{_path(part)}/suspend", repeatable=True)

    def delete(self, part: Plugin | Rule) -> None:
        """Deletes a part. For rules, mind the `DeletionLimiter`."""
        self._session.request("DELETE", _path(part))


def _not_running(part: Plugin | Rule, reason: str) -> ForwardingFailed:
    return ForwardingFailed(
        f"The {part.noun} {part.name!r} is {ACTIVE}, but does not run: {reason}.",
        hint="Correct the configuration (for a Kafka plugin: the bootstrap servers as the platform reaches them) and"
        " run the command again.",
        id=part.id,
    )


def _path(part: Plugin | Rule) -> str:
    return f"/api/{part.noun}/{part.id}"
