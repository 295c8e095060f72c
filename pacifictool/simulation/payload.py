"""The messages of a device: the tutorial's JSON with or without a time stamp."""

from __future__ import annotations

import json
from typing import Final


class StampSequence:
    """Strictly increasing time stamps in milliseconds for one device.

    The platform keeps one value per device, key and millisecond: two readings with equal stamps overwrite each other,
    or the second is neither acknowledged nor forwarded (docs/servers/1.x.md#colliding-readings, row 1). So equal
    clock reads, a clock that is set back and rates above 1,000 readings a second get the next free millisecond.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = -1

    def next(self, clock_ms: int) -> int:
        """`clock_ms`, or one more than the last stamp, whichever is later."""
        self.last = max(clock_ms, self.last + 1)
        return self.last


SEQUENCE_KEY: Final = "sequence"


class PayloadWriter:
    """Writes readings under `value_key`: `{"ts":1795477550000,"values":{"windSpeed":"31"}}`, or, when `bare`,
    exactly as the tutorial does: `{"windSpeed":"31"}`. Values are strings, as in the tutorial.

    With `sequence` the number of the reading goes along: `{"windSpeed":"31","sequence":17}`.
    """

    __slots__ = ("_middle", "_values", "bare", "sequence")

    def __init__(self, value_key: str, *, bare: bool = False, sequence: bool = False) -> None:
        self._values = f'{{{json.dumps(value_key, ensure_ascii=False)}:"'
        self._middle = f',"values":{self._values}'
        self.bare = bare
        self.sequence = sequence

    def write(self, ts_ms: int, value: float, number: int = 0) -> bytes:
        """The payload of one reading, UTF-8."""
        end = f'","{SEQUENCE_KEY}":{number}}}' if self.sequence else '"}'
        if self.bare:
            return f"{self._values}{value}{end}".encode()
        return f'{{"ts":{ts_ms}{self._middle}{value}{end}}}'.encode()
