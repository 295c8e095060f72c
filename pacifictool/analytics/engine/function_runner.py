"""Runs the user's functions on Spark's Python workers.

The readings of the windows are read again from the topic by the executors' JVMs (ReadingsReader.java), which classify
them as they were classified when they were counted. Spark sorts them by group and gives them to its Python workers
(function_worker.py), and each of those has a process for each function (function_child.py).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from py4j.protocol import Py4JError

from pacifictool.analytics.engine import function_wire, python_workers, reader
from pacifictool.analytics.engine.function_files import FunctionFiles, write_package
from pacifictool.analytics.engine.function_wire import WantedRange, WantedSeries
from pacifictool.analytics.engine.function_worker import FunctionSpec, WorkerTask
from pacifictool.analytics.engine.functions import FunctionCall, FunctionOutcome
from pacifictool.analytics.engine.java_rules import RulesInJava
from pacifictool.analytics.engine.java_source import java_files
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.engine.task_slots import TaskSlots
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.windows import split_group
from pacifictool.errors import AggregationError
from pacifictool.functions import Alarm, Result
from pacifictool.progress import SILENT, Reporter
from pacifictool.scenario import Analytics
from pacifictool.settings import KafkaEndpoint

_SOURCES: Final = java_files("WantedReadings", "ReadingsChunk", "ReadingsReader", "FunctionTasks")
_NOT_AGAIN: Final = "they have no timestamp, or Kafka has deleted them"
_Ranges = Mapping[tuple[str, int], Sequence[OffsetRange]]


@dataclass(slots=True)
class _Series:
    """The calls of one group of an analytics, with their places among all calls."""

    analytics: Analytics
    group: str
    calls: list[tuple[int, FunctionCall]] = field(default_factory=list)

    @property
    def records(self) -> int:
        return sum(call.count for _, call in self.calls)

    def times(self) -> list[tuple[int, int]]:
        """The times of all windows, in order and apart from one another."""
        length = self.analytics.window_ms
        return apart((call.window_end_ms - length, call.window_end_ms) for _, call in self.calls)

    def document(self, ranges: _Ranges) -> dict[str, Any]:
        """What function_child.py works with."""
        group = split_group(self.analytics, self.group)
        windows = [
            (
                call.window_end_ms,
                [
                    (each.partition, each.start, each.end)
                    for each in ranges.get((call.analytics, call.window_end_ms), ())
                ],
                [(end_ms, dict(values)) for end_ms, values in call.history],
            )
            for _, call in self.calls
        ]
        return {
            "group": dict(zip(self.analytics.group_by, group, strict=True)),
            "entity": self.analytics.entity_name(group),
            "windows": windows,
        }


class SparkFunctionRunner:
    """Calls the functions of one set of rules for windows of one topic. Safe to use from several threads."""

    def __init__(
        self,
        runtime: SparkRuntime,
        endpoint: KafkaEndpoint,
        topic: str,
        rules: RecordRules,
        *,
        not_counted: Callable[[OffsetRange], Sequence[int]] = lambda _: (),
        reporter: Reporter = SILENT,
    ) -> None:
        """`not_counted`: which records of a range were not counted because they seemed to be ahead of their arrival, by
        their offsets. When a record arrived is not known any more, so that nothing else says so.

        Raises ScenarioError when a file of a function does not exist, and SettingsError for Kafka properties.
        """
        self._runtime = runtime
        self._topic = topic
        self._rules = rules
        self._not_counted = not_counted
        self._reporter = reporter
        self._consumer = reader.consumer_properties(endpoint)
        self._in_java = RulesInJava(runtime, rules)
        self._files = FunctionFiles(rules.functions)
        self._slots = TaskSlots(lambda: int(runtime.java_context.defaultParallelism()), len(rules.functions))
        self._preparing = threading.Lock()
        self._functions: dict[str, Any] = {}
        self._executable = ""
        self._warned: set[str] = set()

    def warm_up(self) -> None:
        """Starts workers and has them load the functions, so that the first windows need not wait for that.

        A function that cannot be loaded is passed over. Raises as `run` does.
        """
        for analytics in self._rules.functions:
            tasks = self._slots.tasks
            frames = [function_wire.call_frame(number, {"windows": []}) for number in range(tasks)]
            self._outcomes(self._given(analytics, frames, function_wire.wanted_readings((), ())))

    def run(self, calls: Sequence[FunctionCall], ranges: _Ranges) -> list[FunctionOutcome]:
        """See `functions.FunctionRunner`. Raises AggregationError when workers cannot run Python or have no pandas."""
        found: dict[int, FunctionOutcome] = {}
        for analytics in self._rules.functions:
            series = _series(analytics, calls)
            if not series:
                continue
            own = [ranges.get((call.analytics, call.window_end_ms), ()) for each in series for _, call in each.calls]
            wanted = function_wire.wanted_readings(
                self._wanted_ranges(own), [WantedSeries(each.group, each.times()) for each in series]
            )
            frames = [function_wire.call_frame(number, each.document(ranges)) for number, each in enumerate(series)]
            documents = self._outcomes(self._given(analytics, frames, wanted))
            for number, each in enumerate(series):
                for window, (position, call) in enumerate(each.calls):
                    found[position] = self._outcome(call, documents[number, window])
        return [found[position] for position in range(len(calls))]

    # --- what is asked for ---------------------------------------------------------------------------------------

    def _wanted_ranges(self, ranges: Iterable[Sequence[OffsetRange]]) -> list[WantedRange]:
        by_partition: dict[int, set[tuple[int, int]]] = {}
        for each in (each for some in ranges for each in some):
            by_partition.setdefault(each.partition, set()).add((each.start, each.end))
        return [
            WantedRange(part.partition, part.start, part.end, sorted(self._not_counted(part)))
            for partition, spans in by_partition.items()
            for start, end in apart(spans)
            for part in OffsetRange(partition, start, end).parts(reader.RECORDS_PER_TASK)
        ]

    # --- Spark ---------------------------------------------------------------------------------------------------

    def _given(self, analytics: Analytics, frames: Sequence[bytes], wanted: bytes) -> bytes:
        """What the workers return for these frames."""
        function, engine = self._function(analytics), self._runtime.jvm.pacifictool.analytics.engine
        readings = engine.ReadingsReader(
            self._consumer,
            self._topic,
            self._in_java.records,
            self._in_java.specs,
            self._rules.analytics.index(analytics),
            self._rules.forwarding.max_skew_ms,
            engine.WantedReadings(wanted),
        )
        calls, tasks = function_wire.with_lengths(frames), min(self._slots.tasks, len(frames))
        try:
            with self._slots.taken(tasks):
                return bytes(engine.FunctionTasks.run(self._runtime.java_context, readings, calls, function, tasks))
        except Py4JError as error:
            if (failure := python_workers.worker_failure(str(error), self._executable)) is not None:
                raise failure from error
            raise

    def _function(self, analytics: Analytics) -> Any:
        """The function of the workers, whose files they have got."""
        with self._preparing:
            if not self._functions:
                self._prepare()
            return self._functions[analytics.name]

    def _prepare(self) -> None:
        runtime, name = self._runtime, self._files.name
        runtime.add_java_sources(*reader.SOURCES)
        runtime.add_java_sources(*_SOURCES)
        package, archive = runtime.tmp / f"package-{name}.zip", runtime.tmp / f"{name}.zip"
        write_package(package)
        python_workers.add_file(runtime, package)
        self._files.write(archive)
        python_workers.add_archive(runtime, archive, name)
        self._executable = python_workers.python_executable(runtime)
        self._functions = {
            each.name: python_workers.python_function(
                runtime, WorkerTask(self._spec(each)), [package.name], pool=each.name
            )
            for each in self._rules.functions
        }

    def _spec(self, analytics: Analytics) -> FunctionSpec:
        function = analytics.function
        assert function is not None
        config = {
            "name": function.name,
            "text": function.text,
            "memory": analytics.memory,
            "timeout": analytics.timeout,
            "analytics": analytics.name,
            "kind": analytics.entity_kind,
            "window_ms": analytics.window_ms,
            "forwarded": list(self._rules.numbers),
            "texts": list(self._rules.texts),
            "numbers": list(self._rules.numbers),
        }
        return FunctionSpec(function.text, self._files.name, self._files.path(analytics), config)

    # --- what came of it -----------------------------------------------------------------------------------------

    def _outcomes(self, data: bytes) -> dict[tuple[int, int], dict[str, Any]]:
        """What became of each call, by series and window."""
        found = {}
        for frame in function_wire.without_lengths(data):
            document = json.loads(frame)
            if (missing := document.get("missing")) is not None:
                raise AggregationError(
                    f"Spark's workers lack what functions need: {missing}.",
                    hint=f"Install pandas for {self._executable} on all machines of the cluster (docs/clusters.md).",
                )
            if "versions" in document:
                self._compare(document["versions"])
            else:
                found[document["series"], document["window"]] = document
        return found

    def _outcome(self, call: FunctionCall, document: Mapping[str, Any]) -> FunctionOutcome:
        failure, traceback = document.get("failure"), document.get("traceback")
        readings = document.get("readings")
        if readings == 0:
            failure = f"None of the window's {call.count} records can be read again: {_NOT_AGAIN}."
        if failure is not None:
            failure = self._files.as_written(call.analytics, failure)
            if (unlisted := self._files.unlisted(call.analytics, failure)) is not None:
                failure += f" `files` of analytics {call.analytics} does not name {unlisted}."
        missing = 0 if readings is None else max(0, call.count - readings)
        if missing:
            self._warn_once(
                f"{call.analytics}: records that cannot be read again did not reach the function: {_NOT_AGAIN}."
            )
        return FunctionOutcome(
            call,
            results=[Result(entity, values, kind) for entity, kind, values in document.get("results", ())],
            alarms=[Alarm(*alarm) for alarm in document.get("alarms", ())],
            failure=failure,
            traceback=None if traceback is None else self._files.as_written(call.analytics, traceback),
            output=document.get("output"),
            missing=missing,
        )

    def _compare(self, versions: Mapping[str, str]) -> None:
        """Warns when workers have another pandas than this machine, where functions are tried."""
        try:
            here = version("pandas")
        except PackageNotFoundError:
            return
        there = versions.get("pandas", here)
        if there.split(".")[:2] != here.split(".")[:2]:
            self._warn_once(f"Spark's workers have pandas {there}, this machine has {here}: results may differ.")

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._reporter.warning(message)


def _series(analytics: Analytics, calls: Sequence[FunctionCall]) -> list[_Series]:
    """The calls of an analytics by group; those with many records first, as tasks take turns and shall end together."""
    found: dict[str, _Series] = {}
    for place, call in enumerate(calls):
        if call.analytics == analytics.name:
            found.setdefault(call.group, _Series(analytics, call.group)).calls.append((place, call))
    return sorted(found.values(), key=lambda each: -each.records)


def apart(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same spans in order, those that overlap or touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
