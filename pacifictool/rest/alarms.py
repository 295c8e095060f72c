"""Alarms of devices and assets.

At most one alarm of a type is active on an originator: raising it again changes the one that is there, and after a
clear the next one has an id of its own (docs/servers/alarms.md#creating-and-updating, rows 3 and 7). So an id is never
sent, which could bring a cleared alarm back (row 8), nor is a status other than ACTIVE_UNACK: one server clears by it,
another ignores it (docs/servers/alarms.md#clearing-and-acknowledging, rows 3 and 4).
"""

from __future__ import annotations

import builtins
import contextlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from pacifictool.errors import InvalidRequest, NotFound, UnexpectedAnswer
from pacifictool.functions import SEVERITIES, Severity
from pacifictool.rest.creation import name_changed
from pacifictool.rest.entities import AnyEntity, EntityId, Reader, entity_id_of
from pacifictool.rest.http import Session, segment
from pacifictool.rest.paging import Paging

_PATH = "/api/alarm"
_ACTIVE_UNACK = "ACTIVE_UNACK"
_STATUSES = (_ACTIVE_UNACK, "ACTIVE_ACK", "CLEARED_UNACK", "CLEARED_ACK")
_LATEST_MS = 2**63 - 1

Word = TypeVar("Word", bound=str)

MOST_OF_TENANT = 10_000
"""Alarms of a tenant that are read to find those of some entities; ten requests."""


@dataclass(frozen=True, slots=True)
class AlarmInfo:
    """An alarm as the platform has it."""

    id: str
    """A UUID."""
    type: str
    severity: Severity
    """One of `pacifictool.functions.SEVERITIES`."""
    status: str
    """ACTIVE_UNACK, ACTIVE_ACK, CLEARED_UNACK or CLEARED_ACK."""
    start_ms: int
    """ms since the epoch. 1.x and 2.x keep the one of the first raise
    (docs/servers/alarms.md#creating-and-updating, row 5)."""
    end_ms: int
    """ms since the epoch: when it was raised last."""
    details: Mapping[str, Any]
    """{} where there are none, or something that is not a JSON object."""
    originator: EntityId
    """Kind and UUID of the device or asset; it may be deleted by now."""
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole JSON object as the server sent it."""

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Raises UnexpectedAnswer."""
        reader = Reader(document, "alarm")
        details = reader.document.get("details")
        return cls(
            id=reader.identifier("id"),
            type=reader.text("type"),
            severity=_known(reader.text("severity"), "severity", SEVERITIES),
            status=_known(reader.text("status"), "status", _STATUSES),
            start_ms=_checked_time(reader.integer("startTs")),
            end_ms=_checked_time(reader.integer("endTs")),
            details=details if isinstance(details, dict) else {},
            originator=EntityId(
                Reader(reader.document.get("originator"), "alarm's originator").text("entityType"),
                reader.identifier("originator"),
            ),
            raw=reader.document,
        )

    @property
    def is_active(self) -> bool:
        """Whether it is not cleared; it may be acknowledged."""
        return self.status.startswith("ACTIVE")


