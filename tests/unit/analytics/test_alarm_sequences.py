"""Random windows, corrections, crashes and failures: the platform ends with the alarms that the windows want.

The wanted ones are computed from the list of records, without any code of the job. A crash comes before or after a
commit of the state store, or around a request to the platform; the job then starts again on what the store holds.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.alarm_delivery import AlarmDelivery
from pacifictool.analytics.engine.functions import FunctionCall
from pacifictool.analytics.evaluation import FunctionEvaluator
from pacifictool.analytics.state import database
from pacifictool.analytics.state.store import StateStore
from pacifictool.errors import PlatformUnreachable, ServerFault
from pacifictool.functions import SEVERITIES, Alarm
from pacifictool.progress import SILENT
from tests.support.alarm_oracle import holds, most_urgent
from tests.support.alarm_platform import AlarmPlatform
from tests.support.functions import InProcessRunner, ListedTopic
from tests.support.scenarios import rules_of

SLIDE = 10_000
GROUPS = "ABC"
TYPES = ("High", "Odd")
NEVER = threading.Event()
LONG = 10_000
"""Sequences of the long test."""


class Crash(BaseException):
    """The process ends here."""


def score(values: Sequence[float], _call: FunctionCall) -> Any:
    """A function that fails, raises an alarm of its own, or gives a score."""
    total = sum(values)
    if total % 7 == 3:
        raise ValueError(total)
    if total > 12:
        return [Alarm("Odd", "CRITICAL" if total > 16 else "MINOR"), Alarm("Own", entity="Everything")]
    return {"score": total} if total % 5 else {}


class CrashingStore(StateStore):
    """Crashes around commits."""

    chance: random.Random | None = None
    crash_share = 0.0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        random_ = self.chance
        with super()._transaction():
            yield
            if random_ is not None and random_.random() < self.crash_share / 2:
                raise Crash
        if random_ is not None and random_.random() < self.crash_share / 2:
            raise Crash


class AlarmSequence:
    """One sequence: a job that crashes, and what it must end with."""

    def __init__(self, seed: str, file: Path) -> None:
        self.random = random.Random(seed)
        self.file = file
        self.specs: list[dict[str, Any]] = [
            {
                "type": self.random.choice(TYPES),
                "analytics": analytics,
                "when": f"{key} > {limit}",
                "severity": self.random.choice(SEVERITIES),
                "holds": {"windows": self.random.choice([1, 1, 2, 3, 5]), "share": self.random.choice([1.0, 0.6, 0.4])},
            }
            for analytics, key, limit in self.random.sample(
                [("sums", "total", 6), ("sums", "total", 12), ("sums", "readings", 2), ("scores", "score", 4)],
                self.random.randint(1, 4),
            )
        ]
        self.lateness = self.random.choice([0, 1, 3]) * SLIDE
        group = {"group_by": ["site"], "window": 10, "lateness": self.lateness / 1000}
        self.rules = rules_of(
            {"name": "sums", **group, "telemetry": {"total": "sum(temperature)", "readings": "count(temperature)"}},
            {"name": "scores", **group, "function": "scoring:score"},
            alarms=self.specs,
        )
        self.topic = ListedTopic(self.rules)
        self.platform = AlarmPlatform()
        self.crash_share = self.random.choice([0.0, 0.1, 0.3])
        self.failure_share = self.random.choice([0.0, 0.2])
        self.crashes = 0
        self.is_calm = False
        self.platform.before = self.platform.after = self.disturb
        self.newest = 0
        self.open()

    def disturb(self, _what: str) -> None:
        """Around each request: the job's end, or a failure whose outcome the job cannot know."""
        if self.is_calm:
            return
        if self.random.random() < self.crash_share / 2:
            raise Crash
        if self.random.random() < self.failure_share:
            raise self.random.choice([PlatformUnreachable("away"), ServerFault("stumbles")])

    def open(self) -> None:
        CrashingStore.chance = None
        self.store = CrashingStore(self.file, self.rules)
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.store.begin()
        self.work = AlarmDelivery(self.store, self.platform, self.rules, reporter=SILENT)
        self.evaluator = FunctionEvaluator(
            self.store,
            InProcessRunner(self.topic, {"scores": score}),
            self.rules.analytics[1],
            translated=lambda error: error,
            reporter=SILENT,
        )
        CrashingStore.chance, CrashingStore.crash_share = self.random, 0.0 if self.is_calm else self.crash_share

    def step(self, number: int) -> None:
        """Something that a job does, or that happens to it."""
        choice = self.random.random()
        if choice < 0.45:
            self.produce(number)
            self.count()
        elif choice < 0.65:
            self.evaluator.evaluate_due(self.due_until(), NEVER)
        elif choice < 0.9:
            self.send(self.due_until())
        elif choice < 0.95:
            self.store._query("UPDATE windows SET delivered = ifnull(evaluated, count)")
            self.store.forget_closed()
        else:
            raise Crash

    def due_until(self) -> int:
        """Now and then a clock that is ahead."""
        return self.newest // SLIDE * SLIDE + self.random.choice([0, 0, 0, SLIDE])

    def produce(self, number: int) -> None:
        """Some records, late ones among them, but none of a window that is closed."""
        closed = self.store.closed_until_ms().get("sums", 0)
        now = max(number * SLIDE // 4, closed)
        for _ in range(self.random.randint(1, 5)):
            at = max(closed, now - self.random.choice([0, 0, 1, 2, 3]) * SLIDE) + self.random.randrange(SLIDE)
            self.newest = max(self.newest, at)
            self.topic.add((self.random.choice(GROUPS), at, float(self.random.randint(-2, 9))))

    def count(self) -> None:
        """What the store does not have yet; again after a crash."""
        counted = self.store.next_offsets().get(0, 0)
        if counted == len(self.topic.records):
            return
        closed = self.store.closed_until_ms()
        until = max(self.newest - self.lateness, 0)
        self.store.apply(self.topic.batch(counted, closed, closed_until_ms={"sums": until, "scores": until}))

    def send(self, until_ms: int | None) -> None:
        """One attempt, as the waiting in between takes no time here."""
        if not self.work._has_begun:
            self.work._begin()
        self.work._derive(until_ms, NEVER)
        self.work._send(NEVER)

    def run(self) -> None:
        for number in range(self.random.randint(8, 40)):
            self.survive(partial(self.step, number))
        self.is_calm = True
        self.survive(self.finish)

    def survive(self, what: Any) -> None:
        try:
            what()
        except Crash:
            self.crashes += 1
            self.store.close()
            self.open()
            if self.is_calm:
                self.survive(what)

    def finish(self) -> None:
        """Everything is counted, evaluated and sent, as with --available-now."""
        CrashingStore.crash_share = 0.0
        self.count()
        self.evaluator.evaluate_due(None, NEVER)
        self.work.deliver_due(None, NEVER)

    # --- what it must end with -----------------------------------------------------------------------------------

    def wanted(self) -> dict[tuple[str, str, str], str]:
        windows: dict[tuple[str, int], list[float]] = defaultdict(list)
        for group, at, value in self.topic.records:
            windows[group, at // SLIDE * SLIDE + SLIDE].append(value)
        found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for group in GROUPS:
            ends = sorted(end for name, end in windows if name == group)
            if not ends:
                continue
            results: dict[str, dict[int, dict[str, float]]] = {"sums": {}, "scores": {}}
            outcomes: dict[int, Any] = {}
            for end in ends:
                values = windows[group, end]
                results["sums"][end] = {"total": sum(values), "readings": len(values)}
                try:
                    outcomes[end] = score(values, None)  # type: ignore[arg-type]
                except ValueError:
                    continue
                if isinstance(outcomes[end], dict) and outcomes[end]:
                    results["scores"][end] = outcomes[end]
            for spec in self.specs:
                if holds(spec, results[spec["analytics"]], SLIDE):
                    found["asset", group, spec["type"]].append(spec["severity"])
            if outcomes:
                last = outcomes[max(outcomes)]
                for alarm in last if isinstance(last, list) else ():
                    found["asset", alarm.entity or group, alarm.type].append(alarm.severity)
        return most_urgent(found)


def check(seeds: range, folder: Path) -> tuple[int, int]:
    """Runs the sequences; returns how many alarms there were in the end, and how many crashes."""
    alarms = crashes = 0
    for seed in seeds:
        file = folder / f"{seed}.sqlite"
        sequence = AlarmSequence(f"alarms {seed}", file)
        sequence.run()
        assert sequence.platform.active == sequence.wanted(), f"seed {seed}"
        # At the end nothing is left to do.
        calls = len(sequence.platform.calls)
        sequence.finish()
        assert len(sequence.platform.calls) == calls, f"seed {seed}"
        counts = sequence.store.alarm_counts()
        assert (counts.active, counts.waiting) == (len(sequence.platform.active), 0), f"seed {seed}"
        alarms, crashes = alarms + len(sequence.platform.active), crashes + sequence.crashes
        sequence.store.close()
        for each in folder.glob(f"{seed}.sqlite*"):
            each.unlink()
    return alarms, crashes


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to wait for the disk."""
    monkeypatch.setattr(database, "sync_folder", lambda _folder: None)


@pytest.mark.parametrize("first", [0, pytest.param(100, marks=pytest.mark.long)])
def test_the_platform_ends_with_the_alarms_that_the_windows_want(first: int, tmp_path: Path) -> None:
    alarms, crashes = check(range(first, first + 100), tmp_path)
    assert alarms > 100
    assert crashes > 100


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_thousand_sequences(tmp_path: Path) -> None:
    alarms, crashes = check(range(LONG), tmp_path)
    assert alarms > LONG
    assert crashes > LONG
