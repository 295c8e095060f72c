"""Plugins and rules, their refusals, their lifecycle and its events: docs/servers/1.x.md#rules-and-plugins.

One rule serves all tests, because a real server's tenant does not survive four deletions within a minute
(docs/servers/1.x.md#deleting-rules, row 1). Each test brings it into the state it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pacifictool.rest import EntityId, Platform
from tests.contract.api import EMPTY_OK, NOBODY, NOT_FOUND, NULL_ID, Api, bare, framework_error, refusal
from tests.contract.factories import EntityFactory
from tests.contract.facts import Facts
from tests.contract.forwarding import (
    HAS_WIND_SPEED,
    Component,
    action,
    attributes_filter,
    plugin_document,
    rule_document,
    telemetry_filter,
    weather_stations,
)
from tests.contract.server import Server

NO_SUCH_TOPIC = "contract-never-written"


def refused(message: str) -> tuple[int, int, str]:
    return 400, 31, message


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


@pytest.fixture(scope="module")
def plugin(server: Server, factory: EntityFactory) -> Component:
    return Component(factory, "plugin", plugin_document(factory, server.kafka_address))


@dataclass(frozen=True, slots=True)
class Broken:
    """What was seen of a rule whose filter does not compile, before it was corrected."""

    sent: dict[str, Any]
    saved: dict[str, Any]
    activation: tuple[int, bytes, str | None]
    state: str
    event: dict[str, Any]


@pytest.fixture(scope="module")
def broken(api: Api, factory: EntityFactory, plugin: Component) -> tuple[Component, Broken]:
    """The one rule of this module, at first with a filter that is not JavaScript; suspended and corrected afterwards."""
    device_type = factory.name("type")
    sent = rule_document(
        factory, plugin.saved["apiToken"], [attributes_filter("cs.deviceType ==== (")], action(NO_SUCH_TOPIC)
    )
    plugin.activate()
    rule = Component(factory, "rule", sent)
    activation = bare(api.call("POST", f"{rule.path}/activate"))
    seen = Broken(sent, rule.saved, activation, rule.state, rule.activation())
    rule.suspend()
    rule.update(filters=[weather_stations(device_type), telemetry_filter(HAS_WIND_SPEED)])
    return rule, seen


@pytest.fixture
def rule(broken: tuple[Component, Broken], plugin: Component) -> Component:
    """The rule, corrected and suspended, and its plugin active."""
    plugin.activate()
    broken[0].suspend()
    return broken[0]


def test_lists_are_bare_arrays(api: Api, plugin: Component, rule: Component, fact: Facts) -> None:
    for kind, ours in (("plugin", plugin), ("rule", rule)):
        everything = api.get(f"/api/{kind}s")
        fact("2", f"/api/{kind}s is an array", isinstance(everything, list), True)
        fact("2", f"/api/{kind}s holds ours once", [item["id"]["id"] for item in everything].count(ours.id), 1)
        systems = [item for item in everything if item["tenantId"]["id"] == NULL_ID]
        fact.holds("2", f"/api/{kind}s holds the system's too", len(systems) > 0, systems)
    listed = api.get("/api/plugins", limit=1)
    fact.holds("2", "/api/plugins ignores a limit", len(listed) > 1, len(listed))


def test_system_plugins_hide_their_configuration(api: Api, fact: Facts) -> None:
    systems = {item["apiToken"]: item for item in api.get("/api/plugins") if item["tenantId"]["id"] == NULL_ID}
    for token in ("telemetry", "rpc"):
        fact("2", f"the system has the plugin {token}", token in systems, True)
        fact("2", f"the configuration of {token} is hidden", systems[token]["configuration"], None)


@pytest.mark.parametrize("kind", ["plugin", "rule"])
def test_pages_hold_the_tenants_own(api: Api, plugin: Component, rule: Component, fact: Facts, kind: str) -> None:
    ours, tenant = (plugin if kind == "plugin" else rule), api.tenant_id
    first = api.get(f"/api/{kind}", limit=1)
    fact("2", f"a page of {kind}s", set(first), {"data", "nextPageLink", "hasNext"})
    link = first["nextPageLink"]
    keys = {"limit", "textSearch", "textSearchBound", "textOffset", "idOffset"}
    fact("2", f"a full page of {kind}s has a link", (set(link), first["hasNext"]), (keys, True))
    fact("2", "the link repeats the limit", link["limit"], 1)
    fact("2", "the link points behind the last of the page", link["idOffset"], first["data"][-1]["id"]["id"])
    search = ours.read()["name"].upper()
    found = api.get(f"/api/{kind}", limit=10, textSearch=search)["data"]
    fact("2", f"{kind}s are found by their names", [item["id"]["id"] for item in found], [ours.id])
    owners = {item["tenantId"]["id"] for item in api.get(f"/api/{kind}", limit=1000)["data"]}
    fact("2", f"only the tenant's own {kind}s", owners, {tenant})


def test_a_created_plugin(api: Api, server: Server, factory: EntityFactory, fact: Facts) -> None:
    document = plugin_document(factory, server.kafka_address)
    response = factory.post("plugin", document | {"nosuch": 1})
    fact("2", "a plugin with an unknown key is created", response.status_code, 200)
    saved = response.json()
    identifier, created = saved.pop("id"), saved.pop("createdTime")
    fact("2", "the id of a plugin", identifier["entityType"], "PLUGIN")
    distance = abs(api.server_time_ms() - created)
    fact.holds("2", "createdTime is in ms", distance < 60_000, distance)
    expected = document | {"additionalInfo": None, "tenantId": api.user["tenantId"], "state": "SUSPENDED"}
    fact("2", "a plugin is saved as it was sent, suspended", saved, expected)


def test_a_created_rule(api: Api, broken: tuple[Component, Broken], fact: Facts) -> None:
    sent, saved = broken[1].sent, dict(broken[1].saved)
    identifier = saved.pop("id")
    del saved["createdTime"]
    fact("2", "the id of a rule", identifier["entityType"], "RULE")
    expected = sent | {"additionalInfo": None, "tenantId": api.user["tenantId"], "state": "SUSPENDED"}
    fact("2", "a rule is saved as it was sent, suspended", saved, expected)
    template = saved["action"]["configuration"]["template"]
    fact("2", "the template comes back byte for byte", template, sent["action"]["configuration"]["template"])


def test_reading_one(api: Api, plugin: Component, rule: Component, fact: Facts) -> None:
    for kind, ours in (("plugin", plugin), ("rule", rule)):
        fact("2", f"a {kind} by its id", api.get(ours.path)["id"], {"entityType": kind.upper(), "id": ours.id})
        fact("2", f"an unknown {kind}", refusal(api.call("GET", f"/api/{kind}/{NOBODY}")), NOT_FOUND)
        bad = api.call("GET", f"/api/{kind}/notauuid")
        fact("2", f"a {kind} by a bad UUID", refusal(bad), refused("Invalid UUID string: notauuid"))
    token = plugin.saved["apiToken"]
    fact("2", "a plugin by its token", api.get(f"/api/plugin/token/{token}")["id"]["id"], plugin.id)
    fact("2", "an unknown token", refusal(api.call("GET", f"/api/plugin/token/{token}-not")), NOT_FOUND)


def test_refused_plugins(server: Server, factory: EntityFactory, plugin: Component, fact: Facts) -> None:
    def post(**changes: Any) -> tuple[int, int | None, str]:
        document = plugin_document(factory, server.kafka_address) | changes
        return refusal(factory.post("plugin", {key: value for key, value in document.items() if value is not None}))

    state = "Use Activate/Suspend method to control state of the plugin!"
    fact("2", "a plugin that is born active", post(state="ACTIVE"), refused(state))
    taken = post(apiToken=plugin.saved["apiToken"])
    fact("2", "a token that is taken", taken, refused("API token is already reserved!"))
    fact("2", "an unknown class", post(clazz="org.example.NoPlugin"), refused("Plugin descriptor not found!"))
    fact("2", "no bootstrapServers", post(configuration={}), refused("Filters configuration is not valid!"))
    fact("2", "an empty token", post(apiToken=""), refused("Plugin api token is not set!"))
    fact("2", "no name", post(name=None), refused("Plugin name should be specified!."))


def test_only_tokens_are_unique_and_little_is_required(
    server: Server, factory: EntityFactory, plugin: Component, fact: Facts
) -> None:
    document = plugin_document(factory, server.kafka_address) | {"name": plugin.saved["name"]}
    small = document | {"configuration": {"bootstrapServers": server.kafka_address}}
    response = factory.post("plugin", small)
    fact("2", "a second plugin of one name, with bootstrapServers only", response.status_code, 200)
    fact.holds("2", "it is another plugin", response.json()["id"]["id"] != plugin.id, response.text)


def test_unreadable_plugins(api: Api, fact: Facts) -> None:
    malformed = framework_error(api.call("POST", "/api/plugin", body='{"name":'))
    fact("2", "malformed JSON", malformed, (400, "Bad Request", "HttpMessageNotReadableException"))
    text = framework_error(api.call("POST", "/api/plugin", body="{}", content_type="text/plain"))
    fact("2", "a Content-Type that is not JSON", text[:2], (415, "Unsupported Media Type"))


def test_refused_rules(factory: EntityFactory, plugin: Component, fact: Facts) -> None:
    good = rule_document(factory, plugin.saved["apiToken"], [telemetry_filter(HAS_WIND_SPEED)], action(NO_SUCH_TOPIC))

    def post(document: dict[str, Any]) -> tuple[int, int | None, str]:
        return refusal(factory.post("rule", document))

    state = "Use Activate/Suspend method to control state of the rule!"
    fact("2", "a rule that is born active", post(good | {"state": "ACTIVE"}), refused(state))
    nowhere = post(good | {"pluginToken": factory.name("no-token")})
    fact("2", "a rule of no plugin", nowhere, refused("Rule points to non-existent plugin!"))
    fact("2", "a rule without filters", post(good | {"filters": None}), refused("Rule filters are required!"))
    fact("2", "a rule without a name", post(good | {"name": ""}), refused("Rule name should be specified!."))
    nameless = post(good | {"action": without(good["action"], "name")})
    fact("2", "an action without a name", nameless, refused("ACTION's name is not set!"))
    configuration = without(good["action"]["configuration"], "topic")
    no_topic = post(good | {"action": good["action"] | {"configuration": configuration}})
    fact("2", "an action without a topic", no_topic, refused("ACTION configuration is not valid!"))


def test_a_filter_that_does_not_compile_shows_in_the_events_only(
    api: Api, platform: Platform, broken: tuple[Component, Broken], fact: Facts
) -> None:
    rule, seen = broken
    fact("2", "a rule with a broken filter is activated", seen.activation, EMPTY_OK)
    fact("2", "a rule with a broken filter is ACTIVE", seen.state, "ACTIVE")
    fact("2", "its event tells that it failed", seen.event["success"], False)
    fact.holds("2", "its event tells why", bool(seen.event.get("error")), seen.event)
    events = platform.events.lifecycle(EntityId("RULE", rule.id), api.tenant_id)
    outcomes = [event.success for event in events if event.event == "ACTIVATED"]
    fact("2", "the client reads the event", False in outcomes, True)


def test_updates_by_id(api: Api, factory: EntityFactory, plugin: Component, rule: Component, fact: Facts) -> None:
    for kind, ours in (("plugin", plugin), ("rule", rule)):
        document, name = ours.read(), factory.name("renamed")
        changed = factory.post(kind, without(document, "state") | {"name": name})
        seen = (changed.status_code, changed.json()["id"]["id"], changed.json()["name"])
        fact("2", f"an update of a {kind} without state", seen, (200, ours.id, name))
        fact("2", f"an update of a {kind} keeps its state", changed.json()["state"], document["state"])
        other = "ACTIVE" if document["state"] == "SUSPENDED" else "SUSPENDED"
        message = f"Use Activate/Suspend method to control state of the {kind}!"
        response = factory.post(kind, document | {"state": other})
        fact("2", f"an update of a {kind} with another state", refusal(response), refused(message))


def test_rules_without_filters_or_plugin(factory: EntityFactory, rule: Component, fact: Facts) -> None:
    document = rule.read()
    response = factory.post("rule", document | {"filters": []})
    fact("2", "a rule with an empty list of filters", (response.status_code, response.json()["filters"]), (200, []))
    response = factory.post("rule", document | {"pluginToken": None})
    fact("2", "a rule without a plugin's token", response.status_code, 200)
    rule.update(filters=document["filters"], pluginToken=document["pluginToken"])


def test_a_rule_needs_an_active_plugin(api: Api, plugin: Component, rule: Component, fact: Facts) -> None:
    plugin.suspend()
    response = api.call("POST", f"{rule.path}/activate")
    message = "Can't save active rule that points to inactive plugin!"
    fact("2", "activating a rule of a suspended plugin", refusal(response), refused(message))
    fact("2", "the rule stays suspended", rule.state, "SUSPENDED")


def test_the_way_up_and_down(api: Api, plugin: Component, rule: Component, fact: Facts) -> None:
    plugin.suspend()

    def call(component: Component, verb: str) -> Any:
        return api.call("POST", f"{component.path}/{verb}")

    fact("2", "activating a plugin", bare(call(plugin, "activate")), EMPTY_OK)
    fact("2", "the plugin is ACTIVE", plugin.state, "ACTIVE")
    # Not so the plugin: that would leak a producer (docs/servers/1.x.md#rules-and-plugins, row 16).
    for time in ("", " again"):
        fact("2", f"activating a rule{time}", bare(call(rule, "activate")), EMPTY_OK)
        fact("2", f"the rule is ACTIVE{time}", rule.state, "ACTIVE")
    busy = refusal(call(plugin, "suspend"))
    fact("2", "suspending a plugin with an active rule", busy, refused("Can't suspend plugin that has active rules!"))
    fact("2", "the plugin stays ACTIVE", plugin.state, "ACTIVE")
    for component in (rule, plugin):
        for time in ("", " again"):
            fact("2", f"suspending a {component.kind}{time}", bare(call(component, "suspend")), EMPTY_OK)
            fact("2", f"the {component.kind} is SUSPENDED{time}", component.state, "SUSPENDED")


def test_a_plugin_with_rules_cannot_be_deleted(api: Api, plugin: Component, rule: Component, fact: Facts) -> None:
    plugin.suspend()
    response = api.call("DELETE", plugin.path)
    message = "Plugin deletion will affect existing rules!"
    fact("2", "deleting a plugin that a suspended rule uses", refusal(response), refused(message))


def test_an_unreachable_broker_goes_unnoticed(factory: EntityFactory, fact: Facts) -> None:
    plugin = Component(factory, "plugin", plugin_document(factory, "localhost:1"))
    plugin.activate()
    fact("2", "a plugin with an unreachable broker is ACTIVE", plugin.state, "ACTIVE")
    fact("2", "its activation is called a success", plugin.activation()["success"], True)
    plugin.suspend()


@pytest.mark.parametrize(
    "configuration",
    [{"bootstrapServers": "no-such-host.invalid:9092"}, {"valueSerializer": "org.example.NoSerializer"}],
)
def test_a_plugin_that_fails_to_start_is_active_all_the_same(
    api: Api, server: Server, factory: EntityFactory, configuration: dict[str, Any], fact: Facts
) -> None:
    plugin = Component(factory, "plugin", plugin_document(factory, server.kafka_address, **configuration))
    activation = api.call("POST", f"{plugin.path}/activate")
    fact("2", f"activating a plugin with {configuration}", bare(activation), EMPTY_OK)
    fact("2", f"a plugin with {configuration} is ACTIVE", plugin.state, "ACTIVE")
    event = plugin.activation()
    fact("2", "its event tells that it failed", event["success"], False)
    # Which of the two words come depends on the order of the class path (docs/servers/1.x.md#rules-and-plugins, row 15).
    found = any(words in event["error"] for words in ("Failed to construct kafka producer", "could not be found"))
    fact.holds("2", "its event tells why", found, event["error"])
    plugin.suspend()


def test_deleting_an_active_plugin(api: Api, server: Server, factory: EntityFactory, fact: Facts) -> None:
    plugin = Component(factory, "plugin", plugin_document(factory, server.kafka_address))
    plugin.activate()
    deleted = api.call("DELETE", plugin.path)
    fact("2", "deleting an active plugin without rules", bare(deleted), EMPTY_OK)
    factory.forget("plugin", plugin.id)
    gone(api, plugin, fact)


def test_deleting_an_active_rule(api: Api, factory: EntityFactory, rule: Component, fact: Facts) -> None:
    rule.activate()
    fact("2", "deleting an active rule", bare(factory.delete_rule(rule.id)), EMPTY_OK)
    gone(api, rule, fact)


def gone(api: Api, component: Component, fact: Facts) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/activate")):
        response = api.call(method, component.path + path)
        fact("2", f"{method} {path} of a deleted {component.kind}", refusal(response), NOT_FOUND)
