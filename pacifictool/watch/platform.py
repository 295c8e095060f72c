"""Polls zones and devices over REST with a limited load on the server.

Each poll reads up to ZONES_SHOWN zones and up to DEVICES_PER_PAGE devices. With more devices, the page changes every
PAGE_SECONDS, and figures about all devices are estimates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Final

from pacifictool.errors import AuthenticationFailed, NotFound, PlatformError
from pacifictool.rest import EntityId, Platform, Point
from pacifictool.scenario import Scenario
from pacifictool.tools.rates import RATE_SECONDS
from pacifictool.tools.threads import run_all
from pacifictool.watch.directory import LISTED, Directory, WatchedDevice, WatchedZone
from pacifictool.watch.model import DeviceView, Mean, PlatformState, ZoneView

HISTORY: Final = 60
"""Means that are kept of each zone."""
ZONES_SHOWN: Final = 100
DEVICES_PER_PAGE: Final = 50
PAGE_SECONDS: Final = 10.0
WORKERS: Final = 8

_READINGS_ASKED: Final = 200
"""Upper limit per device and poll; enough to measure the rate of a fast one."""
_AHEAD_MS: Final = 3_600_000
"""How far the clocks of devices and servers may be ahead of this machine's."""
_LATEST_EVERY_SECONDS: Final = 10.0
"""How often the last reading of a silent device is read."""


@dataclass(slots=True)
class _Series:
    """What is kept of a device between two polls."""

    view: DeviceView
    moved_at: float
    """Monotonic second at which its newest reading was first found."""
    asked_latest_at: float = -1e9


