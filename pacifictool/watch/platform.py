"""Polls groups and devices over REST with a limited load on the server.

Each poll reads up to GROUPS_PER_POLL groups and up to DEVICES_PER_PAGE devices. More groups are read in turn, so that
all are known after a few polls. With more devices, the page changes every PAGE_SECONDS, and figures about all devices
are estimates.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Final

from pacifictool.errors import AuthenticationFailed, NotFound, PlatformError
from pacifictool.rest import EntityId, Platform, Point
from pacifictool.scenario import Scenario
from pacifictool.tools.rates import RATE_SECONDS
from pacifictool.tools.threads import run_all
from pacifictool.watch.described import DescribedAnalytics, Description, describe, described_keys
from pacifictool.watch.directory import LISTED, Directory, WatchedDevice, WatchedGroup
from pacifictool.watch.model import AnalyticsView, DeviceView, GroupView, PlatformState, ResultView
from pacifictool.watch.states import WAITING

HISTORY: Final = 60
"""Results that are kept of each group."""
GROUPS_PER_POLL: Final = 100
GROUPS_WATCHED: Final = 2_000
"""More groups than this are left out."""
DEVICES_PER_PAGE: Final = 50
PAGE_SECONDS: Final = 10.0
WORKERS: Final = 8

_READINGS_ASKED: Final = 200
"""Upper limit per device and poll, of all keys together; enough to measure the rate of a fast one."""
_FEWEST_ASKED: Final = 20
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
        entities: Collection[str] = (),
        devices: Collection[str] = (),
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`entities`: only groups whose entities have these names; `devices`: only these; empty: those of the scenario
        and all others of its types."""
        self._platform = platform
        self._directory = Directory(platform, scenario, entities=entities, devices=devices)
        self._scenario = scenario
        self._description: Description = describe(scenario)
        self._described = {each.name: each for each in self._description.analytics}
        """By name: the analytics, with the keys of functions as far as they are known."""
        self._found_keys: dict[str, dict[str, None]] = {each.name: {} for each in scenario.analytics if each.function}
        """By function: the keys on entities of its groups."""
        self._keys_turn = 0
        self._telemetry_keys = scenario.forwarding.telemetry
        self._clock_ms = clock_ms
        self._results: dict[tuple[str, EntityId], dict[int, dict[str, float]]] = {}
        """By analytics and entity: the values by time and key."""
        self._groups: dict[tuple[str, str], tuple[GroupView, float]] = {}
        """By analytics and name of the entity: the newest view, and the monotonic second at which it was read."""
        self._group_turn = 0
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
        groups, devices = self._directory.groups(), self._directory.devices()
        page = self._page_of(devices, at)
        # Devices first: their attributes name further groups.
        device_views = run_all([partial(self._device, device, at) for device in page], workers=WORKERS, name="watch")
        watched = groups[:GROUPS_WATCHED]
        turn = self._turn_of(watched)
        self._find_keys(watched)
        views = run_all([partial(self._group, group) for group in turn], workers=WORKERS, name="watch")
        self._groups |= {(group.analytics, group.name): (view, at) for group, view in zip(turn, views, strict=True)}
        reporting = sum(device.is_reporting for device in device_views)
        share = len(devices) / len(page) if page else 1.0
        return PlatformState(
            self._platform.url,
            generation=generation,
            analytics=tuple(self._analytics(each, groups, watched, at) for each in self._described.values()),
            devices=tuple(device_views),
            devices_total=len(devices),
            reporting=round(reporting * share),
            rate=sum(device.rate or 0.0 for device in device_views) * share,
            notes=tuple(self._notes(len(groups), len(devices))),
            entities={entity: group.name for group in watched for entity in group.entities}
            | {device.id: device.name for device in devices if device.id is not None},
        )

    def _notes(self, groups: int, devices: int) -> Iterator[str]:
        words = self._description
        if groups > GROUPS_WATCHED:
            yield f"{GROUPS_WATCHED:,} of {groups:,} {words.groups} are watched; choose others with --entity NAME."
        if devices > DEVICES_PER_PAGE:
            yield (
                f"{DEVICES_PER_PAGE} of {devices:,} {words.devices} are shown, others every {PAGE_SECONDS:g} s; "
                f"figures about all {words.devices} are estimated from these."
            )
        if self._directory.is_cut:
            yield f"There are more than {LISTED:,} devices or assets; the others are left out."

    def _page_of(self, devices: list[WatchedDevice], at: float) -> list[WatchedDevice]:
        if len(devices) <= DEVICES_PER_PAGE:
            return devices
        # Those that exist first: the others say nothing about the data flow.
        devices = sorted(devices, key=lambda device: device.id is None)
        if self._page_started is None or at - self._page_started >= PAGE_SECONDS:
            self._page = 0 if self._page_started is None else self._page + 1
            self._page_started = at
        start = self._page * DEVICES_PER_PAGE % len(devices)
        return (devices + devices)[start : start + DEVICES_PER_PAGE]

    # --- groups ----------------------------------------------------------------------------------------------------

    def _turn_of(self, groups: list[WatchedGroup]) -> list[WatchedGroup]:
        """The groups to read now: all, or those that come next in turn."""
        if len(groups) <= GROUPS_PER_POLL:
            return groups
        start = self._group_turn % len(groups)
        self._group_turn = start + GROUPS_PER_POLL
        return (groups + groups)[start : start + GROUPS_PER_POLL]

    def _find_keys(self, watched: list[WatchedGroup]) -> None:
        """Asks one entity of each function for its keys of telemetry, another one with each poll."""
        self._keys_turn += 1
        for name, found in self._found_keys.items():
            entities = [entity for group in watched if group.analytics == name for entity in group.entities]
            if not entities:
                continue
            known = len(found)
            with contextlib.suppress(NotFound):
                keys = self._platform.telemetry.keys(entities[self._keys_turn % len(entities)])
                found.update(dict.fromkeys(sorted(keys)))
            if len(found) > known:
                keys_now = described_keys(self._scenario, self._scenario.find_analytics(name), found)
                self._described[name] = replace(self._described[name], keys=keys_now)

    def _analytics(
        self, described: DescribedAnalytics, groups: list[WatchedGroup], watched: list[WatchedGroup], at: float
    ) -> AnalyticsView:
        views, read_at = [], [at]
        for group in watched:
            if group.analytics != described.name:
                continue
            known = self._groups.get((group.analytics, group.name))
            if known is None:
                views.append(GroupView(group.name, None, group.group, unknown=WAITING))
            else:
                views.append(known[0])
                read_at.append(known[1])
        total = sum(group.analytics == described.name for group in groups)
        return AnalyticsView(described, tuple(views), total, round((at - min(read_at)) * 1000))

    def _group(self, group: WatchedGroup) -> GroupView:
        if not group.entities:
            kind = "device" if self._described[group.analytics].entity_kind == "device" else "asset or device"
            unknown = f"The platform has no {kind} of this name yet."
            return GroupView(group.name, None, group.group, unknown=unknown)
        views = [view for entity in group.entities if (view := self._group_at(group, entity)) is not None]
        if not views:
            return GroupView(group.name, None, group.group, unknown="It was deleted.")
        # With both an asset and a device: the one that the job writes to.
        return max(views, key=lambda view: view.latest.ts_ms if view.latest is not None else -1)

    def _group_at(self, group: WatchedGroup, entity: EntityId) -> GroupView | None:
        described = self._described[group.analytics]
        keys = [key.key for key in described.keys]
        now_ms = self._clock_ms()
        known = self._results.setdefault((group.analytics, entity), {})
        # Results older than this no longer change.
        correctable_ms = 3 * described.window_ms + described.lateness_ms
        start_ms = max(known) - correctable_ms if known else now_ms - described.window_ms - HISTORY * described.slide_ms
        try:
            points = self._platform.telemetry.newest(entity, keys, start_ms, now_ms + _AHEAD_MS, HISTORY)
            if not known and not any(points.values()):
                latest = self._platform.telemetry.latest(entity, keys)
                points = {key: [point] for key, point in latest.items() if point is not None}
        except NotFound:
            self._directory.forget(entity)
            self._results.pop((group.analytics, entity), None)
            return None
        for key, series in points.items():
            for point in series:
                if isinstance(point.value, int | float):
                    known.setdefault(point.ts_ms, {})[key] = float(point.value)
        for ts_ms in sorted(known)[:-HISTORY]:
            del known[ts_ms]
        results = tuple(ResultView(ts_ms, dict(known[ts_ms])) for ts_ms in sorted(known))
        unknown = None if known else f"No {described.result} has been posted yet."
        return GroupView(group.name, entity.entity_type.lower(), group.group, results, unknown)

    # --- devices ---------------------------------------------------------------------------------------------------

    def _device(self, device: WatchedDevice, at: float) -> DeviceView:
        attributes = self._directory.attributes_of(device)
        if device.id is None:
            return DeviceView(device.name, attributes, unknown="The platform has no device of this name.")
        series = self._series.get(device.name)
        if series is None:
            series = self._series[device.name] = _Series(DeviceView(device.name, attributes), at)
        try:
            points = self._readings(device.id, series, at)
        except NotFound:
            self._directory.forget(device.id)
            del self._series[device.name]
            return DeviceView(device.name, attributes, unknown="It was deleted.")
        # A reading is a message: values of one time are one.
        timestamps = sorted({point.ts_ms for some in points.values() for point in some})
        if not timestamps:
            none = None if series.view.ts_ms is not None else "No reading has come yet."
            series.view = replace(series.view, attributes=attributes, rate=0.0, unknown=none)
            return series.view
        newest_ms = timestamps[-1]
        if newest_ms != series.view.ts_ms:
            # When it is found first, its age by this machine's clock is the best estimate.
            behind = max(0, self._clock_ms() - newest_ms) / 1000 if series.view.ts_ms is None else 0.0
            series.moved_at = at - behind
        values = {**series.view.values, **{key: some[-1].value for key, some in points.items() if some}}
        recent = [ts_ms for ts_ms in timestamps if ts_ms > newest_ms - RATE_SECONDS * 1000]
        series.view = DeviceView(device.name, attributes, values, newest_ms, series_rate(recent, at - series.moved_at))
        return series.view

    def _readings(self, device: EntityId, series: _Series, at: float) -> dict[str, list[Point]]:
        """By key: the readings of the last seconds before the newest one, on the device's own clock."""
        now_ms, known_ms, keys = self._clock_ms(), series.view.ts_ms, self._telemetry_keys
        anchor_ms = now_ms if known_ms is None else min(now_ms, known_ms)
        start_ms = anchor_ms - round(RATE_SECONDS * 1000)
        limit = max(_FEWEST_ASKED, _READINGS_ASKED // len(keys))
        points = self._platform.telemetry.newest(device, keys, start_ms, now_ms + _AHEAD_MS, limit)
        # A key that comes seldom has an older value, which is read once.
        is_new = series.asked_latest_at < 0 and not all(points.values())
        if is_new or (not any(points.values()) and at - series.asked_latest_at >= _LATEST_EVERY_SECONDS):
            series.asked_latest_at = at
            latest = self._platform.telemetry.latest(device, keys)
            points |= {key: [point] for key, point in latest.items() if point is not None and not points[key]}
        return points


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
