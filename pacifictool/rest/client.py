"""The whole platform as one object."""

from __future__ import annotations

import threading
from typing import Any, Self

from pacifictool.reporting import SILENT, Reporter
from pacifictool.rest.assets import Assets
from pacifictool.rest.attributes import Attributes
from pacifictool.rest.devices import Devices
from pacifictool.rest.entities import User
from pacifictool.rest.events import Events
from pacifictool.rest.forwarding import Forwarding
from pacifictool.rest.generation import Generation, detect
from pacifictool.rest.paging import Paging
from pacifictool.rest.session import Session
from pacifictool.rest.telemetry import Telemetry
from pacifictool.settings import Settings


class Platform:
    """A server and a user on it. Usable from many threads; nothing is sent before it is needed.

    Use it as a context manager, or call `close`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._generation: Generation | None = None
        self._forwarding: Forwarding | None = None
        self._lock = threading.Lock()
        self.devices = Devices(session, self._paging)
        self.assets = Assets(session, self._paging)
        self.telemetry = Telemetry(session)
        self.attributes = Attributes(session)
        self.events = Events(session)

    @classmethod
    def connect(
        cls,
        settings: Settings,
        *,
        stop: threading.Event | None = None,
        reporter: Reporter = SILENT,
        **session_options: Any,
    ) -> Self:
        """The platform that `settings` name; further options are those of `Session`.

        Raises SettingsError when no password is known. Whether the server is there shows with the first call.
        """
        return cls(
            Session(
                settings.url,
                settings.username,
                settings.require_password(),
                tls=settings.tls_files,
                stop=stop,
                reporter=reporter,
                **session_options,
            )
        )

    @property
    def url(self) -> str:
        return self._session.url

    @property
    def session(self) -> Session:
        """For requests that this client has no method for."""
        return self._session

    def generation(self) -> str:
        """Which generation the server is of, for example "1.x"; asked once.

        Raises PlatformError (as any call does), also when the generation is not supported.
        """
        return self._detected().name

    @property
    def forwarding(self) -> Forwarding:
        """The server's way of forwarding telemetry to Kafka; always the same object, for it counts rule deletions."""
        generation = self._detected()
        with self._lock:
            if self._forwarding is None:
                self._forwarding = generation.forwarding(self._session, self.events)
            return self._forwarding

    def whoami(self) -> User:
        """The user who is logged in."""
        return User.from_json(self._session.request("GET", "/api/auth/user", expect=dict))

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _detected(self) -> Generation:
        with self._lock:
            if self._generation is None:
                self._generation = detect(self._session)
            return self._generation

    def _paging(self) -> Paging:
        return self._detected().paging
