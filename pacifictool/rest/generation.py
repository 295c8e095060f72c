"""Which generation of servers answers, and what differs between them.

A new generation is one more `Generation` in this module, with its way of paging and of forwarding; nothing else in the
package asks what server it talks to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pacifictool.errors import NotFound, PermissionDenied, PlatformError
from pacifictool.rest.events import Events
from pacifictool.rest.forwarding import Forwarding, PluginRuleForwarding
from pacifictool.rest.paging import Paging, TextPaging
from pacifictool.rest.session import Session


@dataclass(frozen=True, slots=True)
class Generation:
    """What the rest of the client needs to know about a kind of server."""

    name: str
    paging: Paging
    forwarding: Callable[[Session, Events], Forwarding]


GENERATION_1 = Generation("1.x", TextPaging(), PluginRuleForwarding)


def detect(session: Session) -> Generation:
    """Asks the server, with one request on 1.x. Raises PlatformError for a generation that is not supported."""
    try:
        session.request("GET", "/api/plugins", expect=list)
    except NotFound:
        raise _unsupported(session) from None
    except PermissionDenied as error:
        raise PermissionDenied(
            f"{session.username} may not see the plugins of {session.url}.",
            hint="Log in as a tenant administrator (--username).",
            **error.details,
        ) from error
    return GENERATION_1


def _unsupported(session: Session) -> PlatformError:
    """Plugins are gone since 2.0; since 3.3.3 a server tells its version (platform-modern, section 1)."""
    try:
        version = session.request("GET", "/api/system/info", expect=dict).get("version")
    except PlatformError:
        version = None
    which = (
        f"is of version {version}" if isinstance(version, str) else "has no plugins and so is of version 2.0 or later"
    )
    return PlatformError(
        f"The server at {session.url} {which}; this release of pacifictool supports 1.x.",
        hint="Use a server of the 1.x generation, or a local one: pacifictool sandbox up",
        version=version,
    )
