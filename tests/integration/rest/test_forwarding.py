from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

import pytest

from pacifictool.errors import AlreadyExists, DescriptorError, ForwardingFailed, InvalidRequest, NotFound, OtherTopic
from pacifictool.plan import Change
from pacifictool.rest import ForwardingSpec, Platform, Plugin, Rule, tutorial_plugin, tutorial_rule
from pacifictool.rest.entities import ACTIVE, SUSPENDED
from pacifictool.rest.forwarding import NoteCode
from pacifictool.rest.forwarding.lifecycle import ComponentLifecycle
from tests.support.waiting import SOON_SECONDS

NOBODY_THERE = "127.0.0.1:1"
UNRESOLVABLE = "nosuch.invalid:9092"
BROKEN_FILTER = "this is not JavaScript ("


@pytest.fixture
def spec(unique: str) -> ForwardingSpec:
    """The tutorial's plugin and rule with the test's own names and token."""
    token = f"kafka-{unique}"
    return ForwardingSpec(
        plugin={**tutorial_plugin(), "apiToken": token, "name": f"Plugin {unique}"},
        rule={**tutorial_rule(), "pluginToken": token, "name": f"Rule {unique}"},
        bootstrap_servers=NOBODY_THERE,
        topic="weather",
    )


@pytest.fixture(autouse=True)
def tidy(real: Platform) -> Any:
    """Leaves no active rule behind: every test shares one sandbox."""
    yield
    for rule in rules(real):
        if not rule.is_system and rule.name.startswith("Rule "):
            real.session.request("POST", f"/api/rule/{rule.id}/suspend")


def plugins(platform: Platform) -> list[Plugin]:
    return [Plugin.from_json(item) for item in platform.session.request("GET", "/api/plugins", expect=list)]


def rules(platform: Platform) -> list[Rule]:
    return [Rule.from_json(item) for item in platform.session.request("GET", "/api/rules", expect=list)]


def plugin_of(platform: Platform, spec: ForwardingSpec) -> Plugin:
    assert spec.plugin is not None
    (found,) = (plugin for plugin in plugins(platform) if plugin.api_token == spec.plugin["apiToken"])
    return found


def rules_of(platform: Platform, spec: ForwardingSpec) -> list[Rule]:
    assert spec.rule is not None
    return [rule for rule in rules(platform) if rule.name == spec.rule["name"]]


def actions(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.kind, str(change.action)) for change in changes]


def with_configuration(spec: ForwardingSpec, **configuration: Any) -> ForwardingSpec:
    assert spec.plugin is not None
    merged = {**spec.plugin["configuration"], **configuration}
    return dataclasses.replace(spec, plugin={**spec.plugin, "configuration": merged}, bootstrap_servers=None)


def with_filter(spec: ForwardingSpec, script: str) -> ForwardingSpec:
    assert spec.rule is not None
    first, *others = spec.rule["filters"]
    return dataclasses.replace(
        spec, rule={**spec.rule, "filters": [{**first, "configuration": {"filter": script}}, *others]}
    )


def test_created_then_unchanged(real: Platform, spec: ForwardingSpec) -> None:
    forwarding = real.forwarding
    assert forwarding.generation == "1.x"
    assert not forwarding.inspect(spec).ready
    planned = forwarding.plan(spec)
    assert actions(planned) == [("plugin", "created"), ("rule", "created")]
    assert rules_of(real, spec) == []  # planning touches nothing
    assert forwarding.apply(spec) == planned
    assert forwarding.inspect(spec).ready
    assert actions(forwarding.apply(spec)) == [("plugin", "unchanged"), ("rule", "unchanged")]
    plugin, (rule,) = plugin_of(real, spec), rules_of(real, spec)
    assert (plugin.state, rule.state) == (ACTIVE, ACTIVE)
    assert plugin.configuration is not None
    assert plugin.configuration["bootstrapServers"] == NOBODY_THERE
    assert rule.raw["action"]["configuration"]["topic"] == "weather"


def test_what_differs_is_said_and_changed_in_place(real: Platform, spec: ForwardingSpec) -> None:
    real.forwarding.apply(spec)
    plugin, (rule,) = plugin_of(real, spec), rules_of(real, spec)
    other = dataclasses.replace(with_filter(spec, "true"), bootstrap_servers="127.0.0.1:2")
    changes = real.forwarding.plan(other)
    assert actions(changes) == [("plugin", "changed"), ("rule", "changed")]
    assert changes[0].differences == (f'configuration.bootstrapServers: "127.0.0.1:2" instead of "{NOBODY_THERE}"',)
    assert changes[1].differences[0].startswith('filters[1].configuration.filter: "true" instead of "typeof cs')
    real.forwarding.apply(other)
    assert plugin_of(real, spec).id == plugin.id
    assert [one.id for one in rules_of(real, spec)] == [rule.id]
    assert rules_of(real, spec)[0].state == ACTIVE
    assert actions(real.forwarding.plan(other)) == [("plugin", "unchanged"), ("rule", "unchanged")]


