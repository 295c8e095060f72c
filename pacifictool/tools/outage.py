"""Reports an outage once, and its end once, however often it is noticed in between."""

from __future__ import annotations

from pacifictool.progress import Reporter


class OutageReporter:
    """Turns "is it broken?", asked again and again, into one warning and one message that it works again.

    Not thread-safe: one outage is watched by one thread.
    """

    def __init__(self, reporter: Reporter, recovered: str) -> None:
        """`recovered` is the sentence that reports the end of an outage."""
        self._reporter = reporter
        self._recovered = recovered
        self._kind: str | None = None

    def update(self, problem: str | None, *, kind: str | None = None) -> None:
        """Says what is wrong at the moment; None: nothing is.

        A warning comes when an outage begins and when it turns into another one. `kind` tells outages apart where
        `problem` holds numbers that change; by default two outages are the same when their sentences are.
        """
        if problem is None:
            if self._kind is not None:
                self._reporter.info(self._recovered)
            self._kind = None
            return
        kind = kind or problem
        if kind != self._kind:
            self._reporter.warning(problem)
            self._kind = kind
