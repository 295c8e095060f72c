"""The configuration of a dashboard: results over time above, devices' latest values below.

There are two formats. From 4.0 on a widget names its type by `typeFullFqn`, as in the body that a 4.3.1 server
accepted (docs/servers/4.x.md#dashboards, row 2). Before, it names a bundle and an alias; the UI of later servers
still reads that (docs/servers/4.x.md#dashboards, row 3). How either looks in the web UI was not observed.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

_NAMESPACE = uuid.UUID("5b0c4f6e-3d0f-4f0e-8f6b-0c1d7f7f5a01")
_HOUR_MS = 3_600_000
_COLUMNS = 24
_CHART_ROWS = 10
_COLORS = ("#2196f3", "#4caf50", "#f44336", "#ffc107", "#607d8b", "#9c27b0", "#8bc34a", "#3f51b5")

Configuration = dict[str, Any]


class WidgetStyle(Enum):
    """The format of widgets and aliases of a generation of servers."""

    BUNDLE = "bundle"
    """`bundleAlias` and `typeAlias`; an alias names one `assetType` or `deviceType`."""
    FQN = "fqn"
    """`typeFullFqn`; an alias names `assetTypes` or `deviceTypes`."""


@dataclass(frozen=True, slots=True)
class DashboardKey:
    """A key of telemetry, and how its values are labelled."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class DashboardChart:
    """A chart of values over time: which keys of which entities."""

    role: str
    """Identifies the widget of a dashboard: the same for every run."""
    title: str
    entities: Literal["asset", "device"]
    entity_type: str
    keys: tuple[DashboardKey, ...]


@dataclass(frozen=True, slots=True)
class DashboardSpec:
    """What a dashboard is to show: charts, and a table of the devices' latest values below them."""

    description: str
    """Kept in the configuration; identifies a dashboard of ours."""
    charts: tuple[DashboardChart, ...]
    device_type: str
    device_keys: tuple[DashboardKey, ...]


@dataclass(frozen=True, slots=True)
class _Widget:
    """One box: which entities, and by which widget type of the platform."""

    role: str
    title: str
    kind: str
    """timeseries or latest."""
    alias: str
    entities: str
    """asset or device."""
    entity_type: str
    keys: tuple[DashboardKey, ...]
    bundle: tuple[str, str]
    fqn: str
    row: int
    height: int
    settings: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(uuid.uuid5(_NAMESPACE, self.role))

    @property
    def alias_id(self) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{self.role}-alias"))

    @property
    def key_names(self) -> list[str]:
        return [key.key for key in self.keys]


def _widgets(spec: DashboardSpec) -> list[_Widget]:
    charts = [
        _Widget(
            chart.role, chart.title, "timeseries", chart.title, chart.entities, chart.entity_type, chart.keys,
            ("charts", "basic_timeseries"), "system.time_series_chart", index * _CHART_ROWS, _CHART_ROWS, {},
        )
        for index, chart in enumerate(spec.charts)
    ]  # fmt: skip
    table = _Widget(
        "devices", "Latest values", "latest", "Devices", "device", spec.device_type, spec.device_keys,
        ("cards", "entities_table"), "system.cards.entities_table", len(charts) * _CHART_ROWS, 8,
        {"displayEntityName": True, "displayEntityType": False, "displayPagination": True, "defaultPageSize": 10},
    )  # fmt: skip
    return [*charts, table]


def dashboard_configuration(spec: DashboardSpec, title: str, style: WidgetStyle) -> Configuration:
    """The whole configuration of a new dashboard of that title."""
    widgets = _widgets(spec)
    size = {widget.id: {"sizeX": _COLUMNS, "sizeY": widget.height, "row": widget.row, "col": 0} for widget in widgets}
    return {
        "description": spec.description,
        "widgets": {widget.id: _widget(widget, style) for widget in widgets},
        "states": {
            "default": {
                "name": title,
                "root": True,
                "layouts": {
                    "main": {
                        "widgets": size,
                        "gridSettings": {"backgroundColor": "#eeeeee", "columns": _COLUMNS, **_margins(style)},
                    }
                },
            }
        },
        "entityAliases": {
            widget.alias_id: {"id": widget.alias_id, "alias": widget.alias, "filter": _filter(widget, style)}
            for widget in widgets
        },
        **({"filters": {}} if style is WidgetStyle.FQN else {}),
        "timewindow": _timewindow(style),
        "settings": {
            "stateControllerId": "entity",
            "showTitle": True,
            "showDashboardsSelect": True,
            "showEntitiesSelect": True,
            "showDashboardTimewindow": True,
            "showDashboardExport": True,
            "toolbarAlwaysOpen": True,
        },
    }


