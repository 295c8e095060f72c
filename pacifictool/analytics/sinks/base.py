"""What a sink is, and how sinks are found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from pacifictool.analytics.windows import WindowResult


class DeliveryCallback(ABC):
    """Where a sink says what became of each result. Its methods may be called from several threads."""

    @abstractmethod
    def accepted(self, results: Iterable[WindowResult]) -> None:
        """The target holds these results: they would survive its restart, also by `kill -9`.

        An acknowledgement that says less, such as "queued", is not enough.
        """

    @abstractmethod
    def refused(self, results: Iterable[WindowResult], reason: str) -> None:
        """The target will never take these results, however often they are sent."""


class Sink(ABC):
    """Takes results to where people see them.

    The contract:

    - A result is keyed by its entity, its time and the keys of its values. Writing it again overwrites: after a crash
      results come again, and a window that got late records comes again with other values.
    - `deliver` gets results sorted by window end, each entity of a window, an analytics and a group once. After a
      correction the newest ones are among them once more. It writes the results *of one entity* in the order given,
      because a platform's "latest" value is the one written last. Different entities may be written in any order or at
      once.
    - `deliver` returns when every result is accepted or refused, and calls back for each. It reports parts as they are
      done; what it did not report is delivered again.
    - A fault that may pass (no connection, 401, 5xx, timeout) raises a PacificToolError. The caller waits and calls
      again with what is left: a sink has no retry loop over minutes of its own.
    - One thread calls `deliver` at a time. `close` may be called from another thread meanwhile, and makes a running
      `deliver` end soon, with an error if need be.
    """

    name: str
    """As in `--sink`."""
    target: str
    """Where the results go, for people and for the checkpoint's identity: "rest http://localhost:8080". No secrets."""

    @abstractmethod
    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        """Writes the results. Raises PacificToolError for a fault that may pass."""

    def close(self) -> None:  # noqa: B027 - most sinks hold nothing
        """Lets go of connections and threads. Can be called twice."""


def by_entity(results: Iterable[WindowResult]) -> dict[str, list[WindowResult]]:
    """The results of each entity, in the order given."""
    entities: dict[str, list[WindowResult]] = {}
    for result in results:
        entities.setdefault(result.entity, []).append(result)
    return entities