class PlatformPoller:
    """Polls the platform. For one thread at a time; after a failure the next poll tries again."""

    def __init__(
        self,
        platform: Platform,
        scenario: Scenario,
        *,
        zones: Collection[str] = (),
        devices: Collection[str] = (),
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`zones` and `devices`: only these; empty: those of the scenario and all others of its type."""
        self._platform = platform
        self._directory = Directory(platform, scenario, zones=zones, devices=devices)
        self._value_key = scenario.aggregation.value_key
        self._window_ms = scenario.aggregation.window_ms
        self._correctable_ms = 3 * scenario.aggregation.window_ms + scenario.aggregation.lateness_ms
        """Means older than this no longer change."""
        self._clock_ms = clock_ms
        self._means: dict[EntityId, dict[int, Mean]] = {}
        self._series: dict[str, _Series] = {}
        self._page_started: float | None = None
        self._page = 0

    def poll(self) -> PlatformState:
        """The platform now. A failure is reported in `unknown`; only AuthenticationFailed is raised, because repeated
        logins could lock the user out.
        """
        try:
            return self._poll(monotonic())
        except AuthenticationFailed:
            raise
        except PlatformError as error:
            return PlatformState(self._platform.url, unknown=error.message)

    def _poll(self, at: float) -> PlatformState:
        generation = self._platform.generation()
        self._directory.refresh(at)
        zones, devices = self._directory.zones(), self._directory.devices()
        shown, page = zones[:ZONES_SHOWN], self._page_of(devices, at)
        # Devices first: their attributes name further zones.
        device_views = run_all([partial(self._device, device, at) for device in page], workers=WORKERS, name="watch")
        zone_views = run_all([partial(self._zone, zone) for zone in shown], workers=WORKERS, name="watch")
        reporting = sum(device.is_reporting for device in device_views)
        share = len(devices) / len(page) if page else 1.0
        return PlatformState(
            self._platform.url,
            generation=generation,
            zones=tuple(zone_views),
            zones_total=len(zones),
            devices=tuple(device_views),
            devices_total=len(devices),
            reporting=round(reporting * share),
            rate=sum(device.rate or 0.0 for device in device_views) * share,
            notes=tuple(self._notes(len(zones), len(devices))),
        )

    def _notes(self, zones: int, devices: int) -> list[str]:
        notes = []
        if zones > ZONES_SHOWN:
            notes.append(f"{ZONES_SHOWN} of {zones:,} zones are shown; choose others with --zone NAME.")
        if devices > DEVICES_PER_PAGE:
            notes.append(
                f"{DEVICES_PER_PAGE} of {devices:,} devices are shown, others every {PAGE_SECONDS:g} s; "
                "figures about all devices are estimated from these."
            )
        if self._directory.is_cut:
            notes.append(f"There are more than {LISTED:,} devices or assets; the others are left out.")
        return notes

    def _page_of(self, devices: list[WatchedDevice], at: float) -> list[WatchedDevice]:
        if len(devices) <= DEVICES_PER_PAGE:
            return devices
        if self._page_started is None or at - self._page_started >= PAGE_SECONDS:
            self._page = 0 if self._page_started is None else self._page + 1
            self._page_started = at
        start = self._page * DEVICES_PER_PAGE % len(devices)
        return (devices + devices)[start : start + DEVICES_PER_PAGE]

    # --- zones -----------------------------------------------------------------------------------------------------

    def _zone(self, zone: WatchedZone) -> ZoneView:
        if not zone.entities:
            return ZoneView(zone.name, None, unknown="The platform has no asset or device of this name yet.")
        views = [view for entity in zone.entities if (view := self._zone_at(zone.name, entity)) is not None]
        if not views:
            return ZoneView(zone.name, None, unknown="It was deleted.")
        # With both an asset and a device: the one that the job writes to.
        return max(views, key=lambda view: view.latest.ts_ms if view.latest is not None else -1)

    def _zone_at(self, name: str, entity: EntityId) -> ZoneView | None:
        now_ms = self._clock_ms()
        known = self._means.setdefault(entity, {})
        start_ms = max(known) - self._correctable_ms if known else now_ms - HISTORY * self._window_ms
        try:
            points = self._platform.telemetry.range(entity, self._value_key, start_ms, now_ms + _AHEAD_MS, HISTORY)
            if not points and not known:
                latest = self._platform.telemetry.latest(entity, [self._value_key])[self._value_key]
                points = [] if latest is None else [latest]
        except NotFound:
            self._directory.forget(entity)
            self._means.pop(entity, None)
            return None
        for point in points:
            if isinstance(point.value, int | float):
                known[point.ts_ms] = Mean(point.ts_ms, float(point.value))
        for ts_ms in sorted(known)[:-HISTORY]:
            del known[ts_ms]
        kind = entity.entity_type.lower()
        unknown = None if known else "No mean has been posted yet."
        return ZoneView(name, kind, tuple(known[ts_ms] for ts_ms in sorted(known)), unknown)

    # --- devices ---------------------------------------------------------------------------------------------------

    def _device(self, device: WatchedDevice, at: float) -> DeviceView:
        zone = self._directory.zone_of(device)
        if device.id is None:
            return DeviceView(device.name, zone, unknown="The platform has no device of this name.")
        series = self._series.get(device.name)
        if series is None:
            series = self._series[device.name] = _Series(DeviceView(device.name, zone), at)
        try:
            points = self._readings(device.id, series, at)
        except NotFound:
            self._directory.forget(device.id)
            del self._series[device.name]
            return DeviceView(device.name, zone, unknown="It was deleted.")
        if not points:
            none = None if series.view.ts_ms is not None else "No reading has come yet."
            series.view = replace(series.view, zone=zone, rate=0.0, unknown=none)
            return series.view
        newest = points[-1]
        is_first = series.view.ts_ms is None
        if newest.ts_ms != series.view.ts_ms:
            # When it is found first, its age by this machine's clock is the best estimate.
            behind = max(0, self._clock_ms() - newest.ts_ms) / 1000 if is_first else 0.0
            series.moved_at = at - behind
        timestamps = [point.ts_ms for point in points]
        series.view = DeviceView(
            device.name, zone, newest.value, newest.ts_ms, series_rate(timestamps, at - series.moved_at)
        )
        return series.view

    def _readings(self, device: EntityId, series: _Series, at: float) -> list[Point]:
        """The readings of the last seconds before the newest one, on the device's own clock."""
        now_ms, known_ms = self._clock_ms(), series.view.ts_ms
        anchor_ms = now_ms if known_ms is None else min(now_ms, known_ms)
        start_ms = anchor_ms - round(RATE_SECONDS * 1000)
        points = self._platform.telemetry.range(device, self._value_key, start_ms, now_ms + _AHEAD_MS, _READINGS_ASKED)
        if not points and at - series.asked_latest_at >= _LATEST_EVERY_SECONDS:
            series.asked_latest_at = at
            latest = self._platform.telemetry.latest(device, [self._value_key])[self._value_key]
            points = [] if latest is None else [latest]
        return [point for point in points if point.ts_ms > points[-1].ts_ms - RATE_SECONDS * 1000]


def series_rate(timestamps_ms: Sequence[int], silent_seconds: float) -> float:
    """Readings per second of a series: its newest timestamps, oldest first, and how long nothing new has come.

    Uses the series' own clock, which may differ from this machine's. Falls when the series falls silent, and is 0
    after RATE_SECONDS.
    """
    if not timestamps_ms or silent_seconds >= RATE_SECONDS:
        return 0.0
    if len(timestamps_ms) == 1:
        return 1 / RATE_SECONDS
    span = (timestamps_ms[-1] - timestamps_ms[0]) / 1000
    interval = span / (len(timestamps_ms) - 1)
    # A series is also silent between two readings; only what goes beyond that counts.
    beyond = max(0.0, silent_seconds - max(interval, 2.0))
    return (len(timestamps_ms) - 1) / (span + beyond) if span + beyond > 0 else 0.0
