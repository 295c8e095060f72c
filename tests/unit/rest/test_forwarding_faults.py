"""Faults that a sandbox does not produce on demand: broken connections, late events, tokens of other tenants."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import AlreadyExists, ForwardingFailed, Interrupted
from pacifictool.rest import ForwardingSpec, Platform, Session, tutorial_plugin, tutorial_rule
from pacifictool.rest.entities import Plugin
from pacifictool.rest.forwarding.lifecycle import ComponentLifecycle
from pacifictool.rest.forwarding.limiter import DeletionLimiter
from tests.support.scripted_platform import DROP, Reply, Request, ScriptedPlatform, platform_error
from tests.support.waiting import SOON_SECONDS

TENANT = {"entityType": "TENANT", "id": str(uuid.uuid4())}
OK = Reply(content_type="")
SPEC = ForwardingSpec(tutorial_plugin(), tutorial_rule())


class Components:
    """Plugins and rules of a scripted platform; a start is noted as successful."""

    def __init__(self, server: ScriptedPlatform) -> None:
        self.server = server
        self.stored: dict[str, list[dict[str, Any]]] = {"plugin": [], "rule": []}
        self.faults: list[str] = []
        for kind in self.stored:
            server.on("POST", f"/api/{kind}", lambda request, kind=kind: self.create(kind, request))  # type: ignore[misc]
            server.on("GET", f"/api/{kind}s", lambda _, kind=kind: Reply(json=self.stored[kind]))  # type: ignore[misc]

    def add(self, kind: str, document: dict[str, Any], state: str = "SUSPENDED", age_seconds: float = 0) -> str:
        identifier = str(uuid.uuid4())
        self.stored[kind].append(
            {
                **document,
                "id": {"entityType": kind.upper(), "id": identifier},
                "createdTime": int((time.time() - age_seconds) * 1000),
                "tenantId": TENANT,
                "state": state,
            }
        )
        self.server.on("POST", f"/api/{kind}/{identifier}/activate", OK)
        self.server.on("POST", f"/api/{kind}/{identifier}/suspend", OK)
        self.server.on("GET", f"/api/events/{kind.upper()}/{identifier}", events([]), events(["ACTIVATED"]))
        return identifier

    def create(self, kind: str, request: Request) -> Reply:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "lost on the way":
            return DROP
        self.add(kind, request.json)
        return DROP if fault == "response lost" else Reply(json=self.stored[kind][-1])


def events(names: list[str], *, error: str | None = None) -> Reply:
    """The event log, newest first; `error` is that of the newest."""
    return Reply(
        json={
            "data": [
                {
                    "id": {"id": str(uuid.UUID(int=len(names) - place))},
                    "createdTime": 1_795_000_000_000 - place,
                    "type": "LC_EVENT",
                    "body": {"event": name, "success": error is None or place > 0, "error": error},
                }
                for place, name in enumerate(names)
            ],
            "nextPageLink": None,
            "hasNext": False,
        }
    )


@pytest.fixture
def components(server: ScriptedPlatform) -> Components:
    return Components(server)


@pytest.mark.parametrize(
    "faults", [["response lost"], ["", "response lost"], ["lost on the way", "response lost", "lost on the way"]]
)
def test_broken_connections_make_no_duplicates(components: Components, platform: Platform, faults: list[str]) -> None:
    components.faults = list(faults)
    platform.forwarding.apply(SPEC)
    assert [len(stored) for stored in components.stored.values()] == [1, 1]
    for kind, stored in components.stored.items():
        identifier = stored[0]["id"]["id"]
        assert components.server.count("POST", f"/api/{kind}/{identifier}/activate") == 1


def test_a_token_reserved_by_another_tenant(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", "/api/plugin", platform_error(400, "API token is already reserved!", 31))
    server.on("GET", "/api/rules", Reply(json=[]))
    with pytest.raises(AlreadyExists) as caught:
        platform.forwarding.apply(SPEC)
    assert "'kafka-spark-streaming-sample'" in caught.value.message
    assert "another tenant" in caught.value.message
    assert caught.value.hint is not None


def test_what_is_active_is_not_activated_again(
    components: Components, server: ScriptedPlatform, platform: Platform
) -> None:
    assert SPEC.plugin is not None
    assert SPEC.rule is not None
    plugin = components.add("plugin", dict(SPEC.plugin), "ACTIVE", 3600)
    rule = components.add("rule", dict(SPEC.rule), "ACTIVE", 3600)
    for kind, identifier in (("PLUGIN", plugin), ("RULE", rule)):
        server.on("GET", f"/api/events/{kind}/{identifier}", events(["STARTED", "CREATED"]))
    assert {str(change.action) for change in platform.forwarding.apply(SPEC)} == {"unchanged"}
    assert not [request for request in server.requests if request.method == "POST"]


def test_a_start_is_classified_when_its_event_arrives(
    components: Components, server: ScriptedPlatform, platform: Platform
) -> None:
    assert SPEC.plugin is not None
    identifier = components.add("plugin", dict(SPEC.plugin))
    server.on(
        "GET",
        f"/api/events/PLUGIN/{identifier}",
        events([]),
        events(["CREATED"]),  # late, and not what was requested
        events(["STARTED", "CREATED"]),
        events(["ACTIVATED", "STARTED", "CREATED"], error="java.lang.RuntimeException: no broker"),
    )
    with pytest.raises(ForwardingFailed, match=r"does not run: java\.lang\.RuntimeException: no broker"):
        platform.forwarding.apply(ForwardingSpec(plugin=SPEC.plugin))


def test_a_server_that_says_nothing_about_a_start(
    components: Components, server: ScriptedPlatform, session: Session, platform: Platform, reporter: Any
) -> None:
    assert SPEC.plugin is not None
    identifier = components.add("plugin", dict(SPEC.plugin))
    server.on("GET", f"/api/events/PLUGIN/{identifier}", events([]))
    plugin = Plugin.from_json(components.stored["plugin"][0])
    lifecycle = ComponentLifecycle(session, platform.events, event_timeout_seconds=0.2)
    lifecycle.activate(plugin)
    assert "did not say within 0.2 s" in reporter.warnings[0]
    with pytest.raises(ForwardingFailed, match="the old reason"):
        lifecycle.restart(plugin, "the old reason")


def test_an_update_names_the_id_and_leaves_the_state_out(components: Components, platform: Platform) -> None:
    assert SPEC.plugin is not None
    identifier = components.add("plugin", {**SPEC.plugin, "name": "old name"})
    components.server.on("POST", "/api/plugin", Reply(json=components.stored["plugin"][0]))
    # The log is read before the update, before the start, and after it.
    log = f"/api/events/PLUGIN/{identifier}"
    components.server.on("GET", log, events([]), events([]), events(["ACTIVATED"]))
    platform.forwarding.apply(ForwardingSpec(plugin=SPEC.plugin))
    (update,) = (request.json for request in components.server.requests if request.path == "/api/plugin")
    assert update["id"] == {"entityType": "PLUGIN", "id": identifier}
    assert update["name"] == SPEC.plugin["name"]
    assert "state" not in update


class Clock:
    """A monotonic clock that tests move; waiting on its event moves it, too."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.stopped = False

    def __call__(self) -> float:
        return self.now

    def is_set(self) -> bool:
        return self.stopped

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.stopped


