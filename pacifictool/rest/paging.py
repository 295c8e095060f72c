"""Lists of any length: one iterator over all pages.

Server generations page differently, with one class each: `TextPaging` for 1.x and 2.x, `NumberPaging` for 3.0 and
later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest.http import Session

PAGE_SIZE = 1000


class Paging(Protocol):
    """How a generation splits long lists into pages."""

    @property
    def searches_anywhere(self) -> bool:
        """Whether `textSearch` finds a text anywhere in a name, and not only at its beginning."""

    def newest(self, count: int) -> dict[str, str | int]:
        """The parameters that ask for the last `count` events, the newest first."""

    def items(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Every item that matches, page by page, in the server's order. Raises PlatformError."""

    def items_by_time(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """As `items`, for what the server lists by time instead of by name: alarms."""


class TextPaging:
    """1.x to 2.5: `limit`, then `idOffset` and `textOffset` of the previous page's `nextPageLink`.

    `hasNext` only means that the page is full, so that an empty page may follow; in SQL mode only `idOffset` counts
    (docs/servers/1.x.md#pages, rows 2 and 3).
    """

    searches_anywhere = False

    def __init__(self, page_size: int = PAGE_SIZE) -> None:
        self._page_size = page_size

    def newest(self, count: int) -> dict[str, str | int]:
        """See `Paging`."""
        return {"limit": count}

    def items(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """See `Paging`. Raises UnexpectedAnswer also for a server that repeats a page endlessly."""
        return self._pages(session, path, params, "idOffset")

    def items_by_time(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """See `Paging`; `nextPageLink` has an `idOffset` here, too, that the request calls `offset`
        (docs/servers/alarms.md#reading, row 5)."""
        return self._pages(session, path, params, "offset")

    def _pages(
        self, session: Session, path: str, params: Mapping[str, str], parameter: str
    ) -> Iterator[dict[str, Any]]:
        query: dict[str, str | int] = {**params, "limit": self._page_size}
        seen_offsets: set[str] = set()
        seen_first: set[str] = set()
        while True:
            page = session.request("GET", path, params=query, expect=dict)
            data = _data(page, path)
            if data:
                first = str(data[0].get("id"))
                if first in seen_first:
                    raise _endless(path)
                seen_first.add(first)
            yield from data
            if not page.get("hasNext"):
                return
            link = page.get("nextPageLink")
            if not isinstance(link, dict) or not isinstance(link.get("idOffset"), str) or not data:
                raise UnexpectedAnswer(
                    f"A page of GET {path} says that more pages follow, but not where.", request=f"GET {path}"
                )
            offset = link["idOffset"]
            if offset in seen_offsets:
                raise _endless(path)
            seen_offsets.add(offset)
            query[parameter] = offset
            if isinstance(link.get("textOffset"), str):
                query["textOffset"] = link["textOffset"]


class NumberPaging:
    """3.0 and later: `pageSize` and `page`, counted from 0; the response has `totalElements` and `hasNext`.

    Without an order the server sorts by the ids' text, so that something created meanwhile may land on a page already
    read; sorted by time of creation it comes last (docs/servers/4.x.md#pages, row 4). What is deleted meanwhile moves
    the rest forward: then as many positions are read again as items are missing.
    """

    searches_anywhere = True

    def __init__(self, page_size: int = PAGE_SIZE) -> None:
        self._page_size = page_size

    def newest(self, count: int) -> dict[str, str | int]:
        """See `Paging`."""
        return {"pageSize": count, "page": 0, "sortProperty": "createdTime", "sortOrder": "DESC"}

    def items(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """See `Paging`. Every item once. Raises UnexpectedAnswer also for a server that repeats a page endlessly."""
        size = self._page_size
        order = {"sortProperty": "createdTime", "sortOrder": "ASC"}
        seen: set[str] = set()
        number, known_total, read_before = 0, 0, -1
        useful, useless = 0, 0
        while True:
            query: dict[str, str | int] = {**params, "pageSize": size, "page": number, **order}
            page = session.request("GET", path, params=query, expect=dict)
            data, total = _data(page, path), _total(page, path)
            gone = max(0, known_total - total)
            known_total = total
            fresh = {identity: item for item in data if (identity := str(item.get("id"))) not in seen}
            if (gone and number) or not fresh:
                useless += 1
            else:
                useful, useless = useful + 1, 0
            # Reading everything so far again may bring nothing new; more than that would never end.
            if useless > 2 * useful + 1:
                raise _endless(path)
            if gone and number:
                number, read_before = max(0, number * size - gone) // size, number
                continue
            seen.update(fresh)
            yield from fresh.values()
            if not page.get("hasNext"):
                return
            if not fresh and not (data and number <= read_before):
                raise _endless(path)
            number += 1

    def items_by_time(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """See `Paging`."""
        return self.items(session, path, params)


def _total(page: dict[str, Any], path: str) -> int:
    total = page.get("totalElements")
    if not isinstance(total, int) or isinstance(total, bool) or total < 0:
        raise UnexpectedAnswer(f"A page of GET {path} does not say how many items there are.", request=f"GET {path}")
    return total


def _data(page: dict[str, Any], path: str) -> list[dict[str, Any]]:
    data = page.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UnexpectedAnswer(f"A page of GET {path} has no list of items.", request=f"GET {path}")
    return data


def _endless(path: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"The server repeats a page of GET {path} endlessly.",
        hint="Restart the server, or look in front of it for a cache that ignores query parameters.",
        request=f"GET {path}",
    )
