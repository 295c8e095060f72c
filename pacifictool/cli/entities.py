"""What `device …` and `asset …` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pacifictool.cli.confirm import confirm
from pacifictool.cli.listing import entity_document, show_entities
from pacifictool.errors import UsageError

if TYPE_CHECKING:
    from pacifictool.cli.context import Session
    from pacifictool.rest import Asset, Assets, Device, Devices, Platform

Registry = Callable[["Platform"], "Devices | Assets"]


def create_entity(session: Session, registry: Registry, noun: str, name: str, entity_type: str | None) -> None:
    """Creates one that does not exist yet."""
    _check(noun, name)
    if entity_type is not None:
        _check("type", entity_type)
    with session.connect() as platform:
        entities = registry(platform)
        existing = entities.find(name)
        entity = existing or entities.get_or_create(name, entity_type or session.scenario.platform.entity_type)
    text = f"Created {noun} {name}." if existing is None else f"The {noun} {name} exists already."
    session.output.emit(
        {"ok": True, "created": existing is None, noun: entity_document(entity)},
        lambda console: console.print(text),
    )


def _check(what: str, name: str) -> None:
    """Refuses a name that could be created, if at all, but hardly be used. Raises UsageError."""
    from pacifictool.scenario import check_name

    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"{what.capitalize()} {name[:40]!r}: {error}.", hint="Choose another name.") from None


def list_entities(session: Session, registry: Registry, noun: str, entity_type: str | None, search: str | None) -> None:
    """Lists all pages."""
    with session.connect() as platform, session.patience(f"Reading all {noun}s"):
        entities: list[Any] = list(registry(platform).list(type=entity_type, text_search=search))
    show_entities(session, f"{noun}s", entities)


def delete_entity(
    session: Session,
    registry: Registry,
    noun: str,
    name: str,
    require: Callable[[Platform, str], Device | Asset],
    *,
    yes: bool,
) -> None:
    """Deletes one after asking."""
    with session.connect() as platform:
        entity = require(platform, name)
        confirm(session, f"Delete {noun} {name} with its data?", yes=yes)
        registry(platform).delete(entity.id)
    session.output.emit({"ok": True, "deleted": name}, lambda console: console.print(f"Deleted {noun} {name}."))
