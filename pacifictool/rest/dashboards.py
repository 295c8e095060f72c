"""Dashboards of the platform's web UI.

Titles are not unique, nothing but the title is checked, and a configuration comes back as it was sent
(docs/servers/4.x.md#dashboards, row 1). So a dashboard of ours is identified by its title and by the description in
its configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pacifictool.errors import InvalidRequest, NotFound
from pacifictool.rest.creation import create_idempotently
from pacifictool.rest.dashboard_body import WidgetStyle
from pacifictool.rest.entities import Reader
from pacifictool.rest.http import VERSION_CONFLICT, Session, segment
from pacifictool.rest.paging import Paging

_PATH = "/api/dashboard"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard; lists leave its configuration out."""

    id: str
    """A UUID."""
    title: str
    created_time: int
    """ms since the epoch, by the server's clock."""
    configuration: Mapping[str, Any]
    """{} where there is none, or one that is not a JSON object."""
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole JSON object as the server sent it."""

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Raises UnexpectedAnswer."""
        reader = Reader(document, "dashboard")
        configuration = reader.document.get("configuration")
        return cls(
            id=reader.identifier("id"),
            title=reader.text("title"),
            created_time=reader.integer("createdTime"),
            configuration=configuration if isinstance(configuration, dict) else {},
            raw=reader.document,
        )

    @property
    def description(self) -> str | None:
        """What its configuration says of it."""
        text = self.configuration.get("description")
        return text if isinstance(text, str) else None


class Dashboards:
    """The tenant's dashboards."""

    def __init__(self, session: Session, paging: Callable[[], Paging], style: Callable[[], WidgetStyle]) -> None:
        self._session = session
        self._paging = paging
        self._style = style

    @property
    def style(self) -> WidgetStyle:
        """The format of widgets of this server's generation. Raises PlatformError."""
        return self._style()

    def titled(self, title: str) -> Iterator[Dashboard]:
        """Those of exactly that title, the oldest first, with their configurations."""
        found = self._paging().items(self._session, "/api/tenant/dashboards", {"textSearch": title})
        listed = [dashboard for item in found if (dashboard := Dashboard.from_json(item)).title == title]
        for dashboard in sorted(listed, key=lambda each: (each.created_time, each.id)):
            try:
                yield self.get(dashboard.id)
            except NotFound:
                continue  # deleted meanwhile

    def find(self, title: str, description: str) -> Dashboard | None:
        """The oldest of that title whose configuration has that description."""
        return next((each for each in self.titled(title) if each.description == description), None)

    def get(self, dashboard_id: str) -> Dashboard:
        """The one with that UUID. Raises NotFound."""
        return Dashboard.from_json(self._session.request("GET", f"{_PATH}/{segment(dashboard_id)}", expect=dict))

    def create(self, title: str, configuration: Mapping[str, Any]) -> Dashboard:
        """Creates one. When the connection breaks in the middle, looks for it before trying again."""
        document = {"title": title, "configuration": dict(configuration)}
        description = str(configuration.get("description"))
        return create_idempotently(
            self._session, _PATH, document, Dashboard.from_json, lambda: self._newest(title, description)
        )

    def change(self, dashboard: Dashboard, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Dashboard:
        """Saves it with `change(configuration)`; everything else stays.

        When somebody else has changed it since it was read, it is read and changed once more.
        """
        try:
            return self._save(dashboard, change)
        except InvalidRequest as error:
            if error.status != VERSION_CONFLICT:
                raise
        return self._save(self.get(dashboard.id), change)

    def delete(self, dashboard_id: str) -> None:
        """Deletes it. Raises NotFound when there is none (but not when a repeat finds it gone)."""
        self._session.request("DELETE", f"{_PATH}/{segment(dashboard_id)}")

    def _save(self, dashboard: Dashboard, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Dashboard:
        document = {**dashboard.raw, "configuration": change(dashboard.configuration)}
        return Dashboard.from_json(self._session.request("POST", _PATH, json=document, repeatable=True, expect=dict))

    def _newest(self, title: str, description: str) -> Dashboard | None:
        ours = [each for each in self.titled(title) if each.description == description]
        return max(ours, key=lambda each: each.created_time, default=None)
