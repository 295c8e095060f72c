from __future__ import annotations

from typing import Any

import pytest

from tests.support.sandbox_clients import KAFKA_PLUGIN, Tenant, plugin_document, rule_document

NOWHERE = "localhost:1"


@pytest.fixture
def plugin(tenant: Tenant, unique: str) -> Any:
    return tenant.post("/api/plugin", plugin_document(f"kafka-{unique}", NOWHERE))


def path_of(document: Any, verb: str = "") -> str:
    reference = document["id"]
    return f"/api/{reference['entityType'].lower()}/{reference['id']}" + (f"/{verb}" if verb else "")


def refused(tenant: Tenant, method: str, path: str, body: Any = None) -> tuple[int, str]:
    response = tenant.call(method, path, body)
    document = response.json()
    assert document["errorCode"] == (32 if response.status_code == 404 else 31)
    return response.status_code, document["message"]


def done(tenant: Tenant, document: Any, verb: str) -> None:
    response = tenant.call("POST", path_of(document, verb))
    assert (response.status_code, response.content, "Content-Type" in response.headers) == (200, b"", False)


def state(tenant: Tenant, document: Any) -> str:
    found: str = tenant.get(path_of(document))["state"]
    return found


def test_demo_plugins_and_rules(tenant: Tenant) -> None:
    plugins = {item["apiToken"]: item for item in tenant.get("/api/plugins?limit=1")}
    assert {"telemetry", "rpc", "time", "mail", "messaging"} <= set(plugins)
    assert plugins["telemetry"]["configuration"] is None
    assert plugins["telemetry"]["tenantId"]["id"] == "13814000-1dd2-11b2-8080-808080808080"
    assert plugins["time"]["configuration"] is not None
    own = tenant.get("/api/plugin?limit=1000")["data"]
    assert not {"telemetry", "rpc"} & {item["apiToken"] for item in own}
    page = tenant.get("/api/plugin?limit=2&textSearch=demo")
    assert page["nextPageLink"]["textOffset"] == page["data"][1]["name"].lower()
    offset = page["nextPageLink"]["idOffset"]
    assert len(tenant.get(f"/api/plugin?limit=2&textSearch=demo&idOffset={offset}")["data"]) == 1
    assert "System Telemetry Rule" in [rule["name"] for rule in tenant.get("/api/rules")]
    assert "System Telemetry Rule" not in [rule["name"] for rule in tenant.get("/api/rule?limit=1000")["data"]]
    assert tenant.call("DELETE", path_of(plugins["telemetry"])).status_code == 403


def test_what_is_created_comes_back_in_the_platforms_order(tenant: Tenant, unique: str, plugin: Any) -> None:
    token = f"kafka-{unique}"
    assert list(plugin) == [
        "id", "createdTime", "additionalInfo", "apiToken", "tenantId", "name", "clazz", "publicAccess", "state",
        "configuration",
    ]  # fmt: skip
    assert (plugin["state"], plugin["id"]["entityType"]) == ("SUSPENDED", "PLUGIN")
    assert plugin["configuration"] == plugin_document(token, NOWHERE)["configuration"]
    assert tenant.get(path_of(plugin)) == plugin
    assert tenant.get(f"/api/plugin/token/{token}") == plugin
    wanted = rule_document(token, "topic", template='{"a":"$x\\n\\u00e9 \'é\'"}   ')
    rule = tenant.post("/api/rule", {**wanted, "unknown": 1})
    assert list(rule) == [
        "id", "createdTime", "additionalInfo", "tenantId", "name", "state", "weight", "pluginToken", "filters",
        "processor", "action",
    ]  # fmt: skip
    assert {key: rule[key] for key in wanted} == wanted
    assert rule["state"] == "SUSPENDED"
    assert tenant.get(f"/api/rule/token/{token}") == [rule]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "ACTIVE"}, "Use Activate/Suspend method to control state of the plugin!"),
        ({"apiToken": "telemetry"}, "API token is already reserved!"),
        ({"clazz": "org.example.Nosuch"}, "Plugin descriptor not found!"),
        ({"configuration": {}}, "Filters configuration is not valid!"),
        ({"configuration": None}, "Filters configuration is not valid!"),
        ({"apiToken": ""}, "Plugin api token is not set!"),
        ({"name": None}, "Plugin name should be specified!."),
    ],
)
def test_refused_plugins(tenant: Tenant, unique: str, change: Any, message: str) -> None:
    body = {**plugin_document(f"bad-{unique}", NOWHERE), **change}
    assert refused(tenant, "POST", "/api/plugin", body) == (400, message)