def test_at_most_three_deletions_in_any_minute(reporter: Any) -> None:
    clock = Clock()
    limiter = DeletionLimiter(stop=clock, reporter=reporter, clock=clock)  # type: ignore[arg-type]
    done = []
    for pause in (0, 10, 10, 0, 0, 0, 0, 200, 0, 0, 0):
        clock.now += pause
        limiter.wait()
        done.append(clock.now)
    assert all(later - earlier > 60 for earlier, later in zip(done, done[3:], strict=False))
    assert done[:4] == [0, 10, 20, 61]
    assert len(reporter.infos) == len(clock.waits) == 5
    assert "Waiting 41 s" in reporter.infos[0]


def test_runs_that_share_a_journal_share_the_limit(reporter: Any, tmp_path: Path) -> None:
    clock = Clock()
    clock.now = 1000.0
    journal = tmp_path / "state" / "deletions.json"
    for _ in range(4):  # each is a separate program
        DeletionLimiter(stop=clock, reporter=reporter, clock=clock, journal=journal).wait()  # type: ignore[arg-type]
    assert clock.waits == [61.0]
    assert json.loads(journal.read_text()) == [1000.0, 1000.0, 1000.0, 1061.0]

    for damaged in ("", "{", "7", '["x", 5000.0]'):
        journal.write_text(damaged)
        DeletionLimiter(stop=clock, reporter=reporter, clock=clock, journal=journal).wait()  # type: ignore[arg-type]
    assert clock.waits == [61.0]


def test_the_stop_signal_ends_the_wait_for_a_deletion(reporter: Any) -> None:
    stop = threading.Event()
    limiter = DeletionLimiter(stop=stop, reporter=reporter, deletions=1)
    limiter.wait()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        limiter.wait()
    assert time.monotonic() - began < SOON_SECONDS


def test_a_rule_is_silent_while_its_deletion_waits(
    components: Components, server: ScriptedPlatform, open_session: Callable[..., Session]
) -> None:
    assert SPEC.rule is not None
    stop = threading.Event()
    platform = Platform(open_session(stop=stop))
    identifiers = [components.add("rule", dict(SPEC.rule), "ACTIVE") for _ in range(4)]
    for identifier in identifiers:
        server.on("DELETE", f"/api/rule/{identifier}", OK)
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        platform.forwarding.remove(ForwardingSpec(rule=SPEC.rule))
    assert [server.count("POST", f"/api/rule/{one}/suspend") for one in identifiers] == [1, 1, 1, 1]
    assert sorted(server.count("DELETE", f"/api/rule/{one}") for one in identifiers) == [0, 1, 1, 1]
