"""The frames in which calls and readings travel: from the driver to the executors' JVMs, to their Python workers, and
to the process that runs the user's function. See WantedReadings.java, ReadingsChunk.java and FunctionTasks.java.

All numbers are big-endian, as Java writes them. Like everything that runs in workers, this needs only pandas.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pacifictool.analytics.engine.function_frames import frame_of

if TYPE_CHECKING:
    import pandas as pd

CALLS: Final = 0
READINGS: Final = 1
"""Kinds of frames; ReadingsChunk.KIND."""

_HEAD: Final = struct.Struct(">iB")
_SIZE: Final = struct.Struct(">i")
_RANGE: Final = struct.Struct(">iqq")


@dataclass(frozen=True, slots=True)
class WantedRange:
    """A range of the topic that is read again."""

    partition: int
    start: int
    end: int
    excluded: Sequence[int] = ()
    """Offsets of records in it that were not counted although they could be by their content; in order."""


@dataclass(frozen=True, slots=True)
class WantedSeries:
    """A group whose windows are wanted."""

    group: str
    times: Sequence[tuple[int, int]]
    """Beginnings and ends of the times that are wanted, in milliseconds; in order and apart from one another."""


def wanted_readings(ranges: Sequence[WantedRange], series: Sequence[WantedSeries]) -> bytes:
    """What WantedReadings.java reads."""
    parts = [_SIZE.pack(len(ranges))]
    for each in ranges:
        parts += [_RANGE.pack(each.partition, each.start, each.end), _longs(each.excluded)]
    parts.append(_SIZE.pack(len(series)))
    for one in series:
        group = one.group.encode()
        parts += [_SIZE.pack(len(group)), group]
        parts.append(_longs([at for times in one.times for at in times]))
    return b"".join(parts)


def _longs(values: Sequence[int]) -> bytes:
    return struct.pack(f">i{len(values)}q", len(values), *values)


def call_frame(series: int, document: Mapping[str, Any]) -> bytes:
    """A frame with the calls of one series."""
    return _HEAD.pack(series, CALLS) + json.dumps(document).encode()


def with_lengths(frames: Iterable[bytes]) -> bytes:
    """The frames as one text, each after its length."""
    return b"".join(part for frame in frames for part in (_SIZE.pack(len(frame)), frame))


def without_lengths(data: bytes) -> Iterator[bytes]:
    """The frames that `with_lengths` put together."""
    at = 0
    while at < len(data):
        (size,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size
        yield data[at : (at := at + size)]


@dataclass(slots=True)
class SeriesFrames:
    """Calls and readings of one series, not yet decoded."""

    series: int
    calls: bytes
    """A JSON document."""
    readings: list[bytes]


def by_series(frames: Iterable[bytes]) -> Iterator[SeriesFrames]:
    """The frames of each series, which come one after the other."""
    current: SeriesFrames | None = None
    for frame in frames:
        series, kind = _HEAD.unpack_from(frame)
        if current is None or current.series != series:
            if current is not None:
                yield current
            current = SeriesFrames(series, b"{}", [])
        if kind == CALLS:
            current.calls = frame[_HEAD.size :]
        else:
            current.readings.append(frame[_HEAD.size :])
    if current is not None:
        yield current


class SeriesReadings:
    """The readings of a series, of all its windows: `window` cuts out those of one."""

    def __init__(self, chunks: Sequence[bytes], texts: Sequence[str], numbers: Sequence[str]) -> None:
        """`texts` and `numbers` are the keys of the columns of records."""
        import numpy as np

        decoded = [_decoded(chunk, len(texts), len(numbers)) for chunk in chunks] or [_nothing(texts, numbers)]
        columns = [np.concatenate(parts) for parts in zip(*decoded, strict=True)]
        times, partitions, offsets = columns[:3]
        order = np.lexsort((offsets, partitions, times))
        columns = [column[order] for column in columns]
        self._times, self._partitions, self._offsets = columns[:3]
        by_key = dict(zip((*texts, *numbers), columns[3:], strict=True))
        self._columns = {key: by_key[key] for key in sorted(by_key, key=lambda key: key != "deviceName")}

    def window(self, start_ms: int, end_ms: int, spans: Iterable[tuple[int, int, int]]) -> pd.DataFrame:
        """A copy of the readings from `start_ms` to before `end_ms` that lie in the window's own ranges of the topic:
        partition, first offset, and the one after the last. Others of its time came too late to count."""
        import numpy as np

        first, last = np.searchsorted(self._times, [start_ms, end_ms])
        partitions, offsets = self._partitions[first:last], self._offsets[first:last]
        counted = np.zeros(last - first, dtype=bool)
        for partition, start, end in spans:
            counted |= (partitions == partition) & (offsets >= start) & (offsets < end)
        columns = {key: values[first:last][counted] for key, values in self._columns.items()}
        return frame_of(self._times[first:last][counted], columns)


def _nothing(texts: Sequence[str], numbers: Sequence[str]) -> list[Any]:
    import numpy as np

    whole = [np.empty(0, dtype="int64")] * 3
    return [*whole, *(np.empty(0, dtype=object) for _ in texts), *(np.empty(0, dtype="float64") for _ in numbers)]


def _decoded(chunk: bytes, texts: int, numbers: int) -> list[Any]:
    """The columns of a chunk: times, partitions, offsets, then texts and numbers."""
    import numpy as np

    rows, partition = struct.unpack_from(">ii", chunk)
    at = 8

    def column(kind: str) -> Any:
        nonlocal at
        values = np.frombuffer(chunk, dtype=f">{kind}", count=rows, offset=at)
        at += values.nbytes
        return values.astype(kind)

    columns = [column("i8"), np.full(rows, partition, dtype="int64"), column("i8")]
    for _ in range(texts):
        (count,) = _SIZE.unpack_from(chunk, at)
        at += _SIZE.size
        words = np.empty(count + 1, dtype=object)
        for place in range(count):
            (size,) = _SIZE.unpack_from(chunk, at)
            at += _SIZE.size
            words[place] = chunk[at : (at := at + size)].decode("utf-8")
        columns.append(words[column("i4")])  # -1 is the last one, which is None
    columns += [column("f8") for _ in range(numbers)]
    return columns
