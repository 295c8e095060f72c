"""The tables `attributes`, `latest` and `alarms`: what each entity has at the moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pacifictool.errors import NotFound
from pacifictool.rest import Platform
from pacifictool.rest.alarms import AlarmInfo
from pacifictool.spark.columns import NUMBER_COLUMN, SWITCH, TEXT, TIME, table_schema, text_of
from pacifictool.spark.entities import EntityRef
from pacifictool.spark.filters import TS, Selection
from pacifictool.spark.options import LATEST_MS, AttributeOptions, KeyOptions
from pacifictool.tools.threads import run_bounded

LATEST: Final = table_schema(
    entity_kind=TEXT, entity_id=TEXT, name=TEXT, type=TEXT, key=TEXT, ts=TIME, value=NUMBER_COLUMN, text=TEXT
)
ATTRIBUTES: Final = table_schema(
    entity_kind=TEXT,
    entity_id=TEXT,
    name=TEXT,
    type=TEXT,
    scope=TEXT,
    key=TEXT,
    ts=TIME,
    value=NUMBER_COLUMN,
    text=TEXT,
)
ALARMS: Final = table_schema(
    entity_kind=TEXT, entity_id=TEXT, name=TEXT, type=TEXT, alarm_id=TEXT, alarm_type=TEXT, severity=TEXT, status=TEXT,
    active=SWITCH, ts=TIME, end=TIME, details=TEXT,
)  # fmt: skip
"""`type` is that of the entity; `ts` and `end` are when the alarm began and when it was raised last."""

Row = Mapping[str, Any]


def rows_of_entities(
    read: Callable[[EntityRef], Sequence[Row]], entities: Sequence[EntityRef], workers: int
) -> Iterator[Row]:
    """The rows that `read` finds for each entity; entities that were deleted meanwhile have none."""

    def rows(entity: EntityRef) -> list[Row]:
        names = entity._asdict()
        try:
            return [{**names, **row} for row in read(entity)]
        except NotFound:
            return []

    for found in run_bounded(rows, entities, workers=workers, name="read"):
        yield from found


def wanted_keys(options: KeyOptions, selection: Selection) -> list[str] | None:
    """The keys to ask for, None when only a server knows them."""
    listed, few = options.keys, selection.only("key")
    if listed is None:
        return None if few is None else sorted(few)
    return [key for key in dict.fromkeys(listed) if selection.admits("key", key)]


def latest_rows(platform: Platform, entity: EntityRef, keys: Sequence[str] | None, selection: Selection) -> list[Row]:
    """Rows of `latest`."""
    if keys is None:
        keys = [key for key in platform.telemetry.keys(entity.platform_id) if selection.admits("key", key)]
    return [
        {"key": key, TS: found[0], "text": text_of(found[1])}
        for key, found in platform.telemetry.latest_as_sent(entity.platform_id, keys).items()
        if found is not None and selection.start_ms <= found[0] < selection.end_ms
    ]


def attribute_rows(
    platform: Platform,
    entity: EntityRef,
    options: AttributeOptions,
    keys: Sequence[str] | None,
    selection: Selection,
) -> list[Row]:
    """Rows of `attributes`; one request for each scope, as a server does not say which one an attribute is of."""
    return [
        {"scope": scope, "key": entry.key, TS: entry.updated_ms, "text": text_of(entry.value)}
        for scope in options.scope
        if selection.admits("scope", scope)
        for entry in platform.attributes.entries(entity.platform_id, scope, keys)
        if selection.admits("key", entry.key)
    ]


def alarm_rows(
    platform: Platform,
    entities: Sequence[EntityRef],
    active: bool | None,  # noqa: FBT001 - None: both
    workers: int,
) -> Iterator[Row]:
    """Rows of `alarms`: with one list of the tenant's where the server has that, else entity by entity."""
    names = {entity.platform_id: entity._asdict() for entity in entities}
    found = platform.alarms.of_tenant(names, active=active)
    if found is None:
        return rows_of_entities(
            lambda entity: [_alarm(each) for each in platform.alarms.list(entity.platform_id, active=active)],
            entities,
            workers,
        )
    return ({**names[each.originator], **_alarm(each)} for each in found)


def _alarm(alarm: AlarmInfo) -> Row:
    return {
        "alarm_id": alarm.id,
        "alarm_type": alarm.type,
        "severity": alarm.severity,
        "status": alarm.status,
        "active": alarm.is_active,
        TS: min(alarm.start_ms, LATEST_MS - 1),
        "end": min(alarm.end_ms, LATEST_MS - 1),
        "details": text_of(dict(alarm.details)),
    }
