"""The generation of a server, and what differs between generations.

A generation is one `ServerGeneration` of this module, with its way of paging, of forwarding, of time series and of
dashboards; nothing else in the package asks what server it talks to. docs/compatibility.md lists them, and
docs/servers/index.md#reading-a-row leads to what of it was observed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from pacifictool.errors import InvalidRequest, NotFound, PermissionDenied, PlatformError, UnexpectedAnswer
from pacifictool.rest.dashboard_body import WidgetStyle
from pacifictool.rest.events import Events
from pacifictool.rest.forwarding import Forwarding, PluginRuleForwarding, RuleChainForwarding
from pacifictool.rest.http import Session
from pacifictool.rest.paging import NumberPaging, Paging, TextPaging
from pacifictool.rest.telemetry import TelemetryTraits
from pacifictool.server_version import ServerVersion, parse_server_version

MakeForwarding: TypeAlias = Callable[[Session, Events, Paging], Forwarding]

_OLDEST_OF_3 = "3.0"
"""Servers from 3.3.3 on tell their version; one that pages as 3.x and does not is older."""


_WRITES_BEFORE = 8
"""Enough to keep a server on two cores busy; how many it takes at most was not measured."""

_WRITES_IN_BATCHES = 128
"""Servers of 3.9.1 and 4.3.1 confirm a write when its batch of 100 ms is stored: 10/s each
(docs/servers/2.x-3.x.md#telemetry-and-mqtt, row 5; docs/servers/4.x.md#telemetry-over-rest, row 2). A 3.9.1 server
on two cores took no more than 350 a second, with 64 and with 256 at a time; beyond 200 Python's threads take longer."""


@dataclass(frozen=True, slots=True)
class ServerGeneration:
    """What the rest of the client needs to know about a kind of server."""

    name: str
    """1.x, 2.x, 3.x, 4.x …"""
    version: str | None
    """As the server reports or the user gives it; None when neither does."""
    paging: Paging
    telemetry: TelemetryTraits
    forwarding: MakeForwarding
    widgets: WidgetStyle
    lists_alarms_of_tenant: bool
    """Whether there is `GET /api/alarms` (docs/servers/alarms.md#reading, row 7)."""


def generation_of(version: ServerVersion, *, is_reported: bool = True) -> ServerGeneration:
    """The generation of a version, or of a range of them by its lower end.

    `is_reported` is False for a version that is only concluded from how a server behaves.
    """
    old = version.major < 2
    # Unknown between 1.4 and 3.9.1: the careful assumption costs one point and one repeated write.
    is_as_4 = version.at_least(3, 9, 1)
    return ServerGeneration(
        name=f"{version.major}.x",
        version=str(version) if is_reported else None,
        paging=NumberPaging() if version.at_least(3) else TextPaging(),
        telemetry=TelemetryTraits(
            start_may_be_exclusive=not is_as_4,
            latest_is_last_written=not is_as_4,
            writes_at_once=_WRITES_IN_BATCHES if is_as_4 else _WRITES_BEFORE,
        ),
        forwarding=_plugin_and_rule if old else partial(RuleChainForwarding, version=version),
        widgets=WidgetStyle.FQN if version.at_least(4) else WidgetStyle.BUNDLE,
        lists_alarms_of_tenant=version.at_least(3, 3),
    )


def detect(session: Session) -> ServerGeneration:
    """Asks the server: one request from 3.3.3 on, two on 1.x, three in between.

    Raises PlatformError for a server of no known generation.
    """
    version = _reported_version(session)
    if version is not None:
        return generation_of(version)
    try:
        session.request("GET", "/api/plugins", expect=list)
    except NotFound:
        return generation_of(_version_by_paging(session), is_reported=False)
    except PermissionDenied as error:
        raise _not_allowed(session, "plugins", error) from error
    return generation_of(parse_server_version("1.0"), is_reported=False)


def _reported_version(session: Session) -> ServerVersion | None:
    """What /api/system/info says; None when there is no such thing (before 3.3.3)."""
    try:
        document = session.request("GET", "/api/system/info", expect=dict)
    except NotFound:
        return None
    text = document.get("version")
    version = ServerVersion.parse(text) if isinstance(text, str) else None
    if version is None or version.major < 2:
        raise UnexpectedAnswer(
            f"The server at {session.url} does not give a known version in GET /api/system/info ({str(text)[:60]!r}).",
            hint="Give it with --server-version, for example --server-version 4.3.1.",
        )
    return version


def _version_by_paging(session: Session) -> ServerVersion:
    """Tells 2.x from 3.0-3.3.2 by the form of one page; each ignores the parameters of the other."""
    path = "/api/ruleChains"
    try:
        page = session.request("GET", path, params={"limit": 1, "pageSize": 1, "page": 0}, expect=dict)
    except (NotFound, InvalidRequest, UnexpectedAnswer) as error:
        raise _unknown(session, error) from error
    except PermissionDenied as error:
        raise _not_allowed(session, "rule chains", error) from error
    if "totalPages" in page or "totalElements" in page:
        return parse_server_version(_OLDEST_OF_3)
    if "data" in page and "hasNext" in page:
        return parse_server_version("2.0")
    raise _unknown(session, None)


def _unknown(session: Session, error: PlatformError | None) -> PlatformError:
    reason = f" ({error.message.rstrip('.')})" if error is not None else ": its page has an unknown form"
    return PlatformError(
        f"The server at {session.url} accepts {session.username}, but is of no known version: it has no"
        f" GET /api/system/info (3.3.3 and later), no GET /api/plugins (1.x), and no GET /api/ruleChains (2.0 and"
        f" later){reason}.",
        hint="Check that --url names the platform itself; if it does, give its version with --server-version.",
    )


def _not_allowed(session: Session, what: str, error: PermissionDenied) -> PermissionDenied:
    return PermissionDenied(
        f"{session.username} may not see the {what} of {session.url}.",
        hint="Log in as a tenant administrator (--username).",
        **error.details,
    )


def _plugin_and_rule(session: Session, events: Events, _paging: Paging) -> Forwarding:
    return PluginRuleForwarding(session, events)
