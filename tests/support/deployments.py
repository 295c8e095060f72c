"""A platform of one generation with a broker next to it, for tests that break things and check what is reported."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacifictool.cli.environment import Environment
from pacifictool.cli.main import run
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import Outcome, kept_variables
from tests.support.sandbox_clients import ATTRIBUTES, RawDevice, Tenant, connect_packet
from tests.support.snapshots import with_name

_SWITCH = "org.thingsboard.rule.engine.filter.TbMsgTypeSwitchNode"
_INPUT = "org.thingsboard.rule.engine.flow.TbRuleChainInputNode"


@dataclass
class Deployment:
    """One platform, the broker, and a scenario."""

    folder: Path
    generation: int
    broker: KafkaBroker
    platform: SandboxProcess
    scenario_path: Path
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Addresses of other servers, where tests need them."""

    # --- the command line ----------------------------------------------------------------------------------------

    @property
    def environ(self) -> dict[str, str]:
        """How commands find this deployment."""
        return {
            **kept_variables(),
            "PACIFICTOOL_URL": self.platform.url,
            "PACIFICTOOL_MQTT": f"127.0.0.1:{self.platform.mqtt_port}",
            "PACIFICTOOL_KAFKA": self.broker.bootstrap,
            "PACIFICTOOL_SCENARIO": str(self.scenario_path),
            "PACIFICTOOL_STATE": str(self.folder / "state"),
        }

    def call(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
        """Runs a command in this process."""
        stdout, stderr = io.StringIO(), io.StringIO()
        environment = Environment(
            stdin=io.StringIO(),
            stdout=stdout,
            stderr=stderr,
            environ={**self.environ, **(environ or {})},
            folder=self.folder,
            user_file=self.folder / "no-config.toml",
        )
        return Outcome(int(run(arguments, environment)), stdout.getvalue(), stderr.getvalue())

    def follow(self, fix: str, environ: Mapping[str, str] | None = None) -> None:
        """Runs the command with which a fix begins, as a reader would."""
        command = re.match(r"pacifictool [a-z][^(]*", fix)
        assert command is not None, f"no command: {fix}"
        outcome = self.call(*shlex.split(command[0])[1:], environ=environ)
        assert outcome.code == 0, outcome.stderr

    def set_up(self) -> None:
        """As the scenario says."""
        self.follow("pacifictool setup")

    def trace(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
        """`pacifictool trace -o json`."""
        return self.call("trace", *arguments, "-o", "json", environ=environ)

    # --- the platform --------------------------------------------------------------------------------------------

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.platform.url)

    @property
    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(KafkaEndpoint(self.broker.bootstrap))

    def rule(self) -> dict[str, Any]:
        return self._one("/api/rules", "WindSpeed Telemetry Rule")

    def plugin(self) -> dict[str, Any]:
        return self._one("/api/plugins", "Kafka Plugin for Spark Streaming Sample")

    def _one(self, path: str, name: str) -> dict[str, Any]:
        found = {item["id"]["id"]: item for item in self.tenant.get(path)}
        return with_name(found, name)[0]

    def save(self, kind: str, document: Mapping[str, Any], **changes: Any) -> Any:
        """Saves a plugin or rule with changes, without its state, which cannot be set this way."""
        return self.tenant.post(f"/api/{kind}", {k: v for k, v in {**document, **changes}.items() if k != "state"})

    def do(self, kind: str, document: Mapping[str, Any], action: str) -> None:
        """activate or suspend."""
        self.tenant.post(f"/api/{kind}/{document['id']['id']}/{action}")

    def device(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.tenant.get(f"/api/tenant/devices?deviceName={name}")
        return found

    def delete_device(self, name: str) -> None:
        self.tenant.delete(f"/api/device/{self.device(name)['id']['id']}")

    def without_attributes(self, name: str) -> str:
        """Recreates the device, without any attribute; returns its id."""
        self.delete_device(name)
        identifier, _ = self.tenant.device(name)
        return identifier

    def set_attributes(self, name: str, attributes: Mapping[str, Any]) -> None:
        """As the device itself does."""
        token = self.tenant.get(f"/api/device/{self.device(name)['id']['id']}/credentials")["credentialsId"]
        with RawDevice(self.platform.mqtt_port) as connection:
            connection.send(connect_packet(token))
            connection.read(4)
            connection.publish(json.dumps(attributes), topic=ATTRIBUTES)
            assert len(connection.read(4)) == 4, "no PUBACK"

    # --- rule chains ---------------------------------------------------------------------------------------------

    def chains(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.tenant.get("/api/ruleChains?pageSize=100&page=0&type=CORE")["data"]
        return found

    def chain(self) -> dict[str, Any]:
        return next(chain for chain in self.chains() if chain["name"] == "WindSpeed Telemetry Rule Chain")

    def root(self) -> dict[str, Any]:
        return next(chain for chain in self.chains() if chain["root"])

    def metadata(self, chain: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.tenant.get(f"/api/ruleChain/{chain['id']['id']}/metadata")
        found.pop("version", None)
        return found

    def save_metadata(self, metadata: Mapping[str, Any]) -> None:
        self.tenant.post("/api/ruleChain/metadata", metadata)

    def change_kafka_node(self, **configuration: Any) -> None:
        """Changes the configuration of the Kafka node in the toolkit's chain."""
        metadata = self.metadata(self.chain())
        node = next(node for node in metadata["nodes"] if node["type"].endswith("TbKafkaNode"))
        node["configuration"] |= configuration
        self.save_metadata(metadata)

    def hook(self, chain: Mapping[str, Any]) -> None:
        """Leads the root chain's telemetry to one more chain, as the web UI does."""
        root = self.metadata(self.root())
        node = {
            "type": _INPUT,
            "name": chain["name"],
            "configurationVersion": 1,
            "configuration": {"ruleChainId": chain["id"]["id"], "forwardMsgToDefaultRuleChain": False},
            "additionalInfo": {"layoutX": 0, "layoutY": 0},
        }
        switch = next(number for number, found in enumerate(root["nodes"]) if found["type"] == _SWITCH)
        link = {"fromIndex": switch, "toIndex": len(root["nodes"]), "type": "Post telemetry"}
        root["nodes"].append(node)
        root["connections"].append(link)
        self.save_metadata(root)

    def unhook(self, chain: Mapping[str, Any]) -> None:
        """Removes every connection to a chain from the root chain; its node must be the last one added."""
        root = self.metadata(self.root())
        gone = {
            number
            for number, node in enumerate(root["nodes"])
            if (node.get("configuration") or {}).get("ruleChainId") == chain["id"]["id"]
        }
        renumbered = {old: new for new, old in enumerate(n for n in range(len(root["nodes"])) if n not in gone)}
        root["nodes"] = [node for number, node in enumerate(root["nodes"]) if number not in gone]
        root["connections"] = [
            {**link, "fromIndex": renumbered[link["fromIndex"]], "toIndex": renumbered[link["toIndex"]]}
            for link in root["connections"]
            if not gone & {link["fromIndex"], link["toIndex"]}
        ]
        root["firstNodeIndex"] = renumbered[root["firstNodeIndex"]]
        self.save_metadata(root)

    def use_profile_chain(self, chain: Mapping[str, Any] | None) -> None:
        """Sets or removes the default rule chain of the profile of the scenario's devices."""
        infos = self.tenant.get("/api/deviceProfileInfos?pageSize=100&page=0")["data"]
        info = next(info for info in infos if info["name"] == "WeatherStation")
        profile = self.tenant.get(f"/api/deviceProfile/{info['id']['id']}")
        profile.pop("version", None)
        self.tenant.post("/api/deviceProfile", {**profile, "defaultRuleChainId": chain and chain["id"]})


def new_broker(folder: Path, **options: Any) -> KafkaBroker:
    """A broker that is not started yet. Options: as KafkaBroker."""
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    return KafkaBroker(folder, java=java, jars=jars, **options)


@contextlib.contextmanager
def deployments(folder: Path, *, two_brokers: bool = False, **scenario_parts: str) -> Iterator[dict[int, Deployment]]:
    """Platforms of generations 1 and 4 with one broker, each set up for its own topic.

    `two_brokers`: another cluster, too, as `elsewhere["kafka"]` of both. `scenario_parts`: see `write_scenario`.
    """
    broker, other = new_broker(folder / "kafka"), new_broker(folder / "elsewhere")
    platforms = {
        number: SandboxProcess(folder / f"platform{number}", options=("--generation", str(number))) for number in (1, 4)
    }
    parts: list[KafkaBroker | SandboxProcess] = [broker, *platforms.values(), *([other] if two_brokers else [])]
    try:
        with ThreadPoolExecutor(len(parts)) as pool:
            for start in [pool.submit(part.start) for part in parts]:
                start.result()
        found = {}
        for number, platform in platforms.items():
            scenario = write_scenario(folder / f"{number}.toml", f"winds{number}", **scenario_parts)
            found[number] = Deployment(folder / f"deployment{number}", number, broker, platform, scenario)
            found[number].folder.mkdir()
            found[number].set_up()
        for number, deployment in found.items():
            deployment.elsewhere["mqtt"] = f"127.0.0.1:{platforms[5 - number].mqtt_port}"
            deployment.elsewhere["kafka"] = other.bootstrap
        yield found
    finally:
        for platform in platforms.values():
            platform.kill()
        for one in (broker, other):
            one.stop(graceful=False)


TUTORIAL_NAMES = """
plugin = "Kafka Plugin for Spark Streaming Sample"
plugin_token = "kafka-spark-streaming-sample"
rule = "WindSpeed Telemetry Rule"
rule_chain = "WindSpeed Telemetry Rule Chain"
"""


def write_scenario(
    path: Path,
    topic: str,
    *,
    names: str = TUTORIAL_NAMES,
    extra: str = "",
    window: str = "10s",
    valid: str = "{ min = 0 }",
    devices: str = "",
) -> Path:
    """Two turbines in two zones; the first zone has an asset.

    `names`: those of the parts that forward; a second scenario on the same platform needs others, and "" takes them
    from the topic. `extra`: further keys of forwarding. `devices`: further tables.
    """
    path.write_text(
        f'[platform]\ndevice_type = "WeatherStation"\n[forwarding]\ntopic = "{topic}"\nattributes = ["geoZone"]\n'
        f'telemetry = ["windSpeed"]\nvalid = {{ windSpeed = {valid} }}\n'
        f"{names}\n{extra}\n"
        f'[[analytics]]\nname = "zones"\ngroup_by = ["geoZone"]\nwindow = "{window}"\n'
        'telemetry = { windSpeed = "mean(windSpeed)" }\n'
        '[labels]\ndevice = "turbine"\ngeoZone = "zone"\nwindSpeed = "wind speed"\n'
        '[[devices]]\nname = "Mill 1"\nattributes = { geoZone = "North" }\n'
        "telemetry = { windSpeed = { min = 30, max = 35 } }\n"
        '[[devices]]\nname = "Mill 2"\nattributes = { geoZone = "South" }\n'
        "telemetry = { windSpeed = { min = 45, max = 50 } }\n"
        f'{devices}\n[[assets]]\nname = "North"\n',
        encoding="utf-8",
    )
    return path
