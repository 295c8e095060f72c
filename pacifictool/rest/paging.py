"""Lists of any length: every page behind one iterator.

Server generations page differently; each way is one class with the method `items`. Platform 3.0 and later count pages
(`page`, `pageSize`): a second class beside `TextPaging` is all they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest.session import Session

PAGE_SIZE = 1000


class Paging(Protocol):
    """A generation's way of handing out long lists."""

    def items(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Every item that matches, page by page, in the server's order. Raises PlatformError."""


class TextPaging:
    """1.x to 2.5: `limit`, then `idOffset` and `textOffset` of the previous page's `nextPageLink`.

    Facts (platform-1x, section 3): `hasNext` only means that the page is full, so that an empty page may follow; in
    SQL mode only `idOffset` counts.
    """

    def __init__(self, page_size: int = PAGE_SIZE) -> None:
        self._page_size = page_size

    def items(self, session: Session, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """See `Paging`. Raises UnexpectedAnswer also for a server that hands out the same page again and again."""
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
                    f"A page of GET {path} says that more follow, but not where.", request=f"GET {path}"
                )
            offset = link["idOffset"]
            if offset in seen_offsets:
                raise _endless(path)
            seen_offsets.add(offset)
            query["idOffset"] = offset
            if isinstance(link.get("textOffset"), str):
                query["textOffset"] = link["textOffset"]


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
