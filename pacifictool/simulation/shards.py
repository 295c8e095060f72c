"""Parts of a fleet for several machines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from pacifictool.errors import UsageError

Member = TypeVar("Member")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` (from 1) of `total`: every `total`-th device, so that each device is in exactly one part.

    Values and numbers of readings depend on seed and device alone, so that all parts together are the whole fleet.
    """

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "2/5". Raises UsageError."""
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(
                f"--shard: {text!r} is not possible.",
                hint="Part and number of parts, from 1/5 to 5/5 for five machines.",
            )
        return cls(int(match[1]), int(match[2]))

    def part_of(self, members: Sequence[Member]) -> Sequence[Member]:
        """The members of this part, in order. Raises UsageError when there are none."""
        chosen = members[self.number - 1 :: self.total]
        if not chosen:
            raise UsageError(
                f"--shard: part {self} of {len(members)} devices is empty.",
                hint="Use at most as many parts as devices.",
            )
        return chosen

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"
