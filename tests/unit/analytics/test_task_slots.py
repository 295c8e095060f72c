"""How many tasks functions may take, and of which threads a local Spark has them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.analytics.engine.spark_properties import spark_properties
from pacifictool.analytics.engine.task_slots import TaskSlots
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("parallel", "functions", "tasks"), [(4, 1, 2), (4, 2, 1), (4, 5, 1), (16, 3, 2), (1, 1, 1), (2, 0, 1)]
)
def test_functions_share_half_of_the_tasks(parallel: int, functions: int, tasks: int) -> None:
    assert TaskSlots(lambda: parallel, functions).tasks == tasks


def test_tasks_wait_for_others_beyond_the_half() -> None:
    slots = TaskSlots(lambda: 8, 1)
    entered = []

    def take(name: str, tasks: int) -> threading.Thread:
        def within() -> None:
            with slots.taken(tasks):
                entered.append(name)

        thread = threading.Thread(target=within, daemon=True)
        thread.start()
        return thread

    with slots.taken(3):
        take("one more", 1).join(10)
        assert entered == ["one more"]
        large = take("large", 2)
        wait_until(slots._turn.locked, "the large one")
        small = take("small", 1)  # waits in line, or the large one might never have its turn
        assert entered == ["one more"]
    for thread in (large, small):
        thread.join(10)
    assert sorted(entered) == ["large", "one more", "small"]


@pytest.mark.parametrize(
    ("master", "functions", "wanted"),
    [
        ("local[2]", 0, "local[2]"),
        ("local[2]", 1, "local[4]"),
        ("local[2]", 3, "local[6]"),
        ("local[*]", 1, "local[16]"),
        ("local", 1, "local[2]"),
        ("spark://head:7077", 2, "spark://head:7077"),
        ("yarn", 1, "yarn"),
    ],
)
def test_a_local_spark_has_threads_for_functions(master: str, functions: int, wanted: str) -> None:
    settings = SparkSettings(Path("java"), (), master=master, functions=functions)
    assert spark_properties(settings, Path("tmp"), jars=(), processors=lambda: 8)["spark.master"] == wanted


def test_sockets_of_workers_have_short_paths() -> None:
    settings = SparkSettings(Path("java"), (), master="local[2]")
    for folder, wanted in (("/home/me/job/tmp", "/home/me/job/tmp"), (f"/{'deep/' * 20}tmp", "/tmp")):
        found = spark_properties(settings, Path(folder), jars=(), processors=lambda: 8)
        assert found["spark.python.unix.domain.socket.enabled"] == "true"
        assert found["spark.python.unix.domain.socket.dir"] == wanted