def test_only_bootstrap_servers_are_required_and_names_are_not_unique(tenant: Tenant, unique: str, plugin: Any) -> None:
    body = {
        "name": plugin["name"],
        "apiToken": f"second-{unique}",
        "clazz": KAFKA_PLUGIN,
        "configuration": {"bootstrapServers": NOWHERE},
    }
    assert tenant.post("/api/plugin", body)["configuration"] == {"bootstrapServers": NOWHERE}
    taken = (400, "API token is already reserved!")
    assert refused(tenant, "POST", "/api/plugin", {**body, "apiToken": plugin["apiToken"]}) == taken


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "ACTIVE"}, "Use Activate/Suspend method to control state of the rule!"),
        ({"pluginToken": "nosuch"}, "Rule points to non-existent plugin!"),
        ({"filters": None}, "Rule filters are required!"),
        ({"filters": {}}, "Filters json is not an array!"),
        ({"name": ""}, "Rule name should be specified!."),
        ({"action": None}, "ACTION is required!"),
    ],
)
def test_refused_rules(tenant: Tenant, plugin: Any, change: Any, message: str) -> None:
    body = {**rule_document(plugin["apiToken"], "topic"), **change}
    assert refused(tenant, "POST", "/api/rule", body) == (400, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ...}, "ACTION's name is not set!"),
        ({"configuration": {"sync": True, "template": "x"}}, "ACTION configuration is not valid!"),
        (
            {"clazz": "org.thingsboard.server.extensions.core.action.mail.SendMailAction"},
            "ACTION configuration is not valid!",
        ),
    ],
)
def test_refused_actions(tenant: Tenant, plugin: Any, change: Any, message: str) -> None:
    body = rule_document(plugin["apiToken"], "topic")
    body["action"] = {key: value for key, value in {**body["action"], **change}.items() if value is not ...}
    assert refused(tenant, "POST", "/api/rule", body) == (400, message)


def test_equal_rules_empty_filters_and_no_plugin_token_are_accepted(tenant: Tenant, plugin: Any) -> None:
    body = rule_document(plugin["apiToken"], "topic")
    first, second = tenant.post("/api/rule", body), tenant.post("/api/rule", body)
    assert first["id"] != second["id"]
    assert tenant.post("/api/rule", {**body, "filters": []})["filters"] == []
    assert tenant.post("/api/rule", {**body, "pluginToken": None})["pluginToken"] is None


def test_bodies_that_are_not_json(tenant: Tenant) -> None:
    headers = {"Content-Type": "application/json"}
    response = tenant.call("POST", "/api/rule", data=b"{", headers=headers)
    assert response.status_code == 400
    assert response.json()["exception"].endswith("HttpMessageNotReadableException")
    assert tenant.call("POST", "/api/plugin", data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert refused(tenant, "GET", "/api/plugin/notauuid") == (400, "Invalid UUID string: notauuid")


def test_the_lifecycle_of_a_plugin_and_its_rule(tenant: Tenant, plugin: Any) -> None:
    rule = tenant.post("/api/rule", rule_document(plugin["apiToken"], "topic"))
    inactive = (400, "Can't save active rule that points to inactive plugin!")
    assert refused(tenant, "POST", path_of(rule, "activate")) == inactive
    assert state(tenant, rule) == "SUSPENDED"
    for _ in range(2):
        done(tenant, plugin, "activate")
    for _ in range(2):
        done(tenant, rule, "activate")
    assert (state(tenant, plugin), state(tenant, rule)) == ("ACTIVE", "ACTIVE")
    assert refused(tenant, "POST", path_of(plugin, "suspend")) == (400, "Can't suspend plugin that has active rules!")
    changed = {**rule, "name": "Renamed", "state": None}
    assert tenant.post("/api/rule", changed) == {**rule, "name": "Renamed", "state": "ACTIVE"}
    wrong_state = (400, "Use Activate/Suspend method to control state of the rule!")
    assert refused(tenant, "POST", "/api/rule", {**rule, "state": "SUSPENDED"}) == wrong_state
    for _ in range(2):
        done(tenant, rule, "suspend")
    affected = (400, "Plugin deletion will affect existing rules!")
    assert refused(tenant, "DELETE", path_of(plugin)) == affected
    for _ in range(2):
        done(tenant, plugin, "suspend")
    done(tenant, plugin, "activate")
    done(tenant, rule, "activate")
    tenant.delete(path_of(rule))
    tenant.delete(path_of(plugin))
    for document in (rule, plugin):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "activate"), ("POST", "suspend")):
            assert refused(tenant, method, path_of(document, path)) == (404, "Requested item wasn't found!")


