"""The numbers of a running fleet for Prometheus, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pacifictool.errors import UsageError
from pacifictool.runtime.local_requests import local_requests_only
from pacifictool.settings import is_loopback
from pacifictool.simulation.summary import FleetSummary

PREFIX: Final = "pacifictool_simulate"


@contextmanager
def metrics_endpoint(snapshot: Callable[[], FleetSummary], port: int, host: str = "127.0.0.1") -> Iterator[int]:
    """Answers `GET /metrics` until the context ends, in a thread of its own; gives the port (of use with `port` 0).

    `snapshot` is asked at every scrape. On the loopback interface, requests must name this machine.

    Raises UsageError when there is no listening at that address.
    """
    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
        if is_loopback(host):
            # At any other address it was meant to be seen by other machines, under whatever name.
            server.set_app(local_requests_only(make_wsgi_app(registry)))
        registry.register(_FleetCollector(snapshot))
    except OSError as error:
        raise UsageError(
            f"Metrics cannot be offered at {host}:{port}: {error.strerror or error}.",
            hint="Choose another port with --metrics.",
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _FleetCollector(Collector):
    def __init__(self, snapshot: Callable[[], FleetSummary]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        return []  # otherwise registering would take a snapshot

    def collect(self) -> Iterator[Metric]:
        summary = self._snapshot()
        devices = GaugeMetricFamily(f"{PREFIX}_devices", "Simulated devices", labels=["state"])
        devices.add_metric(["planned"], summary.devices)
        devices.add_metric(["online"], summary.online)
        devices.add_metric(["refused"], len(summary.refused))
        yield devices
        readings = CounterMetricFamily(f"{PREFIX}_readings", "Readings by what became of them", labels=["outcome"])
        delivered = summary.acknowledged if summary.qos else summary.sent
        readings.add_metric(["generated"], summary.generated)
        readings.add_metric(["acknowledged" if summary.qos else "sent"], delivered)
        readings.add_metric(["lost"], summary.lost)
        yield readings
        yield CounterMetricFamily(f"{PREFIX}_resent", "Readings sent again", summary.resent)
        yield CounterMetricFamily(f"{PREFIX}_reconnects", "Sessions opened anew", summary.reconnects)
        yield GaugeMetricFamily(f"{PREFIX}_unconfirmed", "Readings on their way", summary.unconfirmed)
        yield GaugeMetricFamily(
            f"{PREFIX}_target_readings_per_second", "What the schedules ask for", summary.target_rate
        )
        yield _quantiles("schedule_lag_seconds", "How late readings were taken", summary.lag_p50_ms, summary.lag_p99_ms)
        yield _quantiles(
            "acknowledgement_seconds",
            "From the first sending to the acknowledgement",
            summary.acknowledgement_p50_ms,
            summary.acknowledgement_p99_ms,
        )


def _quantiles(name: str, text: str, p50_ms: float | None, p99_ms: float | None) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", f"{text}, since the start", labels=["quantile"])
    for quantile, value in (("0.5", p50_ms), ("0.99", p99_ms)):
        if value is not None:
            family.add_metric([quantile], value / 1000)
    return family
