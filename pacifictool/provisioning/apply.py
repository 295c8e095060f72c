"""Carries a plan out: in the order of its kinds, devices and assets of one kind at the same time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import groupby

from pacifictool.errors import Interrupted
from pacifictool.provisioning.bulk import DEFAULT_WORKERS, run_with_progress
from pacifictool.provisioning.plan import Kind, Plan, Step
from pacifictool.reporting import SILENT, Reporter

_PLURALS = {Kind.DEVICE: "devices", Kind.ATTRIBUTES: "client attributes", Kind.ASSET: "assets"}
"""Kinds of which there may be thousands; steps of the others depend on each other and are done one by one."""


def apply_plan(
    plan: Plan,
    *,
    workers: int = DEFAULT_WORKERS,
    reporter: Reporter = SILENT,
    stop: threading.Event | None = None,
) -> None:
    """Does what is pending.

    Raises the first failure, or Interrupted when `stop` is set; what was done stays, and the next run continues from
    there, since it compares afresh.
    """
    for kind, group in groupby(plan.pending, key=lambda step: step.kind):
        if kind in _PLURALS:
            _apply_many(list(group), kind, workers, reporter, stop)
        else:
            for step in group:
                if stop is not None and stop.is_set():
                    raise Interrupted
                with reporter.task(f"{step.kind.capitalize()} {step.name}"):
                    _carry_out(step)


def _apply_many(
    steps: Sequence[Step], kind: Kind, workers: int, reporter: Reporter, stop: threading.Event | None
) -> None:
    verb = {"created": "Creating", "changed": "Changing", "deleted": "Deleting"}[steps[0].action]
    for _ in run_with_progress(_carry_out, steps, f"{verb} {_PLURALS[kind]}", reporter, workers=workers, stop=stop):
        pass


def _carry_out(step: Step) -> None:
    if step.carry_out is not None:
        step.carry_out()