def test_what_the_server_has_beyond_the_wish_stays(real: Platform, spec: ForwardingSpec) -> None:
    richer = with_configuration(spec, bootstrapServers=NOBODY_THERE, clientNote="keep me")
    real.forwarding.apply(richer)
    poorer = dataclasses.replace(spec, bootstrap_servers="127.0.0.1:2")
    real.forwarding.apply(poorer)
    configuration = plugin_of(real, spec).configuration
    assert configuration is not None
    assert (configuration["clientNote"], configuration["bootstrapServers"]) == ("keep me", "127.0.0.1:2")


def test_a_run_that_stopped_midway_is_finished_by_the_next(real: Platform, spec: ForwardingSpec) -> None:
    first = real.forwarding.plan(spec)[0]
    assert first.apply is not None
    first.apply()
    real.session.request("POST", f"/api/plugin/{plugin_of(real, spec).id}/suspend")
    changes = real.forwarding.apply(spec)
    assert actions(changes) == [("plugin", "changed"), ("rule", "created")]
    assert changes[0].differences == ("state: ACTIVE instead of SUSPENDED",)
    assert real.forwarding.inspect(spec).ready


def test_importing_without_starting(real: Platform, spec: ForwardingSpec) -> None:
    quiet = dataclasses.replace(spec, activate=False)
    real.forwarding.apply(quiet)
    assert (plugin_of(real, spec).state, rules_of(real, spec)[0].state) == (SUSPENDED, SUSPENDED)
    assert actions(real.forwarding.apply(quiet)) == [("plugin", "unchanged"), ("rule", "unchanged")]
    assert real.forwarding.inspect(spec).ready is False


def test_one_of_the_two_alone(real: Platform, spec: ForwardingSpec) -> None:
    only_rule = dataclasses.replace(spec, plugin=None)
    with pytest.raises(NotFound, match="no plugin with the API token") as caught:
        real.forwarding.apply(only_rule)
    assert caught.value.hint is not None
    assert "import plugin" in caught.value.hint
    assert actions(real.forwarding.apply(dataclasses.replace(spec, rule=None))) == [("plugin", "created")]
    assert actions(real.forwarding.apply(only_rule)) == [("rule", "created")]


def test_a_plugin_that_is_active_but_does_not_run(real: Platform, spec: ForwardingSpec) -> None:
    broken = dataclasses.replace(spec, bootstrap_servers=UNRESOLVABLE)
    with pytest.raises(ForwardingFailed) as caught:
        real.forwarding.apply(broken)
    assert "Failed to construct kafka producer" in caught.value.message
    assert UNRESOLVABLE in caught.value.message
    assert "\n" not in caught.value.message
    assert plugin_of(real, spec).state == ACTIVE
    assert rules_of(real, spec) == []  # the rule is not created before its plugin runs
    state = real.forwarding.inspect(broken)
    assert not state.ready
    assert "kafka producer" in state.failures["plugin"]
    plan = real.forwarding.plan(broken)
    assert actions(plan) == [("plugin", "changed"), ("rule", "created")]
    assert "it did not start" in plan[0].differences[0]
    with pytest.raises(ForwardingFailed, match="kafka producer"):
        real.forwarding.apply(broken)
    real.forwarding.apply(spec)
    assert real.forwarding.inspect(spec).ready


def test_an_update_that_breaks_a_running_plugin(real: Platform, spec: ForwardingSpec) -> None:
    real.forwarding.apply(spec)
    with pytest.raises(ForwardingFailed, match="kafka producer"):
        real.forwarding.apply(dataclasses.replace(spec, bootstrap_servers=UNRESOLVABLE))
    real.forwarding.apply(spec)
    assert real.forwarding.inspect(spec).ready


def test_a_rule_whose_filter_does_not_compile(real: Platform, spec: ForwardingSpec) -> None:
    broken = with_filter(spec, BROKEN_FILTER)
    with pytest.raises(ForwardingFailed, match=r"rule .* is ACTIVE, but does not run"):
        real.forwarding.apply(broken)
    with pytest.raises(ForwardingFailed, match=r"rule .* is ACTIVE, but does not run"):
        real.forwarding.apply(broken)
    assert len(rules_of(real, spec)) == 1
    assert actions(real.forwarding.apply(spec)) == [("plugin", "unchanged"), ("rule", "changed")]
    assert real.forwarding.inspect(spec).ready


