"""Time series of devices and assets, typed.

The server's peculiarities are hidden here (docs/servers/1.x.md#telemetry-over-rest, rows 12, 13, 15 and 16;
docs/servers/4.x.md#telemetry-over-rest, row 6): values that come back as texts, null at the current time for unknown
keys, bounds that are exclusive on both sides, ranges cut off at 100 points, and a "latest" value that is the last one
written (4.x: the newest).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacifictool.errors import InvalidRequest, UnexpectedAnswer
from pacifictool.rest.entities import AnyEntity, telemetry_path
from pacifictool.rest.http import Session
from pacifictool.rest.values import Value, decode_text, encode_object

RANGE_PAGE = 10_000
"""Points asked for at once."""

_ROWS_PER_REQUEST = 1000
_KEYS_PER_REQUEST = 50
_INTERVALS_PER_REQUEST = 700
"""A later server refuses a query with more."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one key."""

    ts_ms: int
    """ms since the epoch."""
    value: Value | None
    """None only on servers that keep nulls."""


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """Points of one key, the newest first, as the server gave them."""

    ts_ms: list[int]
    """ms since the epoch, each once."""
    values: list[Any]
    """As the server prints them, mostly texts: see `values.decode_text`."""
    complete_from_ms: int
    """From here to the end that was asked for, these are all points there are."""


Row = tuple[int, Mapping[str, Value]]
"""A timestamp in ms since the epoch, and values by key."""


@dataclass(frozen=True, slots=True)
class TelemetryTraits:
    """How the generations differ."""

    start_may_be_exclusive: bool
    """Whether a range may lack the point at its very start."""
    latest_is_last_written: bool
    """Whether "latest" is the value that came last, even if its time is older; otherwise the one of the newest time."""
    writes_at_once: int
    """Writes that may be in flight at the same time; more would only wait for each other in the server."""


