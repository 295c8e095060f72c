"""The numbers of a running fleet for Prometheus, over HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector

from pacifictool.errors import UsageError
from pacifictool.runtime.local_requests import refusal
from pacifictool.runtime.peer import REFUSAL, PeerCheck
from pacifictool.settings import is_loopback
from pacifictool.simulation.histogram import QUANTILES, DurationHistogram
from pacifictool.simulation.summary import FleetSummary

PREFIX: Final = "pacifictool_simulate"


@contextmanager
def metrics_endpoint(
    snapshot: Callable[[], FleetSummary],
    port: int,
    host: str = "127.0.0.1",
    warn: Callable[[str], None] = lambda _text: None,
    devices: str = "devices",
) -> Iterator[int]:
    """Serves `GET /metrics` until the context ends, in a thread of its own; gives the port (of use with `port` 0).

    On the loopback interface, requests must name this machine and come from this user or root; `warn` hears of others.
    `snapshot` is asked at every scrape. `devices` is what the scenario calls them, for the help texts.
    Raises UsageError when there is no listening at that address.
    """
    registry = CollectorRegistry()
    registry.register(_FleetCollector(snapshot, devices))
    try:
        check = PeerCheck("the metrics", warn) if is_loopback(host) else None
        handler = MetricsHandler.factory(registry)
        if check is not None:
            # At any other address it is meant to be seen by other machines, under whatever name.
            handler = type("LocalMetricsHandler", (_LocalRequests, handler), {})
        server = _MetricsServer(host, port, handler, check)
    except OSError as error:
        raise UsageError(
            f"Metrics cannot be offered at {host}:{port}: {error.strerror or error}.",
            hint="Choose another port with --metrics.",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _MetricsServer(ThreadingHTTPServer):
    """HTTP in threads, for those whom `check` admits; None: for everybody."""

    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[MetricsHandler], check: PeerCheck | None) -> None:
        self.address_family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._check = check
        super().__init__((host, port), handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if self._check is None or self._check.admits_socket(request):
            return True
        with contextlib.suppress(OSError):
            request.sendall(REFUSAL)
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnected is not worth a message."""


class _LocalRequests(MetricsHandler):
    """Accepts only requests that name this machine."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        reason = refusal("GET", self.headers.items())
        if reason is None:
            super().do_GET()
        else:
            self.send_error(403, reason)


class _FleetCollector(Collector):
    def __init__(self, snapshot: Callable[[], FleetSummary], devices: str) -> None:
        self._snapshot = snapshot
        self._word = devices

    def describe(self) -> list[Metric]:
        return []  # otherwise registering would take a snapshot

    def collect(self) -> Iterator[Metric]:
        summary = self._snapshot()
        devices = GaugeMetricFamily(f"{PREFIX}_devices", f"Simulated {self._word}", labels=["state"])
        devices.add_metric(["planned"], summary.devices)
        devices.add_metric(["online"], summary.online)
        devices.add_metric(["refused"], len(summary.refused))
        yield devices
        readings = CounterMetricFamily(f"{PREFIX}_readings", "Readings by what became of them", labels=["outcome"])
        delivered = summary.acknowledged if summary.qos else summary.sent
        readings.add_metric(["generated"], summary.generated)
        readings.add_metric(["acknowledged" if summary.qos else "sent"], delivered)
        readings.add_metric(["lost"], summary.lost)
        readings.add_metric(["withheld"], summary.withheld)
        yield readings
        yield CounterMetricFamily(f"{PREFIX}_resent", "Readings sent again", summary.resent)
        yield CounterMetricFamily(f"{PREFIX}_reconnects", "Sessions opened again", summary.reconnects)
        yield GaugeMetricFamily(f"{PREFIX}_unconfirmed", "Readings on their way", summary.unconfirmed)
        yield GaugeMetricFamily(
            f"{PREFIX}_target_readings_per_second", "What the schedules ask for", summary.target_rate
        )
        yield _quantiles("schedule_lag_seconds", "How late readings were taken", summary.lag)
        yield _quantiles(
            "acknowledgement_seconds", "From the first sending to the acknowledgement", summary.acknowledgement
        )
        yield GaugeMetricFamily(f"{PREFIX}_busy_ratio", "Time in which the simulator was busy", summary.busy)
        yield GaugeMetricFamily(
            f"{PREFIX}_held_back_ratio", f"{self._word} whose readings wait for acknowledgements", summary.held_back
        )


def _quantiles(name: str, text: str, durations: DurationHistogram) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", f"{text}, since the start", labels=["quantile"])
    for percent in QUANTILES.values():
        value = durations.percentile(percent)
        if value is not None:
            family.add_metric([f"{percent / 100:g}"], value)
    return family
