"""How devices and assets are shown: as a table, or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pacifictool.cli.render import table
from pacifictool.tools.times import utc_text

if TYPE_CHECKING:
    from pacifictool.cli.context import Session
    from pacifictool.rest import Asset, Device


def entity_document(entity: Device | Asset) -> dict[str, Any]:
    """What scripts get of one entity; never a token."""
    return {"id": entity.id, "name": entity.name, "type": entity.type, "created_time": entity.created_time}


def show_entities(session: Session, plural: str, entities: Sequence[Device | Asset]) -> None:
    """Prints all of them."""
    rows = [[entity.name, entity.type, utc_text(entity.created_time), entity.id] for entity in entities]
    columns = {"Name": "left", "Type": "left", "Created": "left", "Id": "left"}
    session.output.emit(
        {"ok": True, plural: [entity_document(entity) for entity in entities]},
        lambda console: console.print(table(f"{len(rows)} {plural}", columns, rows)),
    )
