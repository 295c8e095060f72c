"""Latest values of many devices with one request: `POST /api/entitiesQuery/find`, the query behind dashboards.

Servers have it since 3.1; older ones return 404.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest.http import Session

DEVICES_PER_REQUEST: Final = 2000
_PATH: Final = "/api/entitiesQuery/find"


class DeviceQueries:
    """Queries for devices. Usable from many threads. Every method raises NotFound on a server before 3.1."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def latest(self, ids: Sequence[str], key: str) -> dict[str, tuple[int, str] | None]:
        """Time (ms since the epoch) and text of the latest value of `key` by device, None where there is none.

        Ids that do not exist are left out.
        """
        points: dict[str, tuple[int, str] | None] = {}
        for start in range(0, len(ids), DEVICES_PER_REQUEST):
            some = {
                "type": "entityList",
                "entityType": "DEVICE",
                "entityList": ids[start : start + DEVICES_PER_REQUEST],
            }
            page = self._page({"entityFilter": some, "latestValues": [{"type": "TIME_SERIES", "key": key}]})
            try:
                points |= {item["entityId"]["id"]: _point(item, key) for item in page["data"]}
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise _unknown_form() from error
        return points

    def names(self) -> Iterator[tuple[str, str]]:
        """Name and id of every device, page by page, the one created last first.

        Devices that are created meanwhile make others come twice, and let none be missed.
        """
        everything = {"type": "entityName", "entityType": "DEVICE", "entityNameFilter": ""}
        fields = [{"type": "ENTITY_FIELD", "key": "name"}]
        number, has_next = 0, True
        while has_next:
            page = self._page({"entityFilter": everything, "entityFields": fields}, number)
            try:
                found = [
                    (str(item["latest"]["ENTITY_FIELD"]["name"]["value"]), str(item["entityId"]["id"]))
                    for item in page["data"]
                ]
                has_next = bool(page["hasNext"])
            except (KeyError, TypeError) as error:
                raise _unknown_form() from error
            yield from found
            number += 1

    def _page(self, query: dict[str, Any], number: int = 0) -> dict[str, Any]:
        response: dict[str, Any] = self._session.request(
            "POST",
            _PATH,
            json={
                **query,
                "pageLink": {
                    "pageSize": DEVICES_PER_REQUEST,
                    "page": number,
                    "sortOrder": {"key": {"type": "ENTITY_FIELD", "key": "createdTime"}, "direction": "DESC"},
                },
            },
            repeatable=True,
            expect=dict,
        )
        return response


def _point(item: dict[str, Any], key: str) -> tuple[int, str] | None:
    # A key without any value is left out, or comes as an empty text.
    found = item["latest"].get("TIME_SERIES", {}).get(key) or {}
    text = found.get("value")
    return (int(found["ts"]), str(text)) if text not in (None, "") else None


def _unknown_form() -> UnexpectedAnswer:
    return UnexpectedAnswer(f"The server responds to POST {_PATH} in an unknown form.", request=f"POST {_PATH}")
