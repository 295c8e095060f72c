"""The whole platform as one object."""

from __future__ import annotations

import threading
from typing import Any, Self

from pacifictool.progress import SILENT, Reporter
from pacifictool.rest.alarms import Alarms
from pacifictool.rest.attributes import Attributes
from pacifictool.rest.dashboards import Dashboards
from pacifictool.rest.entities import User
from pacifictool.rest.events import Events
from pacifictool.rest.forwarding import Forwarding
from pacifictool.rest.generation import ServerGeneration, detect, generation_of
from pacifictool.rest.http import Session
from pacifictool.rest.paging import Paging
from pacifictool.rest.resources import Assets, Devices
from pacifictool.rest.telemetry import Telemetry
from pacifictool.server_version import ServerVersion
from pacifictool.settings import Settings


class Platform:
    """A server and a user on it. Usable from many threads; nothing is sent before it is needed.

    Use it as a context manager, or call `close`. With `server_version` the server is not asked for its version.
    """

    def __init__(self, session: Session, *, server_version: ServerVersion | None = None) -> None:
        self._session = session
        self._server_version = server_version
        self._generation: ServerGeneration | None = None
        self._forwarding: Forwarding | None = None
        self._lock = threading.Lock()
        self.devices = Devices(session, self._paging)
        self.assets = Assets(session, self._paging)
        self.telemetry = Telemetry(session, lambda: self._detected().telemetry)
        self.attributes = Attributes(session)
        self.alarms = Alarms(session, self._paging, lambda: self._detected().lists_alarms_of_tenant)
        self.events = Events(session, self._paging)
        self.dashboards = Dashboards(session, self._paging, lambda: self._detected().widgets)

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

        Raises SettingsError when neither a password nor an API key is known. Whether the server can be reached shows
        with the first call.
        """
        return cls(
            Session(
                settings.url,
                settings.username,
                None if settings.api_key is not None else settings.require_password(),
                api_key=settings.api_key,
                tls=settings.tls_files,
                stop=stop,
                reporter=reporter,
                **session_options,
            ),
            server_version=settings.server_version,
        )

    @property
    def url(self) -> str:
        return self._session.url

    @property
    def session(self) -> Session:
        """The HTTP client, for requests that this class has no method for."""
        return self._session

    def generation(self) -> str:
        """The server's generation: "1.x", "2.x", "3.x" or "4.x"; detected once.

        Raises PlatformError (as any call does), also for a server of no known generation.
        """
        return self._detected().name

    @property
    def version(self) -> str | None:
        """The server's version, for example "4.3.1", as it or the settings say; None for servers before 3.3.3."""
        return self._detected().version

    @property
    def kind(self) -> str:
        """Generation and version for a person: "4.x, version 4.3.1", or "1.x" where nothing more is known."""
        found = self._detected()
        return found.name if found.version is None else f"{found.name}, version {found.version}"

    @property
    def forwarding(self) -> Forwarding:
        """The server's way of forwarding telemetry to Kafka; always the same object, as it counts rule deletions."""
        generation = self._detected()
        with self._lock:
            if self._forwarding is None:
                self._forwarding = generation.forwarding(self._session, self.events, generation.paging)
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

    def _detected(self) -> ServerGeneration:
        with self._lock:
            if self._generation is None:
                given = self._server_version
                found = self._generation = detect(self._session) if given is None else generation_of(given)
                version = "" if found.version is None else f", version {found.version}"
                how = "" if given is None else " (as --server-version says)"
                self._session.reporter.detail(f"Server generation {found.name}{version}{how}: {self.url}")
            return self._generation

    def _paging(self) -> Paging:
        return self._detected().paging
