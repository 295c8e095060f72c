from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pacifictool.errors import KafkaUnreachable, NotFound
from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.problems import ProblemCode, attribute_problems, code_of, forwarding_problems
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.rest import ForwardingState
from pacifictool.rest.forwarding import Difference, DifferenceKind, ForwardingNote, NoteCode, TopicConflict
from pacifictool.rest.forwarding.compare import differences
from pacifictool.scenario import parse_scenario, tutorial_scenario
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Settings

SETTINGS = Settings(
    url="http://127.0.0.1:1",
    username="tenant@thingsboard.org",
    password=None,
    mqtt=MqttEndpoint("127.0.0.1", 1),
    kafka=KafkaEndpoint("127.0.0.1:1"),
    platform_kafka="127.0.0.1:1",
)
PLUGIN = SimpleNamespace(name="Kafka", state="ACTIVE")
WORDS = "a text in any other language"


def codes(parts: dict[str, Any], *changes: Change, notes: tuple[ForwardingNote, ...] = ()) -> list[str]:
    """Codes of the problems on a platform that has `parts`, with these changes and notes."""
    state = ForwardingState(False, parts, {}, notes)
    platform = cast(Any, SimpleNamespace(forwarding=SimpleNamespace(plan=lambda *_: list(changes))))
    spec = forwarding_spec(SETTINGS, tutorial_scenario())
    return [str(problem.code) for problem in forwarding_problems(platform, spec, state, SETTINGS)]


def change(kind: str, *found: Difference) -> Change:
    return Change(Kind(kind), "ours", ChangeAction.CHANGE, found)


@pytest.mark.parametrize(
    ("kind", "difference", "code"),
    [
        ("rule", Difference(WORDS, DifferenceKind.DUPLICATE), "rule-twice"),
        ("rule", Difference.between("action.configuration.topic", "a", "b", "b"), "rule-topic-differs"),
        ("rule", Difference.between("weight", "1", "2", 2), "rule-differs"),
        ("rule-chain", Difference.between("Kafka.topicPattern", "a", "b", "b"), "rule-chain-topic-differs"),
        ("rule-chain", Difference(WORDS, DifferenceKind.STRUCTURE), "rule-chain-differs"),
        ("plugin", Difference.between("configuration.bootstrapServers", "a", "b", "127.0.0.1:1"), "platform-kafka"),
    ],
)
def test_the_kind_and_place_of_a_difference_decide_what_the_problem_is(
    kind: str, difference: Difference, code: str
) -> None:
    [found] = codes({kind: PLUGIN}, change(kind, difference))
    assert found.startswith(code)


def test_a_suspended_part_is_one_problem_and_what_is_missing_comes_first() -> None:
    suspended = SimpleNamespace(name="Kafka", state="SUSPENDED")
    state = Difference(WORDS, DifferenceKind.STATE)
    missing = Change(Kind.RULE, "ours", ChangeAction.CREATE)
    parts = {"plugin": suspended, "rule": None}
    assert codes(parts, change("plugin", state), missing) == ["rule-missing", "plugin-suspended"]


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (NoteCode.NAMESAKE, ["rule-namesake"]),
        (NoteCode.FORWARDED_TWICE, ["rule-chain-twice"]),
        (NoteCode.PROFILE_BYPASSES, ["device-profile-bypasses"]),
        (NoteCode.DUPLICATES, []),
        (NoteCode.UNUSUAL_ENTRY, []),
    ],
)
def test_the_code_of_a_note_decides_what_the_problem_is(note: NoteCode, expected: list[str]) -> None:
    assert codes({}, notes=(ForwardingNote(note, WORDS),)) == expected


def test_a_difference_has_its_place_and_the_servers_value() -> None:
    [found] = differences({"a": {"b": "x" * 100}}, {"a": {"b": "y" * 100}})
    assert (found.kind, found.place, found.actual) == (DifferenceKind.VALUE, "a.b", "y" * 100)
    assert found.as_found == f'a.b is "{"y" * 59}… instead of "{"x" * 59}…'
    [secret] = differences({"password": "s3cret"}, {"password": "other"})
    assert (secret.place, secret.actual, secret.as_found) == ("password", None, "password: differs")


