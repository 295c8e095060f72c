"""Checks of the platform over REST: connection, login, generation, clock, and its forwarding to Kafka."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from time import monotonic

from pacifictool.doctor.checks import CheckContext, CheckResult, DoctorCheck, failed, ok, warning
from pacifictool.errors import AuthenticationFailed
from pacifictool.problems import DUPLICATES, Problem, ProblemCode, code_of, forwarding_problems
from pacifictool.rest import NO_RETRY, EntityId, ForwardingState, LifecycleEvent, Platform, Plugin, Rule, RuleChain
from pacifictool.rest.forwarding.node_events import node_id
from pacifictool.settings import Secret
from pacifictool.tools.times import utc_time

GROUP, FORWARDING_GROUP = "Platform", "Forwarding"
TIMEOUT_SECONDS = (2.0, 3.0)
"""To connect; between two pieces of a response. A platform that is slower than this has a problem, too."""

CLOCK_TOLERANCE_SECONDS = 2.0
_TOKEN_SECONDS = 1.0
"""A token holds the server's time in whole seconds, rounded down."""
_EVENTS_READ = 20
_TITLES = {
    "plugin": "Plugin",
    "rule": "Rule",
    "rule-chain": "Rule chain",
    "root-chain": "Root rule chain",
    "device-profile": "Device profile",
}


def _rest(context: CheckContext) -> Iterator[CheckResult]:
    """One login shows both whether a platform responds and whether it accepts the user."""
    # An empty password serves as well: only a platform refuses it properly.
    settings = dataclasses.replace(context.settings, password=context.settings.password or Secret(""))
    platform = context.platform = Platform.connect(
        settings, stop=context.stop, retry=NO_RETRY, timeout_seconds=TIMEOUT_SECONDS
    )
    began = monotonic()
    try:
        platform.session.log_in()
    except AuthenticationFailed as error:
        context.login_failure = error
    context.login_seconds = monotonic() - began
    yield ok(f"a Pacificsoft server responds at {settings.url} in {context.login_seconds * 1000:.0f} ms")


def _login(context: CheckContext) -> Iterator[CheckResult]:
    if context.settings.api_key is None:
        context.settings.require_password()
    if (failure := context.login_failure) is not None:
        fix = failure.hint or "Check --username and the password (PACIFICTOOL_PASSWORD, --password-file)."
        yield failed(code_of(failure), failure.message, fix)
        return
    user = context.require_platform().whoami()
    if user.authority == "TENANT_ADMIN":
        yield ok(f"{user.email}, tenant administrator")
    else:
        yield failed(
            ProblemCode.NOT_AN_ADMINISTRATOR,
            f"{user.email} is not a tenant administrator but {user.authority}.",
            "Log in as a tenant administrator: --username NAME (PACIFICTOOL_USERNAME, PACIFICTOOL_PASSWORD)",
        )


def _generation(context: CheckContext) -> Iterator[CheckResult]:
    platform = context.require_platform()
    context.generation = platform.generation()
    version = f" (version {platform.version})" if platform.version else ""
    yield ok(f"{context.generation}{version}: forwards by {platform.forwarding.describe(context.spec)}")


def _clock(context: CheckContext) -> Iterator[CheckResult]:
    """Reports only what is certain: the server's clock is known to within a second and the time of the login."""
    latest = context.require_platform().session.server_time_ms() / 1000 - time.time()
    earliest = latest + _TOKEN_SECONDS + context.login_seconds
    fix = (
        "Synchronise the clocks of both machines by NTP (timedatectl set-ntp true): readings have this machine's time,"
        " means the broker's."
    )
    if latest > CLOCK_TOLERANCE_SECONDS:
        yield warning(ProblemCode.CLOCK_SKEW, f"At least {latest:.0f} s ahead of this machine's.", fix)
    elif earliest < -CLOCK_TOLERANCE_SECONDS:
        yield warning(ProblemCode.CLOCK_SKEW, f"At least {-earliest:.0f} s behind this machine's.", fix)
    else:
        yield ok(f"between {latest:+.1f} s and {earliest:+.1f} s of this machine's")


# --- forwarding ------------------------------------------------------------------------------------------------------


def _forwarding(context: CheckContext) -> Iterator[CheckResult]:
    """Plugin and rule, or rule chain: their state, last lifecycle events and duplicates."""
    platform = context.require_platform()
    state = platform.forwarding.inspect(context.spec)
    problems = forwarding_problems(platform, context.spec, state, context.settings)
    for kind, title in _TITLES.items():
        own = [problem for problem in problems if problem.part == kind and problem.code not in DUPLICATES]
        if own:
            yield from (_problem_result(platform, state, problem) for problem in own)
        elif state.parts.get(kind) is not None:
            yield ok(_describe(platform, state, kind), name=kind, title=title)
    # The name `twins` stays, as scripts may use it.
    duplicates = [problem for problem in problems if problem.code in DUPLICATES]
    if not duplicates:
        suspended = len(state.parts.get("duplicates") or ())
        yield ok(f"none{f' active; {suspended} suspended' if suspended else ''}", name="twins", title="Duplicates")
    for problem in duplicates:
        yield failed(problem.code, problem.text, problem.fix, name="twins", title="Duplicates")


def _problem_result(platform: Platform, state: ForwardingState, problem: Problem) -> CheckResult:
    report = failed if problem.certain else warning
    text, part = problem.text, state.parts.get(problem.part)
    if isinstance(part, Plugin | Rule | RuleChain) and (event := _last_event(platform, part)):
        text += f" Its last event: {_event_text(event)}."
    return report(problem.code, text, problem.fix, name=problem.part, title=_TITLES[problem.part])


def _describe(platform: Platform, state: ForwardingState, kind: str) -> str:
    part = state.parts[kind]
    text = f"{part.name!r} is {part.state if isinstance(part, Plugin | Rule) else 'as in the scenario'}"
    if event := _last_event(platform, part):
        text += f"; its last event: {_event_text(event)}"
    nodes = state.parts.get("nodes")
    if isinstance(part, RuleChain) and nodes:
        text += f"; all {len(nodes)} nodes run"
        events = [
            (event, node.get("name"))
            for node in nodes
            if (event := _newest_event(platform, EntityId.rule_node(node_id(node)), part.tenant_id)) is not None
        ]
        if events:
            event, name = max(events, key=lambda pair: pair[0].created_time)
            text += f", the last event: {str(name)!r} {_event_text(event)}"
    return text


def _last_event(platform: Platform, part: Plugin | Rule | RuleChain) -> LifecycleEvent | None:
    return _newest_event(platform, part.entity_id, part.tenant_id)


def _newest_event(platform: Platform, entity: EntityId, tenant_id: str) -> LifecycleEvent | None:
    return next(iter(platform.events.lifecycle(entity, tenant_id, _EVENTS_READ)), None)


def _event_text(event: LifecycleEvent) -> str:
    outcome = "succeeded" if event.success else f"failed ({event.reason})"
    return f"{event.event} {outcome}, {utc_time(event.created_time):%Y-%m-%d %H:%M:%S} UTC"


PLATFORM_CHECKS = (
    DoctorCheck("rest", GROUP, "REST", _rest),
    DoctorCheck("login", GROUP, "Login", _login, ("rest",)),
    DoctorCheck("generation", GROUP, "Generation", _generation, ("login",)),
    DoctorCheck("clock-platform", GROUP, "Clock of the platform", _clock, ("login",)),
)
FORWARDING_CHECKS = (
    DoctorCheck("forwarding", FORWARDING_GROUP, "Forwarding to Kafka", _forwarding, ("generation",), seconds=8.0),
)
