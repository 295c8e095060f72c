"""examples/service: the unit, the manifests, the image, the alerts and the dashboard are what their tools take."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacifictool.scenario import load_scenario
from pacifictool.settings import ENVIRONMENT
from pacifictool.simulation.shards import Shard
from tests.support.documents import ROOT, parse
from tests.support.service_files import SERVICE, expressions, manifests, metrics_used

UNIT = SERVICE / "pacifictool-aggregate.service"
VARIABLES = {name for names in ENVIRONMENT.values() for name in names} | {
    "HOME", "PACIFICTOOL_STATE", "PACIFICTOOL_CACHE", "PACIFICTOOL_LOG_FORMAT",
}  # fmt: skip


def unit() -> dict[str, dict[str, list[str]]]:
    """Section → key → values: a key may stand several times."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(match[1], {})
        else:
            key, separator, value = line.partition("=")
            assert separator
            section.setdefault(key, []).append(value)
    return found


def test_the_unit_starts_the_job_as_documented() -> None:
    service = unit()["Service"]
    (start,) = service["ExecStart"]
    program, *words = shlex.split(start.replace("%S", "/var/lib"))
    assert program == "/opt/pacifictool/bin/pacifictool"
    parse(words)
    assert words[0] == "aggregate"
    assert {each.partition("=")[0] for each in service["Environment"]} <= VARIABLES
    assert "password" not in start
    assert (service["SuccessExitStatus"], service["RestartPreventExitStatus"]) == (["130"], ["2"])
    assert (service["Restart"], service["KillSignal"]) == (["on-failure"], ["SIGTERM"])
    assert unit()["Install"] == {"WantedBy": ["multi-user.target"]}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="the test above parses the unit, too")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    # It looks whether the program is there.
    copy.write_text(
        UNIT.read_text(encoding="utf-8").replace("/opt/pacifictool/bin/pacifictool", sys.executable), encoding="utf-8"
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    copy.write_text(copy.read_text(encoding="utf-8").replace("RestartSec", "RestartSecs"), encoding="utf-8")
    wrong = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False, timeout=300
    )
    assert "RestartSecs" in wrong.stderr


def check_pod(pod: dict[str, Any]) -> dict[str, Any]:
    """What Kubernetes itself checks of names within a pod, and that it runs without rights. Returns its container."""
    container: dict[str, Any]
    (container,) = pod["containers"]
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    assert {mount["name"] for mount in container["volumeMounts"]} - {"data"} <= volumes
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in volumes)
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert len(set(paths)) == len(paths)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    rights = container["securityContext"]
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["readOnlyRootFilesystem"] is True
    assert {variable["name"] for variable in container["env"]} <= VARIABLES
    assert all(isinstance(variable["value"], str) for variable in container["env"])
    assert all(isinstance(each, str) for each in (*container.get("args", ()), *container.get("command", ())))
    return container


def test_the_manifest_of_the_job() -> None:
    stateful, service = manifests("aggregate.yaml")
    assert (stateful["apiVersion"], stateful["kind"]) == ("apps/v1", "StatefulSet")
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    spec, template = stateful["spec"], stateful["spec"]["template"]
    assert spec["replicas"] == 1
    labels = template["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert spec["serviceName"] == service["metadata"]["name"]
    container = check_pod(template["spec"])
    parse(container["args"])
    (claim,) = spec["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    checkpoint = container["args"][container["args"].index("--checkpoint") + 1]
    assert Path(checkpoint).is_relative_to(mounts[claim["metadata"]["name"]])
    (port,) = container["ports"]
    assert container["args"][container["args"].index("--metrics") + 1] == f"0.0.0.0:{port['containerPort']}"
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    for probe, path in (("livenessProbe", "/live"), ("readinessProbe", "/health")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]


def test_the_manifest_of_the_fleet_simulates_every_device_once(tmp_path: Path) -> None:
    (job,) = manifests("fleet.yaml")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["backoffLimit"]) == ("Indexed", spec["parallelism"], 0)
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    container = check_pod(pod)
    fake = tmp_path / "pacifictool"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import json, sys; print(json.dumps(sys.argv[1:]))" "$@"\n')
    fake.chmod(0o755)
    simulated: list[str] = []
    fleet = load_scenario(ROOT / "examples" / "thousand_turbines.toml").with_fleet(1000)
    for index in range(spec["completions"]):
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index)}
        done = subprocess.run(container["command"], env=environ, capture_output=True, check=True, timeout=300)
        words = json.loads(done.stdout)
        parse(words)
        shard = Shard.parse(words[words.index("--shard") + 1])
        assert shard.total == spec["completions"]
        simulated += [device.name for device in shard.part_of(fleet.devices)]
    assert sorted(simulated) == sorted(device.name for device in fleet.devices)


def test_the_image_is_built_from_the_wheel_for_a_user_without_rights() -> None:
    text = (SERVICE / "Containerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    names = [name for name, _ in lines]
    assert set(names) <= {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert ["COPY", "dist/*.whl /tmp/"] in lines
    assert ["USER", "10001"] in lines
    assert "RUN" not in names[names.index("USER") :]
    assert json.loads(dict(lines)["ENTRYPOINT"]) == ["pacifictool"]
    environ = dict(word.split("=", 1) for word in shlex.split(dict(lines)["ENV"]))
    assert environ.keys() <= VARIABLES | {"PATH", "PYTHONUNBUFFERED"}
    # The command that fetches the jars is one of Python's, and what it uses is there.
    (code,) = re.findall(r'python -c "(.*?)"', text)
    compile(code, "Containerfile", "exec")
    imports = code[: code.index("ensure_jars(SPARK_KAFKA")].rstrip("; ")
    done = subprocess.run([sys.executable, "-c", imports], check=False, timeout=300, cwd=ROOT)
    assert done.returncode == 0


def test_alerts_and_dashboard_are_whole() -> None:
    alerts = yaml.safe_load((SERVICE / "alerts.yml").read_text(encoding="utf-8"))
    for rule in (rule for group in alerts["groups"] for rule in group["rules"]):
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
    dashboard = json.loads((SERVICE / "grafana.json").read_text(encoding="utf-8"))
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for expression in expressions():
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), expression
    assert len(metrics_used()) > 15


def test_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    promtool = shutil.which("promtool") or ROOT / "build" / "tools" / "promtool"  # make promtool
    cases = (SERVICE / "alerts_test.yml").read_text(encoding="utf-8")
    alerts = (SERVICE / "alerts.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"alert: (\w+)", alerts)) == set(re.findall(r"alertname: (\w+)", cases))
    (tmp_path / "alerts_test.yml").write_text(cases, encoding="utf-8")
    for text, code in ((alerts, 0), (alerts.replace("for: 5m", "for: 15m"), 1)):
        (tmp_path / "alerts.yml").write_text(text, encoding="utf-8")
        command = [promtool, "test", "rules", str(tmp_path / "alerts_test.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr


def test_prometheus_reads_the_alerts() -> None:
    config = yaml.safe_load((ROOT / "examples" / "prometheus.yml").read_text(encoding="utf-8"))
    assert [(ROOT / "examples" / file).is_file() for file in config["rule_files"]] == [True]
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert set(re.findall(r'job="([^"]+)"', " ".join(expressions()))) <= jobs