def test_an_error_has_the_code_of_its_problem_or_its_kind() -> None:
    assert code_of(NotFound("There is no such thing.")) == "not-found"
    assert code_of(KafkaUnreachable("No.", advertised="a:1")) == ProblemCode.KAFKA_ADVERTISED


def test_a_part_that_serves_another_topic_is_all_there_is_to_report() -> None:
    conflict = TopicConflict(Kind.PLUGIN, "'P' (token 't')", ("theirs",), "ours")
    state = ForwardingState(False, {"plugin": PLUGIN, "rule": None}, {"plugin": WORDS}, (), (conflict,))

    def plan(*_: object) -> list[Change]:
        raise AssertionError("nothing can be planned")

    platform = cast(Any, SimpleNamespace(forwarding=SimpleNamespace(plan=plan)))
    spec = forwarding_spec(SETTINGS, tutorial_scenario())
    [problem] = forwarding_problems(platform, spec, state, SETTINGS)
    assert (problem.code, problem.part) == ("plugin-topic-differs", "plugin")
    assert problem.text == "The plugin 'P' (token 't') writes to the topic 'theirs' instead of 'ours'."
    assert "plugin_token under [forwarding]" in problem.fix


def test_attributes_of_every_scope_are_checked() -> None:
    scenario = parse_scenario(
        """
        [platform]
        device_type = "ColdRoom"
        [forwarding]
        topic = "t"
        attributes = ["site", "server:tier", "shared:size"]
        telemetry = ["temperature"]
        [[analytics]]
        name = "sites"
        group_by = ["site"]
        window = 10
        telemetry = { n = "count()" }
        [[devices]]
        name = "D"
        attributes = { site = "7", "server:tier" = "gold", "shared:size" = "XL" }
        telemetry = { temperature = { min = 1, max = 2 } }
        """,
        source="s.toml",
    )
    device = cast(Any, SimpleNamespace(name="D"))

    def found(**scopes: dict[str, Any]) -> list[tuple[str, bool, str]]:
        def get(_device: object, scope: str, keys: list[str] | None = None) -> dict[str, Any]:
            known = scopes.get(scope.partition("_")[0].lower(), {})
            return known if keys is None else {key: known[key] for key in keys if key in known}

        platform = cast(Any, SimpleNamespace(attributes=SimpleNamespace(get=get)))
        problems = attribute_problems(platform, scenario, scenario.devices[0], device)
        return [(str(problem.code), problem.certain, problem.text) for problem in problems]

    right: dict[str, dict[str, Any]] = {
        "client": {"deviceType": "ColdRoom", "site": 7},
        "server": {"tier": "gold"},
        "shared": {"size": "XL"},
    }
    assert found(**right) == []
    [(code, certain, text)] = found(**{**right, "server": {"tier": "lead"}})
    assert (code, certain) == ("zone-differs", False)
    assert "The server attribute tier of 'D' is 'lead'" in text
    [(code, certain, text)] = found(**{**right, "shared": {}})
    assert (code, certain) == ("zone-missing", False)
    assert "lacks the shared attribute size, and its readings do not count where they are grouped by it" in text
    [(code, certain, text)] = found(**{**right, "client": {"deviceType": "ColdRoom"}})
    assert (code, certain) == ("zone-missing", True)
    assert "which the rule requires" in text
    [(code, certain, text)] = found(**{**right, "server": {}, "shared": {"size": "XL", "tier": "gold"}})
    assert code == "attributes-in-wrong-scope"
    assert "has tier only as an attribute of SHARED_SCOPE; the rule reads those of SERVER_SCOPE" in text
    [(code, certain, text), *_] = found(**{**right, "client": {"deviceType": "Freezer", "site": "8"}})
    assert (code, certain) == ("device-type-differs", True)
