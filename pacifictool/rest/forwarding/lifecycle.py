"""Starting and stopping plugins and rules of a 1.x server, and finding out whether they really run.

Activation answers 200 and the state becomes ACTIVE even when the start failed; only the event log tells
(platform-1x, section 2). Activating what is active already leaks a Kafka producer in the server, so that it is only
done where the last start failed.
"""

from __future__ import annotations

from time import monotonic

from pacifictool.errors import ForwardingFailed
from pacifictool.rest.entities import ACTIVE, LifecycleEvent, Plugin, Rule
from pacifictool.rest.events import Events
from pacifictool.rest.session import Session

EVENT_PATIENCE_SECONDS = 5.0
"""How long a server may take to write down how a start went; a 1.4 server took less than a second."""

_POLL_SECONDS = 0.1
_STARTS = frozenset({"ACTIVATED", "STARTED", "UPDATED", "CREATED"})


class Lifecycle:
    """Activates, suspends and deletes plugins and rules."""

    def __init__(
        self, session: Session, events: Events, *, event_patience_seconds: float = EVENT_PATIENCE_SECONDS
    ) -> None:
        self._session = session
        self._events = events
        self._patience = event_patience_seconds

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
        """Starts a part. Raises ForwardingFailed with the server's reason when it does not run."""
        before = self.remember(part)
        self._session.request("POST", f"{_path(part)}/activate", repeatable=True)
        if not self.check_start(part, before):
            self._session.reporter.warning(
                f"The server did not say within {self._patience:g} s whether the {part.noun} {part.name!r} has started."
            )

    def check_start(self, part: Plugin | Rule, before: set[str]) -> bool:
        """Waits for the event that says how the start went; False when there is none in time.

        Raises ForwardingFailed when it did not go well.
        """
        deadline = monotonic() + self._patience
        while True:
            event = self._newest_start(part, before)
            if event is not None and event.success:
                return True
            if event is not None:
                raise ForwardingFailed(
                    f"The {part.noun} {part.name!r} is {ACTIVE}, but does not run: {event.reason}.",
                    hint="Correct the configuration (for a Kafka plugin: the bootstrap servers as the platform reaches"
                    " them) and run the command again.",
                    id=part.id,
                )
            if monotonic() >= deadline or self._session.stop.wait(_POLL_SECONDS):
                return False

    def suspend(self, part: Plugin | Rule) -> None:
        """Stops a part; doing it twice does no harm."""
        self._session.request("POST", f"{_path(part)}/suspend", repeatable=True)

    def delete(self, part: Plugin | Rule) -> None:
        """Deletes a part. For rules, mind the `DeletionLimiter`."""
        self._session.request("DELETE", _path(part))

    def _newest_start(self, part: Plugin | Rule, before: set[str]) -> LifecycleEvent | None:
        events = self._events.lifecycle(part.entity_id, part.tenant_id)
        return next((event for event in events if event.event in _STARTS and event.id not in before), None)


def _path(part: Plugin | Rule) -> str:
    return f"/api/{part.noun}/{part.id}"