class Alarms:
    """Raises, reads and clears alarms. Usable from many threads."""

    def __init__(self, session: Session, paging: Callable[[], Paging], lists_tenant: Callable[[], bool]) -> None:
        """`lists_tenant` says whether the server lists the alarms of the whole tenant."""
        self._session = session
        self._paging = paging
        self._lists_tenant = lists_tenant

    def raise_alarm(
        self,
        originator: AnyEntity,
        type: str,  # noqa: A002
        severity: str,
        details: Mapping[str, Any],
        start_ms: int,
        end_ms: int,
    ) -> AlarmInfo:
        """Raises the alarm of that type, or gives the active one this severity, these details and these times.

        Times are in ms since the epoch; 1.x and 2.x ignore them for an alarm that is active already. Safe to repeat,
        and repeated on connection errors.

        Raises InvalidRequest for what the platform cannot keep, NotFound for an originator that does not exist (1.x
        accepts it: docs/servers/alarms.md#creating-and-updating, row 14), NameChanged when the server keeps another
        type.
        """
        # Servers disagree on an unknown severity (400, 500) and an empty type (400, 200):
        # docs/servers/alarms.md#refusals, rows 1 to 4.
        if severity not in SEVERITIES:
            raise InvalidRequest(f"{severity!r} is not a severity.", hint=f"Use one of {', '.join(SEVERITIES)}.")
        if not type.strip():
            raise InvalidRequest("The type of an alarm cannot be empty.")
        if not 0 < start_ms <= end_ms <= _LATEST_MS:
            raise InvalidRequest(f"{start_ms} to {end_ms} are not the start and end of an alarm in ms since the epoch.")
        identifier = entity_id_of(originator)
        document = {
            "originator": identifier.as_json(),
            "type": type,
            "severity": severity,
            "status": _ACTIVE_UNACK,
            "details": dict(details),
            "startTs": start_ms,
            "endTs": end_ms,
        }
        raised = AlarmInfo.from_json(self._session.request("POST", _PATH, json=document, repeatable=True, expect=dict))
        if raised.originator != identifier:
            raise UnexpectedAnswer(f"The server raised the alarm {type!r} on another entity than {identifier.id}.")
        if raised.type != type:
            raise name_changed(self._session, type, raised.type, raised.id, "raised just now")
        return raised

    def clear(self, alarm_id: str) -> None:
        """Clears the alarm. One that is cleared already, or does not exist, is left as it is."""
        try:
            self._session.request("POST", f"{_PATH}/{segment(alarm_id)}/clear", repeatable=True)
        except NotFound:
            return
        except InvalidRequest:
            # What 3.5 and later say of one that is cleared: docs/servers/alarms.md#clearing-and-acknowledging, row 6.
            try:
                if self.get(alarm_id).is_active:
                    raise
            except NotFound:
                return

    def get(self, alarm_id: str) -> AlarmInfo:
        """The alarm with that UUID, also when its originator is deleted. Raises NotFound."""
        return AlarmInfo.from_json(self._session.request("GET", f"{_PATH}/{segment(alarm_id)}", expect=dict))

    def active(self, originator: AnyEntity) -> builtins.list[AlarmInfo]:
        """The alarms of the entity that are not cleared; see `list`."""
        return self.list(originator, active=True)

    def list(self, originator: AnyEntity, *, active: bool | None = None) -> builtins.list[AlarmInfo]:
        """The alarms of the entity, the one that started last first; with `active` only those that are, or are not.

        Alarms that other entities propagate to it are left out. Raises NotFound when the entity does not exist.
        """
        identifier = entity_id_of(originator)
        path = f"{_PATH}/{segment(identifier.entity_type)}/{segment(identifier.id)}"
        found = self._paging().items_by_time(self._session, path, _status_search(active))
        return _ours(found, {identifier}, active)

    def of_many(self, originators: Collection[AnyEntity], *, active: bool | None = None) -> builtins.list[AlarmInfo]:
        """As `list`, of several entities, with as few requests as possible; those that do not exist have none."""
        if len(originators) > 1 and (found := self.of_tenant(originators, active=active)) is not None:
            return found
        alarms: builtins.list[AlarmInfo] = []
        for each in originators:
            with contextlib.suppress(NotFound):
                alarms += self.list(each, active=active)
        return sorted(alarms, key=_newest_first)

    def of_tenant(
        self, originators: Collection[AnyEntity], *, active: bool | None = None
    ) -> builtins.list[AlarmInfo] | None:
        """As `of_many`, from the list of the tenant's alarms; None on servers before 3.3, which have no such list
        (docs/servers/alarms.md#reading, row 7), and for a tenant with more than MOST_OF_TENANT of them.
        """
        if not self._lists_tenant():
            return None
        pages = self._paging().items_by_time(self._session, f"{_PATH}s", _status_search(active))
        found = builtins.list(itertools.islice(pages, MOST_OF_TENANT + 1))
        return (
            None if len(found) > MOST_OF_TENANT else _ours(found, {entity_id_of(each) for each in originators}, active)
        )


@dataclass(frozen=True, slots=True)
class EntityAlarm:
    """An alarm with the name of its originator, for people."""

    info: AlarmInfo
    entity: str

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        info = self.info
        return {
            "id": info.id,
            "type": info.type,
            "severity": info.severity,
            "status": info.status,
            "entity": self.entity,
            "entity_kind": info.originator.entity_type.lower(),
            "start_ts": info.start_ms,
            "end_ts": info.end_ms,
            "details": dict(info.details),
        }

    def details_text(self, letters: int) -> str:
        """The details in one line of up to that many letters: "temperature: 9.2, sensors: [1, 2]"."""
        parts = (
            f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for key, value in itertools.islice(self.info.details.items(), letters)
        )
        text = ", ".join(parts)
        return text if len(text) <= letters else f"{text[: letters - 1]}…"


def alarm_summary(alarms: Sequence[EntityAlarm]) -> str:
    """The number and the most urgent one, which is the first: "3 active alarms, first CRITICAL Storm of Zone A"; empty
    without any."""
    if not alarms:
        return ""
    first, count = alarms[0], len(alarms)
    number = "1 active alarm:" if count == 1 else f"{count:,} active alarms, first"
    return f"{number} {first.info.severity} {first.info.type} of {first.entity}"


def most_urgent_first(alarms: Iterable[AlarmInfo]) -> list[AlarmInfo]:
    """Active ones before cleared ones, then by severity, then the one that started last."""
    return sorted(alarms, key=lambda each: (not each.is_active, SEVERITIES.index(each.severity), *_newest_first(each)))


def _status_search(active: bool | None) -> dict[str, str]:  # noqa: FBT001 - see `Alarms.list`
    return {} if active is None else {"searchStatus": "ACTIVE" if active else "CLEARED"}


def _ours(items: Iterable[Any], originators: Collection[EntityId], active: bool | None) -> list[AlarmInfo]:  # noqa: FBT001
    """Those of the wanted entities, whatever else the server lists; that is not even read."""
    ids = {each.id for each in originators}
    found = [AlarmInfo.from_json(item) for item in items if Reader(item, "alarm").identifier("originator") in ids]
    ours = (each for each in found if each.originator in originators and active in (None, each.is_active))
    return sorted(ours, key=_newest_first)


def _newest_first(alarm: AlarmInfo) -> tuple[int, str]:
    return -alarm.start_ms, alarm.id


def _known(text: str, name: str, known: tuple[Word, ...]) -> Word:
    for word in known:
        if text == word:
            return word
    raise UnexpectedAnswer(
        f"The server gives {text[:60]!r} as the {name} of an alarm.",
        hint="Check that the server is of a generation that pacifictool supports.",
    )


def _checked_time(time_ms: int) -> int:
    if not 0 <= time_ms <= _LATEST_MS:
        raise UnexpectedAnswer(f"The server gives {str(time_ms)[:60]} as a time of an alarm.")
    return time_ms
