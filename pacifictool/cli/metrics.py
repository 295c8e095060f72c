"""`--metrics` of the commands that run for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pacifictool.cli.context import CliSession


@contextmanager
def serving_metrics(
    session: CliSession,
    option: str | None,
    collect: Callable[[], Iterable[Metric]],
    health: Callable[[], str | None] = lambda: None,
) -> Iterator[str | None]:
    """Serves metrics and health until the context ends; gives the address, None without the option.

    Raises UsageError for an `option` that is no address, PortInUse.
    """
    if option is None:
        yield None
        return
    from pacifictool.runtime.metrics_server import listening_address, metrics_endpoint

    host, port = listening_address(option)
    with metrics_endpoint(collect, port, host, health=health, warn=session.reporter.warning) as url:
        session.reporter.info(f"Metrics: {url}/metrics")
        yield url
