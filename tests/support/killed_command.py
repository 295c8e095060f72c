"""pacifictool that kills itself at a chosen point: `python killed_command.py POINT COMMAND…`. Run by test_kills.py."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.planner import Planner
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.store import StateStore
from pacifictool.cli.main import main


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_in(
    owner: type, name: str, condition: Callable[..., bool] = lambda *_: True, *, afterwards: bool = False
) -> None:
    """Makes this process kill itself when `owner.name` is called, or afterwards, with fitting arguments."""
    original = getattr(owner, name)

    def deadly(*arguments: Any, **options: Any) -> Any:
        dies = condition(*arguments)
        result = original(*arguments, **options) if afterwards or not dies else None
        return die() if dies else result

    setattr(owner, name, deadly)


KILL_POINTS: dict[str, Callable[[], None]] = {
    "the folder is new, and nothing says whose it is": lambda: die_in(Checkpoint, "check_identity"),
    "Spark is starting": lambda: die_in(SparkRuntime, "_connect"),
    "the first batch is planned": lambda: die_in(Planner, "plan", afterwards=True),
    "a batch is half written": lambda: die_in(StateStore, "_count", lambda _self, name, _number: name == "batches"),
    "a function was called and nothing kept": lambda: die_in(StateStore, "keep_outcomes"),
    "what a function gave is kept": lambda: die_in(StateStore, "keep_outcomes", afterwards=True),
    "alarms are about to be sent": lambda: die_in(StateStore, "mark_sending", afterwards=True),
    "alarms are raised and nothing noted": lambda: die_in(StateStore, "mark_raised"),
    "alarms are cleared and nothing noted": lambda: die_in(StateStore, "mark_cleared"),
    "all is posted and nothing noted": lambda: die_in(StateStore, "mark_delivered"),
    "the first zone is posted and noted": lambda: die_in(StateStore, "mark_delivered", afterwards=True),
}

if __name__ == "__main__":
    KILL_POINTS[sys.argv.pop(1)]()
    main()