def dashboard_differences(actual: Mapping[str, Any], spec: DashboardSpec, style: WidgetStyle) -> Iterator[str]:
    """One line for each part of ours that shows something else than is wanted.

    What a person has moved, recoloured, added or taken out in the web UI is theirs and no difference.
    """
    aliases, widgets = _members(actual, "entityAliases"), _members(actual, "widgets")
    for widget in _widgets(spec):
        alias, box = aliases.get(widget.alias_id), widgets.get(widget.id)
        if isinstance(alias, dict) and _types(alias.get("filter")) != _types(_filter(widget, style)):
            yield f"{widget.alias.lower()}: entities of the type {widget.entity_type!r}"
        if isinstance(box, dict) and _lacks(box, widget):
            wanted, names = (", ".join(map(repr, keys)) for keys in (widget.key_names, _key_names(box)))
            yield f"{widget.title.lower()}: {wanted} instead of {names}"


def refitted_dashboard(actual: Mapping[str, Any], spec: DashboardSpec, style: WidgetStyle) -> Configuration:
    """`actual` with our aliases and keys as wanted, and everything else as it is."""
    changed = copy.deepcopy(dict(actual))
    aliases, widgets = _members(changed, "entityAliases"), _members(changed, "widgets")
    for widget in _widgets(spec):
        alias, box = aliases.get(widget.alias_id), widgets.get(widget.id)
        if isinstance(alias, dict):
            alias["filter"] = _filter(widget, style)
        if isinstance(box, dict) and _lacks(box, widget):
            box["config"]["datasources"] = [_datasource(widget)]
    return changed


def _widget(widget: _Widget, style: WidgetStyle) -> Configuration:
    bundle, alias = widget.bundle
    kind: Configuration = (
        {"typeFullFqn": widget.fqn}
        if style is WidgetStyle.FQN
        else {"isSystemType": True, "bundleAlias": bundle, "typeAlias": alias, "title": widget.title}
    )
    return {
        **kind,
        "type": widget.kind,
        "sizeX": _COLUMNS,
        "sizeY": widget.height,
        "row": widget.row,
        "col": 0,
        "id": widget.id,
        "config": {
            "datasources": [_datasource(widget)],
            "useDashboardTimewindow": True,
            "showTitle": True,
            "title": f"{widget.title}: {', '.join(key.label for key in widget.keys)}",
            "showLegend": widget.kind == "timeseries",
            "settings": dict(widget.settings),
            "timewindow": {"realtime": {"timewindowMs": _HOUR_MS}},
        },
    }


def _datasource(widget: _Widget) -> Configuration:
    keys = [
        {
            "name": key.key,
            "type": "timeseries",
            "label": key.label,
            "color": _COLORS[index % len(_COLORS)],
            "settings": {},
            # The UI distinguishes keys by it; any number below 1 will do.
            "_hash": round(0.123 + index * 0.001, 3),
        }
        for index, key in enumerate(widget.keys)
    ]
    return {"type": "entity", "name": None, "entityAliasId": widget.alias_id, "dataKeys": keys}


def _lacks(box: Mapping[str, Any], widget: _Widget) -> bool:
    """Whether a box of ours does not show all wanted keys; one whose keys a person has taken out is left alone."""
    names = _key_names(box)
    return bool(names) and not set(widget.key_names) <= set(names)


def _filter(widget: _Widget, style: WidgetStyle) -> Configuration:
    entities = widget.entities
    types = (
        {f"{entities}Types": [widget.entity_type]}
        if style is WidgetStyle.FQN
        else {f"{entities}Type": widget.entity_type}
    )
    return {"type": f"{entities}Type", "resolveMultiple": True, **types, f"{entities}NameFilter": ""}


def _margins(style: WidgetStyle) -> Configuration:
    if style is WidgetStyle.FQN:
        return {"margin": 10, "outerMargin": True, "backgroundSizeMode": "100%"}
    return {"margins": [10, 10], "backgroundSizeMode": "100%"}


def _timewindow(style: WidgetStyle) -> Configuration:
    window: Configuration = {"interval": 1000, "timewindowMs": _HOUR_MS}
    if style is WidgetStyle.FQN:
        return {
            "selectedTab": 0,
            "realtime": {"realtimeType": 0, **window},
            "aggregation": {"type": "NONE", "limit": 25_000},
        }
    # An hour of the tutorial's windows are 360 points; the UI of 1.x asks for 500 at most.
    return {"selectedTab": 0, "realtime": window, "aggregation": {"type": "NONE", "limit": 500}}


def _members(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _types(filter_: Any) -> set[str]:
    """The types of entities that an alias's filter names, in either style."""
    if not isinstance(filter_, dict):
        return set()
    found: set[str] = set()
    for kind in ("asset", "device"):
        several, one = filter_.get(f"{kind}Types"), filter_.get(f"{kind}Type")
        found |= {f"{kind} {text}" for text in several} if isinstance(several, list) else set()
        found |= {f"{kind} {one}"} if isinstance(one, str) else set()
    return found


def _key_names(box: Mapping[str, Any]) -> list[str]:
    """The names of the keys that a widget shows."""
    sources = _objects(_members(box, "config").get("datasources"))
    return [str(key.get("name")) for source in sources for key in _objects(source.get("dataKeys"))]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