class Telemetry:
    """Writes and reads time series. Usable from many threads."""

    def __init__(self, session: Session, traits: Callable[[], TelemetryTraits]) -> None:
        self._session = session
        self._traits = traits

    def latest_is_last_written(self) -> bool:
        """Whether this server shows as "latest" what was written last, even if its time is older.

        To correct an older value on such a server, write the newest once more afterwards, so that it stays the latest.
        """
        return self._traits().latest_is_last_written

    def writes_at_once(self) -> int:
        """How many writes to have in flight at the same time on this server."""
        return self._traits().writes_at_once

    def write(self, entity: AnyEntity, rows: Iterable[Row] | Mapping[str, Iterable[Point]]) -> None:
        """Writes values at given times; the same key and time again overwrites.

        `rows` are (ts_ms, values by key), or points by key. Safe to repeat, and repeated on connection errors. Rows are
        sent in order of time, the newest in a request of its own at the end: 1.x calls "latest" whatever was written
        last. Nothing is sent when there are no values.

        Raises InvalidRequest for NaN, infinities, integers beyond 64 bits and invalid timestamps; NotFound for
        an entity that is not there.
        """
        by_time: dict[int, dict[str, Value]] = {}
        for ts_ms, values in _points_as_rows(rows) if isinstance(rows, Mapping) else rows:
            if isinstance(ts_ms, bool) or not isinstance(ts_ms, int) or not 0 <= ts_ms < 2**63:
                raise InvalidRequest(f"{ts_ms!r} is not a timestamp in ms since the epoch.")
            by_time.setdefault(ts_ms, {}).update(values)
        texts = [
            f'{{"ts":{ts_ms},"values":{encode_object(by_time[ts_ms])}}}' for ts_ms in sorted(by_time) if by_time[ts_ms]
        ]
        if not texts:
            return
        *older, newest = texts
        for start in range(0, len(older), _ROWS_PER_REQUEST):
            self._post(entity, "[" + ",".join(older[start : start + _ROWS_PER_REQUEST]) + "]", repeatable=True)
        self._post(entity, newest, repeatable=True)

    def write_now(self, entity: AnyEntity, values: Mapping[str, Value]) -> None:
        """Writes values at the server's current time. Not repeated when the connection breaks: it could be twice."""
        if values:
            self._post(entity, encode_object(values), repeatable=False)

    def _post(self, entity: AnyEntity, text: str, *, repeatable: bool) -> None:
        # The last segment must be there, but its value does not matter.
        self._session.request(
            "POST", f"{telemetry_path(entity)}/timeseries/ANY", body=text.encode("ascii"), repeatable=repeatable
        )

    def latest(self, entity: AnyEntity, keys: Sequence[str] | None = None) -> dict[str, Point | None]:
        """The latest point of each key, None for a key without any. Without `keys`: of every key there is."""
        return {
            key: None if found is None else Point(found[0], decode_text(found[1], key))
            for key, found in self.latest_as_sent(entity, keys).items()
        }

    def latest_as_sent(self, entity: AnyEntity, keys: Sequence[str] | None = None) -> dict[str, tuple[int, Any] | None]:
        """As `latest`: timestamp and value as the server prints it."""
        wanted = self.keys(entity) if keys is None else [_checked(key) for key in keys]
        found: dict[str, tuple[int, Any] | None] = dict.fromkeys(wanted)
        for some in _parts(wanted):
            document = self._session.request(
                "GET", f"{telemetry_path(entity)}/values/timeseries", params={"keys": ",".join(some)}, expect=dict
            )
            for key in some:
                times, values = _series(document, key)
                # An unknown key comes back as null at the current time.
                found[key] = (times[0], values[0]) if values and values[0] is not None else None
        return found

    def range(self, entity: AnyEntity, key: str, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        """The points with start_ms <= ts < end_ms, oldest first; with `limit`, at most that many of the newest.

        Every point there is, over as many requests as that takes.
        """
        _checked(key)
        points: list[Point] = []
        while start_ms < end_ms and (limit is None or len(points) < limit):
            page_size = RANGE_PAGE if limit is None else min(RANGE_PAGE, limit - len(points) + 1)
            page = self.pages(entity, [key], start_ms, end_ms, page_size)[key]
            points += _decoded(page, key)
            end_ms = page.complete_from_ms
        return points[:limit][::-1]

    def newest(
        self, entity: AnyEntity, keys: Sequence[str], start_ms: int, end_ms: int, limit: int
    ) -> dict[str, list[Point]]:
        """As `range` with a limit of up to RANGE_PAGE, for several keys with one request (50 keys each)."""
        # One more: the server may count the point just before the start.
        pages = self.pages(entity, keys, start_ms, end_ms, limit + 1)
        return {key: list(_decoded(page, key))[:limit][::-1] for key, page in pages.items()}

    def pages(
        self, entity: AnyEntity, keys: Sequence[str], start_ms: int, end_ms: int, limit: int
    ) -> dict[str, SeriesPage]:
        """Up to `limit` of the newest points of each key with start_ms <= ts < end_ms, by one request for 50 keys.

        To go on, ask again with the page's `complete_from_ms` as the end, until that is `start_ms`: nothing is lost and
        nothing comes twice.
        """
        # Asking from start - 1 and checking here gives the same where the start is exclusive (1.x, SQL) or not (1.x,
        # Cassandra), which a client cannot know.
        asked_start_ms = start_ms - 1 if self._traits().start_may_be_exclusive else start_ms
        # Of two points one is within the range, if any is: the server may count one just before it or at its end.
        limit = max(limit, 2)
        found = {}
        for some in _parts([_checked(key) for key in keys]):
            document = self._session.request(
                "GET",
                f"{telemetry_path(entity)}/values/timeseries",
                params={
                    "keys": ",".join(some),
                    "startTs": asked_start_ms,
                    "endTs": end_ms,
                    "interval": 0,
                    "limit": limit,
                    "agg": "NONE",
                },
                expect=dict,
            )
            for key in some:
                times, values = _series(document, key)
                is_full = len(times) >= limit
                if times and not (start_ms <= times[-1] and times[0] < end_ms and len(set(times)) == len(times)):
                    inside = {ts: value for ts, value in zip(times, values, strict=True) if start_ms <= ts < end_ms}
                    times, values = list(inside), list(inside.values())
                found[key] = SeriesPage(times, values, min(times) if is_full and times else start_ms)
        return found

    def aggregates(
        self, entity: AnyEntity, keys: Sequence[str], start_ms: int, end_ms: int, interval_ms: int, aggregation: str
    ) -> dict[str, SeriesPage]:
        """One value for each interval from `start_ms` on that has points, at the interval's middle, in any order.

        Raises InvalidRequest on servers before 4.0, where points on the bounds of intervals are left out
        (docs/servers/1.x.md#telemetry-over-rest, rows 16 and 18).
        """
        if self._traits().start_may_be_exclusive:
            raise InvalidRequest(
                f"The server at {self._session.url} is older than 4.0: its aggregates leave out points on the bounds of"
                " intervals.",
                hint="Read the points themselves, and aggregate them yourself.",
            )
        found = {key: SeriesPage([], [], start_ms) for key in keys}
        step = interval_ms * _INTERVALS_PER_REQUEST
        for begin in range(start_ms, end_ms, step):
            for some in _parts([_checked(key) for key in keys]):
                document = self._session.request(
                    "GET",
                    f"{telemetry_path(entity)}/values/timeseries",
                    params={
                        "keys": ",".join(some),
                        "startTs": begin,
                        "endTs": min(begin + step, end_ms),
                        "interval": interval_ms,
                        "limit": _INTERVALS_PER_REQUEST,
                        "agg": aggregation,
                    },
                    expect=dict,
                )
                for key in some:
                    times, values = _series(document, key)
                    found[key].ts_ms.extend(times)
                    found[key].values.extend(values)
        return found

    def keys(self, entity: AnyEntity) -> list[str]:
        """The keys that the entity has telemetry of."""
        keys = self._session.request("GET", f"{telemetry_path(entity)}/keys/timeseries", expect=list)
        if not all(isinstance(key, str) for key in keys):
            raise UnexpectedAnswer("The server lists telemetry keys that are not text.")
        return keys


def _points_as_rows(points: Mapping[str, Iterable[Point]]) -> Iterable[Row]:
    for key, series in points.items():
        for point in series:
            if point.value is None:
                raise InvalidRequest(f"{key}: the platform does not store empty values.")
            yield point.ts_ms, {key: point.value}


def _checked(key: str) -> str:
    # An empty key in the list makes a 1.x server time out with 503 after 30 s
    # (docs/servers/1.x.md#telemetry-over-rest, row 19); a comma separates keys.
    if not key or "," in key:
        raise InvalidRequest(f"{key!r} is not a valid key: a key is not empty and contains no comma.")
    return key


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _KEYS_PER_REQUEST] for start in range(0, len(keys), _KEYS_PER_REQUEST))


def _decoded(page: SeriesPage, key: str) -> Iterator[Point]:
    return (Point(ts, decode_text(value, key)) for ts, value in zip(page.ts_ms, page.values, strict=True))


def _series(document: Mapping[str, Any], key: str) -> tuple[list[int], list[Any]]:
    """Timestamps and values of one key. A million points pass here: nothing is done for each that can be avoided."""
    series = document.get(key, [])
    if not isinstance(series, list):
        raise UnexpectedAnswer(f"The server gives a JSON {type(series).__name__} as the points of {key!r}.")
    try:
        times, values = [item["ts"] for item in series], [item.get("value") for item in series]
    except (TypeError, KeyError, AttributeError):
        times, values = [None], []
    if not all(type(ts) is int for ts in times):
        raise UnexpectedAnswer(f"The server gives a point of {key!r} without a timestamp.")
    return times, values
