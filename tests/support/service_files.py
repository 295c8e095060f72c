"""What examples/service relies on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from tests.support.documents import ROOT

SERVICE: Final = ROOT / "examples" / "service"
_METRIC: Final = re.compile(r"\b(?:pacifictool|process)_\w+")


def expressions() -> Iterator[str]:
    """Every query of the alerts and of the dashboard."""
    alerts = yaml.safe_load((SERVICE / "alerts.yml").read_text(encoding="utf-8"))
    for group in alerts["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    dashboard = json.loads((SERVICE / "grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query")


def metrics_used() -> set[str]:
    """The names of metrics in them."""
    return {name for expression in expressions() for name in _METRIC.findall(expression)}


def manifests(name: str) -> list[dict[str, Any]]:
    """The documents of a file for Kubernetes."""
    return list(yaml.safe_load_all((SERVICE / name).read_text(encoding="utf-8")))
