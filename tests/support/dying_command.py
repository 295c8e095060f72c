"""pacifictool that kills itself at a chosen moment: `python dying_command.py MOMENT COMMAND…`. Run by test_kills.py."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from pacifictool.aggregation.checkpoint import Checkpoint
from pacifictool.aggregation.ledger import Ledger
from pacifictool.aggregation.spark import SparkRuntime
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


MOMENTS: dict[str, Callable[[], None]] = {
    "the folder is new, and nothing says whose it is": lambda: die_in(Checkpoint, "check_identity"),
    "Spark is starting": lambda: die_in(SparkRuntime, "_connect"),
    "Spark has made its checkpoint, which the ledger does not know yet": lambda: die_in(
        Checkpoint, "check_spark_id", lambda _self, spark_id=None: spark_id is not None
    ),
    "a batch is half written": lambda: die_in(Ledger, "_count", lambda _self, name, _number: name == "batches"),
    "all is posted and nothing noted": lambda: die_in(Ledger, "mark_delivered"),
    "the first zone is posted and noted": lambda: die_in(Ledger, "mark_delivered", afterwards=True),
}

if __name__ == "__main__":
    MOMENTS[sys.argv.pop(1)]()
    main()
