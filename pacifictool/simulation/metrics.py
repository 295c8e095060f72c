"""The numbers of a running fleet for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pacifictool.simulation.histogram import QUANTILES, DurationHistogram
from pacifictool.simulation.summary import FleetSummary

PREFIX: Final = "pacifictool_simulate"


def fleet_metrics(summary: FleetSummary, devices_word: str = "devices") -> Iterator[Metric]:
    """What a fleet has done so far. `devices_word` is what the scenario calls its devices, for the help texts."""
    devices = GaugeMetricFamily(f"{PREFIX}_devices", f"Simulated {devices_word}", labels=["state"])
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
    yield GaugeMetricFamily(f"{PREFIX}_target_readings_per_second", "What the schedules ask for", summary.target_rate)
    yield _quantiles("schedule_lag_seconds", "How late readings were taken", summary.lag)
    yield _quantiles(
        "acknowledgement_seconds",
        "From the first sending to the acknowledgement",
        summary.acknowledgement,
    )
    yield GaugeMetricFamily(f"{PREFIX}_busy_ratio", "Time in which the simulator was busy", summary.busy)
    yield GaugeMetricFamily(
        f"{PREFIX}_held_back_ratio", f"{devices_word} whose readings wait for acknowledgements", summary.held_back
    )


def _quantiles(name: str, text: str, durations: DurationHistogram) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", f"{text}, since the start", labels=["quantile"])
    for percent in QUANTILES.values():
        value = durations.percentile(percent)
        if value is not None:
            family.add_metric([f"{percent / 100:g}"], value)
    return family
