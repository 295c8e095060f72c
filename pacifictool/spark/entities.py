"""Which devices and assets a query is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

from pacifictool.rest import Asset, Device, EntityId, Platform
from pacifictool.rest.resources import NamedResources
from pacifictool.spark.columns import TEXT, TIME, table_schema, text_of
from pacifictool.spark.filters import Selection
from pacifictool.spark.options import DEVICE, EntityOptions
from pacifictool.tools.threads import run_bounded

ENTITY_COLUMNS: Final = table_schema(entity_kind=TEXT, entity_id=TEXT, name=TEXT, type=TEXT)
ENTITY_TEXTS: Final = tuple(column.name for column in ENTITY_COLUMNS.fields)
ENTITIES: Final = table_schema(
    entity_kind=TEXT, entity_id=TEXT, name=TEXT, type=TEXT, label=TEXT, created=TIME, additional_info=TEXT
)
"""The tables `devices` and `assets`."""

_LOOKED_UP: Final = 200
"""Up to this many names are looked up one by one; for more, the whole list is read."""
_LOOK_UPS_AT_ONCE: Final = 8


class EntityRef(NamedTuple):
    """A device or asset: the columns that name it in every table."""

    entity_kind: str
    entity_id: str
    name: str
    type: str

    @property
    def platform_id(self) -> EntityId:
        return EntityId(self.entity_kind.upper(), self.entity_id)


def find_entities(
    platform: Platform, kinds: Iterable[str], options: EntityOptions, selection: Selection
) -> Iterator[Device | Asset]:
    """The entities of these kinds that options and filters leave, page by page or looked up by name."""
    wanted_names, wanted_types = (
        _both(options.names, selection.only("name")),
        _both(options.entity_type, selection.only("type")),
    )
    for kind in kinds:
        if not selection.admits("entity_kind", kind):
            continue
        resources: NamedResources[Any] = platform.devices if kind == DEVICE else platform.assets
        for entity in _listed(resources, wanted_names, wanted_types):
            if (wanted_names is None or entity.name in wanted_names) and (
                wanted_types is None or entity.type in wanted_types
            ):
                row = ref_of(entity)._asdict()
                if all(selection.admits(column, row[column]) for column in ENTITY_TEXTS):
                    yield entity


def ref_of(entity: Device | Asset) -> EntityRef:
    """What other tables need of it."""
    return EntityRef(entity.entity_type.lower(), entity.id, entity.name, entity.type)


def entity_rows(entities: Iterable[Device | Asset]) -> Iterator[Mapping[str, Any]]:
    """Rows of the tables `devices` and `assets`."""
    for entity in entities:
        yield {
            **ref_of(entity)._asdict(),
            "label": text_of(entity.raw.get("label")),
            "created": entity.created_time,
            "additional_info": text_of(entity.raw.get("additionalInfo")),
        }


def _both(first: Iterable[str] | None, second: Iterable[str] | None) -> set[str] | None:
    if first is None or second is None:
        return None if first is None and second is None else set(first or second or ())
    return set(first) & set(second)


def _listed(resources: NamedResources[Any], names: set[str] | None, types: set[str] | None) -> Iterable[Device | Asset]:
    if names is not None and len(names) <= _LOOKED_UP:
        found = run_bounded(resources.find, sorted(names), workers=_LOOK_UPS_AT_ONCE, name="look-up")
        return (entity for entity in found if entity is not None)
    if types is not None:
        return chain.from_iterable(resources.list(type=each) for each in sorted(types))
    return resources.list()
