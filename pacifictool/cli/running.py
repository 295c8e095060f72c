"""What the commands that run for long have in common: `--metrics`, and the mark that `status` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from pacifictool.errors import SettingsError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pacifictool.cli.context import CliSession


@contextmanager
def serving_metrics(
    session: CliSession,
    option: str | None,
    collect: Callable[[], Iterable[Metric]],
    health: Callable[[], str | None] = lambda: None,
    hang: Callable[[], str | None] = lambda: None,
) -> Iterator[str | None]:
    """Serves metrics and probes until the context ends; gives the address, None without the option.

    Raises UsageError for an `option` that is not an address, PortInUse.
    """
    if option is None:
        yield None
        return
    from pacifictool.runtime.metrics_server import listening_address, metrics_endpoint

    host, port = listening_address(option)
    with metrics_endpoint(collect, port, host, health=health, hang=hang, warn=session.reporter.warning) as url:
        session.reporter.info(f"Metrics: {url}/metrics")
        yield url


def marked_as(session: CliSession, kind: str, facts: Callable[[], Mapping[str, Any]]) -> AbstractContextManager[None]:
    """Keeps a mark of this command for `pacifictool status`; see `runtime.marks`."""
    from pacifictool.runtime.marks import marked

    try:
        state_dir = session.environment.state_dir
    except SettingsError:  # without a home folder there is nowhere to look for it, either
        state_dir = None
    return marked(state_dir, kind, facts)