def test_a_plugin_can_be_activated_while_its_broker_is_unreachable(tenant: Tenant, plugin: Any) -> None:
    done(tenant, plugin, "activate")
    newest = tenant.events("PLUGIN", plugin["id"]["id"])[0]
    assert newest["type"] == "LC_EVENT"
    assert (newest["body"]["event"], newest["body"]["success"]) == ("ACTIVATED", True)
    assert newest["entityId"] == plugin["id"]


@pytest.mark.parametrize(
    "configuration",
    [
        {"bootstrapServers": "no-such-host.invalid:9092"},
        {"bootstrapServers": "localhost"},
        {"keySerializer": "org.example.NosuchSerializer"},
        {"acks": "nonsense"},
    ],
)
def test_a_plugin_that_cannot_start_is_active_and_has_an_error_event(
    tenant: Tenant, unique: str, configuration: Any
) -> None:
    body = plugin_document(f"broken-{unique}", NOWHERE)
    body["configuration"] |= configuration
    plugin = tenant.post("/api/plugin", body)
    done(tenant, plugin, "activate")
    assert state(tenant, plugin) == "ACTIVE"
    lifecycle = tenant.events("PLUGIN", plugin["id"]["id"])[0]["body"]
    assert (lifecycle["event"], lifecycle["success"]) == ("ACTIVATED", False)
    assert "Failed to construct kafka producer" in lifecycle["error"]
    done(tenant, plugin, "suspend")


def test_a_filter_that_does_not_compile_shows_in_the_events_only(
    tenant: Tenant, unique: str, plugin: Any, connect: Any
) -> None:
    done(tenant, plugin, "activate")
    rule = tenant.post("/api/rule", rule_document(plugin["apiToken"], "topic", station_filter="this is not a script"))
    done(tenant, rule, "activate")
    assert state(tenant, rule) == "ACTIVE"
    lifecycle = tenant.events("RULE", rule["id"]["id"])[0]["body"]
    assert (lifecycle["event"], lifecycle["success"]) == ("ACTIVATED", False)
    assert "Can't compile script" in lifecycle["error"]
    _, token = tenant.device(f"E {unique}")
    connect(token).acknowledged('{"windSpeed":1}')


def test_a_filter_that_throws_leaves_messages_without_a_puback_and_an_error_event(
    tenant: Tenant, unique: str, plugin: Any, connect: Any
) -> None:
    done(tenant, plugin, "activate")
    throwing = f"cs.me === 'T {unique}' && cs.nosuch.x"
    rule = tenant.post("/api/rule", rule_document(plugin["apiToken"], "topic", station_filter=throwing))
    done(tenant, rule, "activate")
    identifier, token = tenant.device(f"T {unique}")
    device = connect(token)
    device.acknowledged(f'{{"me":"T {unique}"}}', topic="v1/devices/me/attributes")
    device.publish('{"windSpeed":5}')
    device.publish('{"windSpeed":6}')
    assert device.is_silent()
    assert tenant.latest(identifier, "windSpeed") == {"windSpeed": "6"}
    assert tenant.call("POST", f"/api/v1/{token}/telemetry", {"windSpeed": 7}).status_code == 503
    types = [event["type"] for event in tenant.events("RULE", rule["id"]["id"])]
    assert types == ["ERROR", "LC_EVENT", "LC_EVENT"]
    error = tenant.events("RULE", rule["id"]["id"])[0]["body"]
    assert "TypeError" in error["error"]
    done(tenant, rule, "suspend")
    device.acknowledged('{"windSpeed":8}')


def test_events_are_paged_and_filtered(tenant: Tenant, plugin: Any) -> None:
    for verb in ("activate", "suspend", "activate"):
        done(tenant, plugin, verb)
    owner = plugin["tenantId"]["id"]
    base = f"/api/events/PLUGIN/{plugin['id']['id']}"
    found, offset = [], ""
    while True:
        page = tenant.get(f"{base}?tenantId={owner}&limit=3{offset}")
        found += [event["body"]["event"] for event in page["data"]]
        if not page["hasNext"]:
            break
        offset = f"&offset={page['nextPageLink']['idOffset']}"
    assert found == ["ACTIVATED", "SUSPENDED", "ACTIVATED", "CREATED"]
    assert tenant.get(f"{base}/ERROR?tenantId={owner}&limit=3")["data"] == []
    other = "13814000-1dd2-11b2-8080-808080808080"
    assert tenant.call("GET", f"{base}?tenantId={other}&limit=3").status_code == 403
