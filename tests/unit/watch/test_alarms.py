"""Alarms of watched entities: how they are polled, and shown in a terminal."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import ConsoleDimensions

from pacifictool.console import Console
from pacifictool.errors import AuthenticationFailed
from pacifictool.rest import AlarmInfo, EntityAlarm, EntityId, Platform, Session
from pacifictool.scenario import tutorial_scenario
from pacifictool.server_version import parse_server_version
from pacifictool.watch.alarms import ENTITIES_PER_POLL, AlarmPoller
from pacifictool.watch.described import describe
from pacifictool.watch.flow import flows_of
from pacifictool.watch.model import PlatformState, Snapshot, Verdict, VerdictCode
from pacifictool.watch.states import AlarmsState, JobState, WatchedTopicState
from pacifictool.watch.terminal import fitted, line, view
from tests.support.fixtures import open_session, reporter, server, session
from tests.support.nasty_names import MARKUP, NASTY, unseen_in
from tests.support.recorded_documents import assert_described
from tests.support.scripted_platform import NOT_FOUND, Reply, Request, ScriptedPlatform, platform_error

__all__ = ["open_session", "reporter", "server", "session"]

NOW_MS = 1_795_477_560_000
MANY = 4 * ENTITIES_PER_POLL


def entity(number: int) -> EntityId:
    return EntityId.asset(f"eb54ece0-e799-11f1-9f43-2100000{number:05d}")


ENTITIES = {entity(number): f"Zone {number}" for number in range(MANY)}


def alarm(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": {"id": f"0c9a8f50-e799-11f1-9f43-2100000{number:05d}"},
        "type": "Storm",
        "severity": "MAJOR",
        "status": "ACTIVE_UNACK",
        "originator": entity(number).as_json(),
        "startTs": NOW_MS - 200_000,
        "endTs": NOW_MS,
        "details": {"windSpeed": 40.5},
        **more,
    }


class Alarms:
    """A server whose entities have the alarms that a test says."""

    def __init__(self, server: ScriptedPlatform) -> None:
        self.by_number: dict[int, list[dict[str, Any]]] = {}
        self.asked: list[int] = []
        self.reply: Reply | None = None
        server.on(
            "GET", "/api/alarms", lambda _: self._page([each for some in self.by_number.values() for each in some])
        )
        for number in range(MANY):
            server.on("GET", f"/api/alarm/ASSET/{entity(number).id}", self._of_entity)

    def _of_entity(self, request: Request) -> Reply:
        number = int(request.path[-5:])
        self.asked.append(number)
        return self._page(self.by_number.get(number, []))

    def _page(self, data: list[dict[str, Any]]) -> Reply:
        page = {"data": data, "nextPageLink": None, "hasNext": False, "totalPages": 1, "totalElements": len(data)}
        return self.reply or Reply(json=page)


@pytest.fixture
def alarms(server: ScriptedPlatform) -> Alarms:
    return Alarms(server)


def poller(session: Session, version: str) -> AlarmPoller:
    return AlarmPoller(Platform(session, server_version=parse_server_version(version)))


def shown(state: AlarmsState) -> list[str]:
    return [f"{each.info.severity} {each.entity}" for each in state.alarms]


@pytest.mark.parametrize("version", ["1.4", "2.5.6", "4.3.1"])
def test_the_most_urgent_first(alarms: Alarms, session: Session, version: str) -> None:
    alarms.by_number = {
        1: [alarm(1, severity="WARNING")],
        2: [alarm(2, startTs=NOW_MS - 5000, severity="CRITICAL")],
        3: [alarm(3, severity="CRITICAL")],
    }
    some = {entity(number): f"Zone {number}" for number in range(5)}
    polling = poller(session, version)
    state = polling.poll(some)
    assert shown(state) == ["CRITICAL Zone 2", "CRITICAL Zone 3", "WARNING Zone 1"]
    assert state.summary == "3 active alarms, first CRITICAL Storm of Zone 2"
    assert (state.unknown, state.notes) == (None, ())
    del alarms.by_number[2]
    assert shown(polling.poll(some)) == ["CRITICAL Zone 3", "WARNING Zone 1"]


def test_many_entities_are_one_request_on_later_servers(alarms: Alarms, session: Session) -> None:
    alarms.by_number = {number: [alarm(number)] for number in range(MANY)}
    state = poller(session, "4.3.1").poll(ENTITIES)
    assert (len(state.alarms), alarms.asked) == (MANY, [])


def test_many_entities_are_asked_for_in_turn_on_older_servers(alarms: Alarms, session: Session) -> None:
    polling = poller(session, "1.4")
    states = [polling.poll(ENTITIES) for _ in range(4)]
    assert sorted(alarms.asked) == list(range(MANY))
    assert (
        states[0].pending
        == f"{ENTITIES_PER_POLL} of {MANY} devices and assets have been asked for their alarms so far."
    )
    assert states[-1].pending is None
    assert states[-1].notes == (f"Alarms of {MANY} devices and assets are read within 4 s.",)


def test_a_cleared_alarm_disappears_with_the_next_poll_however_many_entities_there_are(
    alarms: Alarms, session: Session
) -> None:
    alarms.by_number = {7: [alarm(7)], MANY - 1: [alarm(MANY - 1)]}
    polling = poller(session, "1.4")
    for _ in range(5):
        state = polling.poll(ENTITIES)
    assert shown(state) == ["MAJOR Zone 7", f"MAJOR Zone {MANY - 1}"]
    alarms.asked.clear()
    del alarms.by_number[7]
    assert shown(polling.poll(ENTITIES)) == [f"MAJOR Zone {MANY - 1}"]
    assert len(alarms.asked) == ENTITIES_PER_POLL


def test_no_entity_is_forgotten_when_most_have_alarms(alarms: Alarms, session: Session) -> None:
    polling = poller(session, "1.4")
    alarms.by_number = {number: [alarm(number)] for number in range(MANY - 3)}
    for _ in range(12):
        state = polling.poll(ENTITIES)
    assert len(state.alarms) == MANY - 3
    alarms.by_number = {MANY - 1: [alarm(MANY - 1)]}
    for _ in range(12):
        state = polling.poll(ENTITIES)
    assert shown(state) == [f"MAJOR Zone {MANY - 1}"]


def test_what_is_deleted_or_no_longer_watched_has_no_alarms(
    server: ScriptedPlatform, alarms: Alarms, session: Session
) -> None:
    alarms.by_number = {1: [alarm(1)], 2: [alarm(2)]}
    some = {entity(number): f"Zone {number}" for number in (1, 2)}
    polling = poller(session, "1.4")
    assert len(polling.poll(some).alarms) == 2
    server.on("GET", f"/api/alarm/ASSET/{entity(1).id}", NOT_FOUND)
    assert shown(polling.poll(some)) == ["MAJOR Zone 2"]
    assert shown(polling.poll({entity(3): "Zone 3"})) == []


def test_failures(server: ScriptedPlatform, alarms: Alarms, session: Session) -> None:
    polling = poller(session, "4.3.1")
    alarms.reply = platform_error(429, "Too many requests", 33)
    state = polling.poll(ENTITIES)
    assert state.alarms == ()
    assert state.unknown is not None
    assert "Too many requests" in state.unknown
    alarms.reply = Reply(json={"data": [alarm(1, severity="PURPLE")], "totalElements": 1, "hasNext": False})
    assert "'PURPLE'" in str(polling.poll(ENTITIES).unknown)
    alarms.reply = platform_error(401, "Authentication failed", 10)
    with pytest.raises(AuthenticationFailed):
        polling.poll(ENTITIES)


# --- in a terminal -----------------------------------------------------------------------------------------------------


def entity_alarm(number: int = 1, **more: Any) -> EntityAlarm:
    return EntityAlarm(AlarmInfo.from_json(alarm(number, **more)), f"Zone {number}")


def snapshot(state: AlarmsState) -> Snapshot:
    words = describe(tutorial_scenario())
    platform, topic, job = PlatformState("http://localhost:8080", "1.x"), WatchedTopicState("t"), JobState()
    flows = flows_of(platform, topic, job, now_ms=NOW_MS, words=words)
    return Snapshot(NOW_MS, words, platform, state, topic, job, 0, (), flows, Verdict(VerdictCode.FLOWING, "Fine."))


def drawn(state: AlarmsState, width: int = 120, *, alarms: int | None = None) -> str:
    out = StringIO()
    Console(out, colour=False, width=width).print(view(snapshot(state), width=width, alarms=alarms))
    return out.getvalue()


SEVERITIES = ("CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE")
FIVE = tuple(entity_alarm(number, severity=severity) for number, severity in enumerate(SEVERITIES))


def test_a_table_of_alarms() -> None:
    text = drawn(AlarmsState(FIVE))
    assert "5 active alarms " in text
    assert text.index("CRITICAL") < text.index("INDETERMINATE")
    [row] = [each for each in text.splitlines() if "MINOR" in each]
    for part in ("Storm", "Zone 2", "3 min ago", "windSpeed: 40.5"):
        assert part in row
    cut = drawn(AlarmsState(FIVE), alarms=2)
    assert "5 active alarms (showing 2 of 5)" in cut
    assert "MINOR" not in cut


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_alarms_fit_the_width(width: int) -> None:
    wide = AlarmsState((entity_alarm(type="Storm " * 20, details={"x": "y" * 500}),))
    text = drawn(wide, width)
    assert max(map(len, text.splitlines())) <= width
    assert "MAJOR" in text


def test_a_low_terminal_has_one_line_about_alarms() -> None:
    for height in (40, 14, 8):
        low = Console(StringIO(), colour=False, width=100)
        low.size = ConsoleDimensions(100, height)
        lines = low.render_lines(fitted(snapshot(AlarmsState(FIVE)), low, ""), pad=False)
        text = "\n".join("".join(piece.text for piece in row) for row in lines)
        assert ("Severity" in text) is (height == 40)
        assert "CRITICAL" in text


def test_a_terminal_without_alarms() -> None:
    assert "Alarms  none active" in drawn(AlarmsState())
    assert "Alarms  none found so far" in drawn(AlarmsState(pending="5 of 9 so far"))
    assert "Alarms  unknown. It is late." in drawn(AlarmsState(unknown="It is late."))
    down = replace(snapshot(AlarmsState(unknown="down")), platform=PlatformState("url", unknown="down"))
    out = StringIO()
    Console(out, colour=False, width=120).print(view(down, width=120))
    assert "Alarms  unknown\n" in out.getvalue()
    assert "alarm" not in line(snapshot(AlarmsState()))


def test_alarms_in_a_plain_line() -> None:
    assert "5 active alarms, first CRITICAL Storm of Zone 0" in line(snapshot(AlarmsState(FIVE)))
    assert "1 active alarm: MAJOR Storm of Zone 1" in line(snapshot(AlarmsState((entity_alarm(),))))


def test_alarms_in_a_document() -> None:
    state = AlarmsState(FIVE, notes=("A note.",))
    document = snapshot(state).as_document()
    assert_described("watch", document)
    assert [each["severity"] for each in document["alarms"]] == list(SEVERITIES)
    assert document["alarms"][0] == FIVE[0].as_document()
    assert (document["alarms_total"], document["alarms_unknown"], document["notes"]) == (5, None, ["A note."])
    partial = snapshot(replace(state, pending="5 of 9 so far.")).as_document()
    assert (partial["alarms_total"], partial["alarms_pending"]) == (None, "5 of 9 so far.")
    assert partial["notes"] == ["A note.", "5 of 9 so far."]
    lost = snapshot(replace(state, unknown="down")).as_document()
    assert (len(lost["alarms"]), lost["alarms_total"], lost["alarms_unknown"]) == (5, None, "down")


@pytest.mark.parametrize("name", [*NASTY, *MARKUP])
def test_types_and_details_are_data(name: str) -> None:
    text = drawn(AlarmsState((entity_alarm(type=name, details={name: name}),)), 200)
    assert unseen_in(text) == []
    out = line(snapshot(AlarmsState((entity_alarm(type=name),))))
    assert name in out


@pytest.mark.parametrize("start_ms", [0, 2**63 - 1])
def test_strange_times(start_ms: int) -> None:
    assert "Storm" in drawn(AlarmsState((entity_alarm(startTs=start_ms),)))