def test_duplicates_are_suspended_and_reported(real: Platform, spec: ForwardingSpec, reporter: Any) -> None:
    real.forwarding.apply(spec)
    (first,) = rules_of(real, spec)
    duplicate = Rule.from_json(real.session.request("POST", "/api/rule", json=spec.wanted_rule(), expect=dict))
    real.session.request("POST", f"/api/rule/{duplicate.id}/activate")
    state = real.forwarding.inspect(spec)
    assert len(state.notes) == 1
    assert first.id in state.notes[0]
    assert duplicate.id in state.notes[0]
    changes = real.forwarding.apply(spec)
    assert actions(changes) == [("plugin", "unchanged"), ("rule", "unchanged"), ("rule", "changed")]
    assert changes[2].differences == (f"duplicate {duplicate.id}: suspended",)
    assert {rule.id: rule.state for rule in rules_of(real, spec)} == {first.id: ACTIVE, duplicate.id: SUSPENDED}
    assert state.notes[0] in reporter.warnings
    assert actions(real.forwarding.plan(spec)) == [("plugin", "unchanged"), ("rule", "unchanged")]


def test_a_rule_of_the_same_name_at_another_plugin_is_left_alone(
    real: Platform, spec: ForwardingSpec, unique: str
) -> None:
    assert spec.rule is not None
    assert spec.plugin is not None
    other = ForwardingSpec(
        plugin={**spec.plugin, "apiToken": f"other-{unique}"}, rule={**spec.rule, "pluginToken": f"other-{unique}"}
    )
    real.forwarding.apply(other)
    real.forwarding.apply(spec)
    assert len(rules_of(real, spec)) == 2
    assert "is left alone" in real.forwarding.inspect(spec).notes[0]
    assert actions(real.forwarding.remove(spec)) == [("rule", "deleted"), ("plugin", "deleted")]
    (left,) = rules_of(real, spec)
    assert (left.plugin_token, left.state) == (f"other-{unique}", ACTIVE)


def test_removal_leaves_nothing_and_is_content_with_nothing(real: Platform, spec: ForwardingSpec) -> None:
    real.forwarding.apply(spec)
    plan = real.forwarding.plan_removal(spec)
    assert actions(plan) == [("rule", "deleted"), ("plugin", "deleted")]
    assert len(rules_of(real, spec)) == 1  # planning touches nothing
    assert real.forwarding.remove(spec) == plan
    assert rules_of(real, spec) == []
    assert real.forwarding.remove(spec) == []


def test_a_plugin_that_others_use_stays(real: Platform, spec: ForwardingSpec, unique: str, reporter: Any) -> None:
    assert spec.rule is not None
    real.forwarding.apply(spec)
    real.session.request("POST", "/api/rule", json={**spec.rule, "name": f"Rule of others {unique}"})
    removed = real.forwarding.remove(spec)
    assert actions(removed) == [("rule", "deleted"), ("plugin", "unchanged")]
    assert f"Rule of others {unique}" in removed[1].differences[0]
    assert plugin_of(real, spec).state == ACTIVE
    assert any("stays" in warning for warning in reporter.warnings)


def test_what_serves_another_topic_is_neither_changed_nor_deleted(real: Platform, spec: ForwardingSpec) -> None:
    """Two scenarios with the names of one."""
    real.forwarding.apply(spec)
    plugin, (rule,) = plugin_of(real, spec), rules_of(real, spec)
    other = dataclasses.replace(with_filter(spec, "true"), topic="other", bootstrap_servers="127.0.0.1:2")
    for attempt in (real.forwarding.plan, real.forwarding.apply, real.forwarding.plan_removal, real.forwarding.remove):
        with pytest.raises(OtherTopic) as refused:
            attempt(other)
        assert f"The rule {rule.name!r} writes to the topic 'weather' instead of 'other'." in refused.value.message
        assert refused.value.hint is not None
        assert "rule and plugin_token under [forwarding]" in refused.value.hint
    assert [conflict.kind for conflict in real.forwarding.inspect(other).conflicts] == ["rule"]
    assert plugin_of(real, spec).raw == plugin.raw
    assert [one.raw for one in rules_of(real, spec)] == [rule.raw]
    assert real.forwarding.inspect(spec).conflicts == ()


def test_a_rule_of_the_same_name_and_plugin_for_another_topic_is_reported_and_left_alone(
    real: Platform, spec: ForwardingSpec
) -> None:
    real.forwarding.apply(spec)
    elsewhere = copy.deepcopy(dict(rules_of(real, spec)[0].raw))
    elsewhere["action"]["configuration"]["topic"] = "elsewhere"
    document = {key: elsewhere[key] for key in elsewhere if key not in ("id", "state")}
    kept = real.session.request("POST", "/api/rule", json=document, expect=dict)
    state = real.forwarding.inspect(spec)
    assert [note.code for note in state.notes] == [NoteCode.NAMESAKE]
    assert "for the topic 'elsewhere'; it is left alone" in state.notes[0]
    assert actions(real.forwarding.plan(spec, state)) == [("plugin", "unchanged"), ("rule", "unchanged")]
    assert actions(real.forwarding.remove(spec)) == [("rule", "deleted"), ("plugin", "unchanged")]
    assert [rule.id for rule in rules_of(real, spec)] == [kept["id"]["id"]]


