"""Derives alarms from complete windows, and tells the platform until it has acknowledged them."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pacifictool.analytics.alarms import AlarmPlace, AlarmRules, AlarmSource, AlarmWindow
from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.refusals import is_refusal
from pacifictool.analytics.retrying import Retries
from pacifictool.analytics.state.alarm_store import SeriesAlarms
from pacifictool.analytics.state.alarms import UNKNOWN, DueAlarm, Series
from pacifictool.analytics.state.queries import WindowState
from pacifictool.analytics.state.store import StateStore
from pacifictool.errors import AuthenticationFailed, PacificToolError, PlatformUnreachable, UsageError
from pacifictool.progress import Reporter
from pacifictool.tools.threads import run_bounded

CHUNK: Final = 100
"""Alarms sent between two commits."""
_WINDOWS: Final = 200_000
"""Windows that are read at once, together with those that their alarms depend on."""
_FEWEST: Final = 50
_GROUPS_AT_ONCE: Final = 100
_REPORT_REFUSED: Final = 3


class AlarmTarget(Protocol):
    """Where alarms go. Both methods may be called from several threads, and again for what was done already."""

    @property
    def target(self) -> str:
        """For people: "http://localhost:8080"."""
        ...

    @property
    def connections(self) -> int:
        """How many calls it takes at once. Raises PacificToolError."""
        ...

    def raise_alarm(self, alarm: AlarmSource, *, again: bool) -> str:
        """Raises the alarm, or changes the one of this type that is active on the entity; returns its id.

        `again`: an earlier attempt may have been processed, or still be under way.

        Raises PacificToolError, for which refusals.is_refusal says whether it may pass.
        """

    def clear(self, place: AlarmPlace, alarm_id: str | None) -> None:
        """Clears the alarm with this id; None: whatever alarm of the type is active on the entity. As `raise_alarm`."""


@dataclass(frozen=True, slots=True)
class _Sent:
    alarm: DueAlarm
    id: str | None = None
    error: PacificToolError | None = None

    @property
    def refusal(self) -> str | None:
        return self.error.message if self.error is not None and is_refusal(self.error) else None


class AlarmDelivery:
    """Keeps the platform's alarms as the windows want them. One caller at a time.

    An alarm is sent only when its severity is another than the one that was acknowledged. Before it is sent, the state
    store notes that its outcome is unknown: should the job end before the response, it is sent again, or whatever is
    active is cleared.
    """

    def __init__(
        self,
        store: StateStore,
        target: AlarmTarget,
        rules: RecordRules,
        *,
        devices_only: bool = False,
        reporter: Reporter,
        give_up_after: float | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`devices_only`: see AlarmRules. `give_up_after`: seconds without a single success after which
        DeliveryAbandoned is raised; None: never."""
        self._store = store
        self._target = target
        self._rules = {
            each.name: AlarmRules(each, rules.alarms_of(each), devices_only=devices_only) for each in rules.analytics
        }
        self._may_raise = {each.name: rules.may_raise(each) for each in rules.analytics}
        self._layouts = {each.name: StateLayout(each) for each in rules.analytics}
        self._reporter = reporter
        self._retries = Retries("alarms", reporter=reporter, give_up_after=give_up_after, jitter=jitter)
        self._windows_at_once = max(_FEWEST, _WINDOWS // max(each.windows for each in self._rules.values()))
        self._has_begun = False

    @property
    def failure(self) -> str | None:
        """Why alarms cannot be sent at the moment."""
        return self._retries.failure

    @property
    def failed_attempts(self) -> int:
        """Attempts that failed since the start."""
        return self._retries.failed_attempts

    def deliver_due(self, until_ms: int | None, stop: threading.Event) -> None:
        """Derives alarms from every window that ends at or before `until_ms` (None: all), and sends what changed.

        Returns early when `stop` is set: what is left stays due. Raises DeliveryAbandoned and the state store's errors.
        """
        if not self._has_begun:
            self._begin()
        while not stop.is_set():
            derived = self._derive(until_ms, stop)
            sent, failure = self._send(stop)
            if failure is None:
                self._retries.succeeded(self._target.target)
                if not derived and not sent:
                    return
                continue
            waiting = self._store.alarm_counts().waiting
            self._retries.wait(failure, progress=sent > 0, waiting=waiting, stop=stop)

    # --- which alarms are wanted ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Derives alarms again where the scenario has others than before."""
        known = self._store.alarm_rules()
        for name, rules in self._rules.items():
            if not self._may_raise[name]:
                if known.get(name):
                    self._store.drop_alarms(name)
            elif known.get(name, []) != rules.signature:
                groups = self._store.alarm_groups(name)
                for start in range(0, len(groups), _GROUPS_AT_ONCE):
                    self._derive_again(rules, groups[start : start + _GROUPS_AT_ONCE])
        self._store.keep_alarm_rules({name: rules.signature for name, rules in self._rules.items()})
        self._has_begun = True

    def _derive_again(self, rules: AlarmRules, groups: Sequence[str]) -> None:
        known = self._store.alarm_windows({(rules.analytics.name, group): 0 for group in groups}, 0)
        self._store.keep_alarms(
            self._series(rules, series, [rules.window(each.end_ms, each.own, each.raised) for each in windows], 0)
            for series, windows in known.items()
            if windows
        )

    def _derive(self, until_ms: int | None, stop: threading.Event) -> int:
        """Returns how many windows there were."""
        number = 0
        after: WindowState | None = None
        while not stop.is_set():
            found = self._store.due(until_ms, self._windows_at_once, after, to="alarms")
            if not found:
                break
            after = found[-1]
            # What the scenario computes no longer, or not in this run, stays as it is.
            due = [window for window in found if window.analytics in self._rules]
            self._store.keep_alarms(self._derived(due), due)
            number += len(due)
        if number:
            for name in {name for name, may_raise in self._may_raise.items() if may_raise}:
                self._store.forget_alarm_windows(name, self._rules[name].span_ms)
            self._store.forget_closed()
        return number

    def _derived(self, due: Sequence[WindowState]) -> list[SeriesAlarms]:
        by_series: dict[Series, dict[int, AlarmWindow]] = defaultdict(dict)
        for window in due:
            by_series[window.series][window.window_end_ms] = self._window(window)
        found = []
        for name, rules in self._rules.items():
            first = {series: min(windows) for series, windows in by_series.items() if series[0] == name}
            for series, known in self._store.alarm_windows(first, rules.span_ms).items() if first else ():
                windows = {each.end_ms: each for each in known} | by_series[series]
                found.append(self._series(rules, series, [windows[end] for end in sorted(windows)], first[series]))
        return found

    def _series(self, rules: AlarmRules, series: Series, windows: Sequence[AlarmWindow], from_ms: int) -> SeriesAlarms:
        derived = rules.derived(series[1], windows, from_ms)
        return SeriesAlarms(series, derived, list(rules.sources(derived[-1])))

    def _window(self, window: WindowState) -> AlarmWindow:
        rules, outcome = self._rules[window.analytics], window.outcome
        if rules.analytics.function is None:
            own = self._layouts[window.analytics].results(window.count, window.state)
            return rules.window(window.window_end_ms, own)
        if outcome is None or outcome.failure is not None:
            return rules.window(window.window_end_ms, None)
        return rules.window(window.window_end_ms, outcome.own, outcome.alarms)

    # --- which the platform has ----------------------------------------------------------------------------------

    def _send(self, stop: threading.Event) -> tuple[int, PacificToolError | None]:
        """Goes once through everything that is due: how much was acknowledged, and the first failure."""
        acknowledged, first_failure = 0, None
        after: tuple[str, str, str] = ("", "", "")
        while not stop.is_set():
            due = self._store.due_alarms(CHUNK, after)
            if not due:
                break
            after = due[-1].place
            try:
                workers = min(len(due), self._target.connections)
            except UsageError:
                raise  # such as a password that nobody knows
            except PacificToolError as error:
                return acknowledged, first_failure or error
            self._store.mark_sending([alarm.place for alarm in due])
            sent = list(run_bounded(self._send_one, due, workers=workers))
            acknowledged += self._note(sent)
            failures = [each.error for each in sent if each.error is not None and each.refusal is None]
            first_failure = first_failure or next(iter(failures), None)
            # One alarm that fails must not keep the others waiting; a platform that is away fails for all.
            if any(isinstance(failure, PlatformUnreachable | AuthenticationFailed) for failure in failures):
                break
        return acknowledged, first_failure

    def _send_one(self, alarm: DueAlarm) -> _Sent:
        try:
            if alarm.wanted is not None:
                return _Sent(alarm, self._target.raise_alarm(alarm.wanted, again=alarm.acknowledged == UNKNOWN))
            self._target.clear(alarm.place, None if alarm.acknowledged == UNKNOWN else alarm.id)
        except PacificToolError as error:
            return _Sent(alarm, error=error)
        return _Sent(alarm)

    def _note(self, sent: Sequence[_Sent]) -> int:
        done = [each for each in sent if each.error is None]
        raised = {
            each.alarm.place: (each.alarm.wanted.severity, each.id or "")
            for each in done
            if each.alarm.wanted is not None
        }
        cleared = [each.alarm.place for each in done if each.alarm.wanted is None]
        if raised:
            new = sum(each.alarm.acknowledged in (None, UNKNOWN) for each in done if each.alarm.wanted is not None)
            self._store.mark_raised(raised, new=new)
        if cleared:
            self._store.mark_cleared(cleared)
        refused = [(each.alarm, each.refusal) for each in sent if each.refusal is not None]
        for number, (alarm, reason) in enumerate(refused):
            self._store.mark_alarm_refused(alarm, reason)
            if number < _REPORT_REFUSED:
                kind, entity, name = alarm.place
                self._reporter.warning(
                    f"{self._target.target} refuses the alarm {name!r} of {kind} {entity!r}: {reason}"
                )
        if (more := len(refused) - _REPORT_REFUSED) > 0:
            self._reporter.warning(f"{self._target.target} refuses {more} more alarms.")
        return len(done) + len(refused)
