"""docs/servers/4.x.md#rule-chains: what saving rule chains does, and what it does not check."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.contract.api import NOBODY, Api, refusal
from tests.contract.facts import Facts
from tests.contract.modern.chains import KAFKA, TYPE_FILTER, kafka_node, node, old_fashioned, weather_stations
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.server import Server
from tests.contract.versions import ByVersion, Version
from tests.contract.waiting import eventually

SECTION = "modern 3"


@pytest.fixture
def chain(factory: ModernEntityFactory) -> dict[str, Any]:
    return factory.chain()


@pytest.fixture
def body(server: Server, version: Version, factory: ModernEntityFactory) -> dict[str, Any]:
    """Metadata of five nodes."""
    return weather_stations(version, factory.type, server.kafka_address, f"{factory.type}-unused")


def metadata_call(api: Api, chain: dict[str, Any], metadata: dict[str, Any], **more: Any) -> Any:
    return api.call("POST", "/api/ruleChain/metadata", json={"ruleChainId": chain["id"], **metadata, **more})


def ids(metadata: dict[str, Any]) -> list[str]:
    return [found["id"]["id"] for found in metadata["nodes"]]


def test_a_new_chain(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    name = factory.name("chain")
    saved = factory.create("ruleChain", {"name": name})
    shown = (saved["type"], saved["root"], saved["firstRuleNodeId"], saved["version"])
    fact(SECTION, "a name suffices", shown, ("CORE", False, None, 1))
    second = factory.create("ruleChain", {"name": name})
    fact.holds(SECTION, "a name twice makes a second chain", second["id"] != saved["id"], second["id"])
    page = api.get("/api/ruleChains", pageSize=10, page=0, textSearch=name)
    fact(SECTION, "both are found by name", page["totalElements"], 2)
    root = factory.post("ruleChain", {"name": name, "root": True})
    expected = (400, 31, "Another root rule chain is present in scope of current tenant!")
    fact(SECTION, "a second root chain", refusal(root), expected)
    stale = factory.post("ruleChain", saved | {"version": 99})
    fact(SECTION, "a stale version", refusal(stale), (409, 35, "Rule chain was already changed by someone else"))


def test_the_root_chain(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    page = api.get("/api/ruleChains", pageSize=100, page=0, type="CORE")
    roots = [found for found in page["data"] if found["root"]]
    fact(SECTION, "there is one root chain", len(roots), 1)
    metadata = factory.metadata(roots[0]["id"]["id"])
    kinds = {found["type"].rpartition(".")[2] for found in metadata["nodes"]}
    needed = {"TbMsgTypeSwitchNode", "TbMsgTimeseriesNode", "TbMsgAttributesNode"}
    fact(SECTION, "it stores telemetry and attributes by the type of message", needed - kinds, set())
    relations = {found["type"] for found in metadata["connections"]}
    fact(SECTION, "its ways", {"Post telemetry", "Post attributes"} - relations, set())
    deleted = api.call("DELETE", f"/api/ruleChain/{roots[0]['id']['id']}")
    expected = (400, 31, "Deletion of Root Tenant Rule Chain is prohibited!")
    fact(SECTION, "it cannot be deleted", refusal(deleted), expected)
    bare_list = refusal(api.call("GET", "/api/ruleChains"))
    fact(SECTION, "chains without a page", bare_list[:2], ByVersion({"3.9.1, 4.3.1": (400, 31), "4.3.1.3": (500, 2)}))
    limited = refusal(api.call("GET", "/api/ruleChains", params={"limit": 10}))
    by_limit = ByVersion({"3.9.1, 4.3.1": (400, 31), "4.3.1.3": (500, 2)})
    fact(SECTION, "chains with the limit of 2.x", limited[:2], by_limit)
    exported = api.get("/api/ruleChains/export", limit=100)
    fact(SECTION, "an export", set(exported), {"ruleChains", "metadata"})
    kinds = {found["type"] for found in exported["ruleChains"]}
    fact.holds(SECTION, "also has the chains of edges", "EDGE" in kinds, kinds)


def test_metadata(
    factory: ModernEntityFactory, api: Api, chain: dict[str, Any], body: dict[str, Any], fact: Facts
) -> None:
    first = factory.save_metadata(chain, body)
    fact(SECTION, "metadata are the second version", first["version"], 2)
    fact(SECTION, "five nodes with ids", len(set(ids(first))), 5)
    fact(SECTION, "the first node", first["firstNodeIndex"], 0)
    found = api.get(f"/api/ruleChain/{chain['id']['id']}")
    fact(SECTION, "the chain names its first node", found["firstRuleNodeId"]["id"], ids(first)[0])
    echoed = factory.save_metadata(chain, factory.metadata(chain["id"]["id"]))
    fact(SECTION, "with ids the nodes stay", set(ids(echoed)), set(ids(first)))
    again = factory.save_metadata(chain, body)
    fact(SECTION, "without ids they are replaced", set(ids(again)) & set(ids(first)), set())
    fact.holds(SECTION, "the version grows", again["version"] > echoed["version"] >= 2, again["version"])
    stale = metadata_call(api, chain, body, version=1)
    expected = (409, 35, "Rule chain was already changed by someone else")
    fact(SECTION, "a stale version", refusal(stale), expected)


@pytest.mark.parametrize("change", ["connection", "first node"])
def test_indexes_beyond_the_nodes(
    api: Api, chain: dict[str, Any], body: dict[str, Any], fact: Facts, change: str
) -> None:
    wrong = copy.deepcopy(body)
    if change == "connection":
        wrong["connections"][0]["toIndex"] = 9
    else:
        wrong["firstNodeIndex"] = 9
    found = refusal(metadata_call(api, chain, wrong))
    fact(SECTION, f"{change} 9 of 5", found, (500, 2, "Index 9 out of bounds for length 5"))


def test_other_refusals(api: Api, chain: dict[str, Any], body: dict[str, Any], fact: Facts) -> None:
    circle = copy.deepcopy(body)
    circle["connections"].append({"fromIndex": 4, "toIndex": 0, "type": "Success"})
    found = refusal(metadata_call(api, chain, circle))
    overflow = (500, 2, "Handler dispatch failed: java.lang.StackOverflowError")
    refused = (400, 31, "Can't create circling relations in rule chain.")
    fact(SECTION, "a circle", found, ByVersion({"4.3.1": overflow, "3.9.1, 4.3.1.3": refused}))
    nobody = {"id": {"entityType": "RULE_CHAIN", "id": NOBODY}}
    unknown = refusal(metadata_call(api, nobody, body))
    fact(SECTION, "an unknown chain", unknown, (404, 32, f"Rule chain with id [{NOBODY}] is not found"))


def test_nearly_everything_is_saved_and_events_tell(
    factory: ModernEntityFactory, server: Server, version: Version, chain: dict[str, Any], fact: Facts
) -> None:
    unresolvable = {"topicPattern": "t", "bootstrapServers": "no-such-host.invalid:9092", "acks": "-1"}
    unknown_field = {"keySerializer": "x"} if version >= (4,) else {"nosuch": "x"}
    more = unresolvable | {"bootstrapServers": server.kafka_address} | unknown_field
    bad_script = {"scriptLang": "TBEL", "tbelScript": "return (((", "jsScript": "return true;"}
    nodes = [
        node(TYPE_FILTER, "good", {"messageTypes": []}),
        node("org.nosuch.Node", "unknown class", {}),
        node(KAFKA, "empty", {}, 1),
        kafka_node("unresolvable", unresolvable, version),
        kafka_node("an unknown field", more, version),
        node("org.thingsboard.rule.engine.filter.TbJsFilterNode", "bad script", bad_script),
        node(TYPE_FILTER, "", {"messageTypes": []}),
    ]
    saved = factory.save_metadata(chain, {"firstNodeIndex": 0, "nodes": nodes, "connections": []})
    events = [factory.life_cycle(found) for found in saved["nodes"]]
    outcomes = {found["name"]: event["success"] for found, event in zip(saved["nodes"], events, strict=True)}
    # Of 4.3.1.3 only their last events are known, which may be those of a stop (docs/servers/4.x.md#rule-chains, row 6).
    uncertain = {} if server.is_sandbox else {name: outcomes.pop(name) for name in ("an unknown field", "bad script")}
    for name, starts in uncertain.items():
        fact(SECTION, f"whether a node with {name} starts", starts, ByVersion({"3.9.1, 4.3.1": False}))
    expected = {"good": True, "unknown class": False, "empty": False, "unresolvable": False, "": True}
    if server.is_sandbox:
        expected |= {"an unknown field": False, "bad script": False}
    fact(SECTION, "only the events tell which node runs", outcomes, expected)
    fact(SECTION, "the event", events[0]["event"], "STARTED")
    strange = next(found for found in saved["nodes"] if found["name"] == "an unknown field")
    both = eventually(lambda: factory.life_cycle_events(strange), lambda found: len(found) > 1)
    shown = {body["event"]: body["success"] for body in both}
    stopped = ByVersion({"3.9.1": {"STARTED": False, "STOPPED": True}})
    fact(SECTION, "a failed start is a successful stop, too", shown, stopped)
    error = events[1]["error"].splitlines()[0]
    fact.holds(SECTION, "an unknown class", "ClassNotFoundException: org.nosuch.Node" in error, error)


def test_a_producer_that_reaches_nobody_starts(
    factory: ModernEntityFactory, version: Version, chain: dict[str, Any], fact: Facts
) -> None:
    dead = {"topicPattern": "t", "bootstrapServers": "127.0.0.1:1", "acks": "-1"}
    nodes = [kafka_node("dead", dead, version)]
    saved = factory.save_metadata(chain, {"firstNodeIndex": 0, "nodes": nodes, "connections": []})
    fact(SECTION, "a dead port", factory.life_cycle(saved["nodes"][0])["success"], True)


def test_configurations_of_older_servers_are_brought_up_to_date(
    factory: ModernEntityFactory, server: Server, chain: dict[str, Any], fact: Facts
) -> None:
    body = old_fashioned(factory.type, server.kafka_address, f"{factory.type}-unused")
    saved = factory.save_metadata(chain, body)
    found = factory.metadata(chain["id"]["id"])
    by_name = {one["name"]: one for one in found["nodes"]}
    fact(SECTION, "fetchTo is added", by_name["Client attributes"]["configuration"]["fetchTo"], "METADATA")
    kept = [key for key in by_name["Kafka"]["configuration"] if key.endswith("Serializer")]
    dropped = ByVersion({"3.9.1": ["keySerializer", "valueSerializer"], "4.3.1 to 4.3.1.3": []})
    fact(SECTION, "serializers are dropped from 4.0 on", kept, dropped)
    versions = (by_name["Client attributes"]["configurationVersion"], by_name["Kafka"]["configurationVersion"])
    fact(SECTION, "their versions", versions, ByVersion({"3.9.1": (1, 0), "4.3.1 to 4.3.1.3": (1, 1)}))
    outcomes = {factory.life_cycle(one)["success"] for one in saved["nodes"]}
    fact(SECTION, "all of them run", outcomes, {True})


def test_importing(
    api: Api, factory: ModernEntityFactory, body: dict[str, Any], chain: dict[str, Any], fact: Facts
) -> None:
    reference = {"entityType": "RULE_CHAIN", "id": NOBODY}
    document = {
        "ruleChains": [{"id": reference, "name": chain["name"], "type": "CORE", "root": False, "debugMode": False}],
        "metadata": [{"ruleChainId": reference, **body}],
    }
    over = api.call("POST", "/api/ruleChains/import", json=document, params={"overwrite": "true"})
    shown = {"ruleChainId": chain["id"], "ruleChainName": chain["name"], "updated": True}
    found = {key: over.json()[0].get(key) for key in shown}
    fact(SECTION, "overwriting finds a chain by its name and keeps its id", found, shown)
    fact(SECTION, "with its nodes", len(factory.metadata(chain["id"]["id"])["nodes"]), 5)
    beside = api.call("POST", "/api/ruleChains/import", json=document, params={"overwrite": "false"}).json()[0]
    factory.remember("ruleChain", beside["ruleChainId"]["id"])
    fact.holds(SECTION, "else it is another chain", beside["ruleChainId"] != chain["id"], beside)


def test_deleting(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    used, unused = factory.chain(), factory.chain()
    profile = {
        "name": factory.name("profile"),
        "type": "DEFAULT",
        "transportType": "DEFAULT",
        "profileData": {"configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}},
        "defaultRuleChainId": used["id"],
    }
    saved = factory.create("deviceProfile", profile)
    fact(SECTION, "a profile names its chain", saved["defaultRuleChainId"], used["id"])
    deleted = api.call("DELETE", f"/api/ruleChain/{used['id']['id']}")
    expected = (400, 31, "The rule chain referenced by the device profiles cannot be deleted!")
    fact(SECTION, "a chain that a profile names", refusal(deleted), expected)
    free = api.call("DELETE", f"/api/ruleChain/{unused['id']['id']}")
    fact(SECTION, "any other", (free.status_code, free.content), (200, b""))
    factory.forget("ruleChain", unused["id"]["id"])
    gone = refusal(api.call("GET", f"/api/ruleChain/{unused['id']['id']}"))
    fact(SECTION, "then it is gone", gone, (404, 32, f"Rule chain with id [{unused['id']['id']}] is not found"))


def test_debugging_ends_by_itself(factory: ModernEntityFactory, api: Api, chain: dict[str, Any], fact: Facts) -> None:
    watched = node(TYPE_FILTER, "watched", {"messageTypes": []})
    watched["debugSettings"] = {"failuresEnabled": True, "allEnabled": True}
    now = api.server_time_ms()
    saved = factory.save_metadata(chain, {"firstNodeIndex": 0, "nodes": [watched], "connections": []})
    until = saved["nodes"][0]["debugSettings"]["allEnabledUntil"]
    fact.holds(SECTION, "allEnabled is for 15 minutes", abs(until - now - 900_000) < 60_000, until - now)


@pytest.mark.parametrize("language", ["TBEL", "JS"])
def test_trying_a_script(api: Api, fact: Facts, language: str) -> None:
    document = {
        "script": "return msg.windSpeed > 30;",
        "scriptType": "filter",
        "argNames": ["msg", "metadata", "msgType"],
        "msg": '{"windSpeed":31}',
        "metadata": {"deviceName": "x"},
        "msgType": "POST_TELEMETRY_REQUEST",
    }
    response = api.call("POST", "/api/ruleChain/testScript", json=document, params={"scriptLang": language})
    fact(SECTION, f"trying a script in {language}", response.json(), {"output": "true", "error": ""})
