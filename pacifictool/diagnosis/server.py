"""Checks of the platform over REST: who answers, whether it lets us in, of which generation it is, its clock."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from time import monotonic

from pacifictool.diagnosis.causes import Cause, cause_of
from pacifictool.diagnosis.checks import Check, Finding, failed, ok, warning
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.errors import AuthenticationFailed
from pacifictool.rest import NO_RETRY, Platform
from pacifictool.settings import Secret

GROUP = "Platform"
TIMEOUT_SECONDS = (2.0, 3.0)
"""To connect; between two pieces of an answer. Whoever is slower than this needs a look, too."""

CLOCK_TOLERANCE_SECONDS = 2.0
_TOKEN_SECONDS = 1.0
"""A token tells the server's time in whole seconds, rounded down."""


def server_checks(around: Surroundings) -> list[Check]:
    """See the module."""
    return [
        Check("rest", GROUP, "REST", lambda: _rest(around)),
        Check("login", GROUP, "Login", lambda: _login(around), ("rest",)),
        Check("generation", GROUP, "Generation", lambda: _generation(around), ("login",)),
        Check("clock-platform", GROUP, "Clock of the platform", lambda: _clock(around), ("login",)),
    ]


def _rest(around: Surroundings) -> Iterator[Finding]:
    """One login tells both whether a platform answers and whether it lets us in."""
    settings = around.settings
    # Nothing is known of the server yet, so an empty password is as good a question as any.
    known = settings.password or Secret("")
    platform = around.platform = Platform.connect(
        dataclasses.replace(settings, password=known), stop=around.stop, retry=NO_RETRY, timeout_seconds=TIMEOUT_SECONDS
    )
    began = monotonic()
    try:
        platform.session.log_in()
    except AuthenticationFailed as error:
        around.login_failure = error
    around.login_seconds = monotonic() - began
    yield ok(f"a Pacificsoft server answers at {settings.url} in {around.login_seconds * 1000:.0f} ms")


def _login(around: Surroundings) -> Iterator[Finding]:
    settings = around.settings
    if settings.api_key is None:
        settings.require_password()
    if (failure := around.login_failure) is not None:
        yield failed(
            cause_of(failure),
            failure.message,
            failure.hint or "Check --username and the password (PACIFICTOOL_PASSWORD, --password-file).",
        )
        return
    user = around.the_platform().whoami()
    if user.authority == "TENANT_ADMIN":
        yield ok(f"{user.email}, tenant administrator")
    else:
        yield failed(
            Cause.NOT_AN_ADMINISTRATOR,
            f"{user.email} is no tenant administrator but {user.authority}.",
            "Log in as a tenant administrator: --username NAME (PACIFICTOOL_USERNAME, PACIFICTOOL_PASSWORD)",
        )


def _generation(around: Surroundings) -> Iterator[Finding]:
    platform = around.the_platform()
    around.generation = platform.generation()
    way = platform.forwarding.describe(around.spec)
    version = f" (version {platform.version})" if platform.version else ""
    yield ok(f"{around.generation}{version}: forwards by {way}")


def _clock(around: Surroundings) -> Iterator[Finding]:
    """Telling only what is certain: the server's clock is known to within a second and the time of the login."""
    late = around.the_platform().session.server_time_ms() / 1000 - time.time()
    early = late + _TOKEN_SECONDS + around.login_seconds
    if late > CLOCK_TOLERANCE_SECONDS:
        yield warning(Cause.CLOCK_SKEW, f"At least {late:.0f} s ahead of this machine's.", _set_clock())
    elif early < -CLOCK_TOLERANCE_SECONDS:
        yield warning(Cause.CLOCK_SKEW, f"At least {-early:.0f} s behind this machine's.", _set_clock())
    else:
        yield ok(f"between {late:+.1f} s and {early:+.1f} s of this machine's")


def _set_clock() -> str:
    return (
        "Let both machines keep their clocks by NTP (timedatectl set-ntp true): readings carry this machine's time,"
        " means the broker's."
    )