def test_a_plugin_alone_serves_the_topics_of_its_rules(real: Platform, spec: ForwardingSpec, unique: str) -> None:
    """Its token is ours, its only rule is somebody else's."""
    real.forwarding.apply(spec)
    assert spec.rule is not None
    mine = dataclasses.replace(spec, rule={**spec.rule, "name": f"Rule of mine {unique}"}, topic="mine")
    [conflict] = real.forwarding.inspect(mine).conflicts
    assert (conflict.kind, conflict.topics, conflict.wanted) == ("plugin", ("weather",), "mine")
    with pytest.raises(OtherTopic):
        real.forwarding.apply(mine)
    # Importing the plugin alone says nothing of topics.
    assert real.forwarding.plan(dataclasses.replace(spec, rule=None, topic=None))


def test_a_class_that_the_server_lacks(real: Platform, spec: ForwardingSpec) -> None:
    assert spec.plugin is not None
    strange = dataclasses.replace(spec, plugin={**spec.plugin, "clazz": "org.example.NoSuchPlugin"}, rule=None)
    with pytest.raises(ForwardingFailed, match=r"does not know the class org\.example\.NoSuchPlugin"):
        real.forwarding.apply(strange)


def test_other_refusals_keep_the_servers_words(real: Platform, spec: ForwardingSpec) -> None:
    assert spec.plugin is not None
    empty = dataclasses.replace(spec, plugin={**spec.plugin, "configuration": {}}, bootstrap_servers=None, rule=None)
    with pytest.raises(InvalidRequest, match="Filters configuration is not valid"):
        real.forwarding.apply(empty)


@pytest.mark.parametrize("token", ["telemetry", "time"])
def test_a_token_that_belongs_to_something_else(real: Platform, spec: ForwardingSpec, token: str) -> None:
    assert spec.plugin is not None
    taken = dataclasses.replace(spec, plugin={**spec.plugin, "apiToken": token}, rule=None)
    for attempt in (real.forwarding.plan, real.forwarding.apply, real.forwarding.remove):
        with pytest.raises(AlreadyExists, match=f"'{token}' belongs to the plugin"):
            attempt(taken)


def test_a_plugin_and_a_rule_that_do_not_belong_together() -> None:
    with pytest.raises(DescriptorError, match="belongs to a plugin with the token"):
        ForwardingSpec(plugin={**tutorial_plugin(), "apiToken": "x"}, rule=tutorial_rule())


def test_descriptors_are_not_touched_by_what_is_put_in_their_place() -> None:
    plugin, rule = tutorial_plugin(), tutorial_rule()
    spec = ForwardingSpec(plugin, rule, "kafka:29092", "t")
    wanted_plugin, wanted_rule = spec.wanted_plugin(), spec.wanted_rule()
    assert wanted_plugin is not None
    assert wanted_rule is not None
    assert wanted_plugin["configuration"]["bootstrapServers"] == "kafka:29092"
    assert wanted_rule["action"]["configuration"]["topic"] == "t"
    assert (plugin, rule) == (tutorial_plugin(), tutorial_rule())
    assert ForwardingSpec().wanted_plugin() is None


def test_a_description_for_people(real: Platform, spec: ForwardingSpec, unique: str) -> None:
    assert real.forwarding.describe(spec) == f"plugin 'Plugin {unique}' and rule 'Rule {unique}'"


def test_events_of_before_say_nothing_about_a_start(real: Platform, spec: ForwardingSpec) -> None:
    real.forwarding.apply(spec)
    plugin = plugin_of(real, spec)
    lifecycle = ComponentLifecycle(real.session, real.events, event_timeout_seconds=0.3)
    before = lifecycle.remember(plugin)
    assert {event.event for event in real.events.lifecycle(plugin, plugin.tenant_id)} >= {"CREATED", "ACTIVATED"}
    began = time.monotonic()
    assert lifecycle.check(plugin, "ACTIVATED", before) is False
    assert 0.3 <= time.monotonic() - began < SOON_SECONDS
    # CREATED may arrive late: it does not say whether the plugin was activated.
    created = {event.id for event in real.events.lifecycle(plugin, plugin.tenant_id) if event.event != "CREATED"}
    assert lifecycle.check(plugin, "ACTIVATED", created) is False


def test_one_object_counts_all_deletions(real: Platform) -> None:
    first, second = real.forwarding, real.forwarding
    assert first is second
