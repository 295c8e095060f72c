"""Users' functions in this process: how they are loaded and called, and what becomes of what they return."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pacifictool.analytics.engine.function_calls import FunctionFailed, call_function, load_file, with_arguments
from pacifictool.analytics.engine.function_frames import history_frame, readings_frame, window_of
from pacifictool.errors import ScenarioError
from pacifictool.functions import Alarm, Result, Window
from pacifictool.scenario import Analytics

WINDOW = Window("own", {"site": "A"}, "Site A", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC))
READINGS = readings_frame(
    {"ts": [2000, 1000], "deviceName": ["D", "E"], "t": [2, 1]}, texts=["deviceName"], numbers=["t"]
)
HISTORY = history_frame([(1000, {"a": 1})])


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules:
        del sys.modules[name]


def written(folder: Path, text: str, name: str = "mine") -> Path:
    file = folder / f"{name}.py"
    file.write_text(text)
    return file


def returned(value: Any, **options: Any) -> Any:
    """What is posted of a value."""
    return with_arguments(lambda readings: value, "f:g").call(READINGS, WINDOW, HISTORY, **options)


def refusal(value: Any, **options: Any) -> str:
    """Why nothing is posted of a value."""
    with pytest.raises(FunctionFailed) as failed:
        returned(value, **options)
    assert failed.value.traceback is None
    return failed.value.message.removeprefix("f:g returned what cannot be posted: ")


# --- loading ------------------------------------------------------------------------------------------------------


def test_the_file_is_loaded_whatever_else_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    text = (
        "import json as real_json, helper\nfrom pathlib import Path\n"
        "def f(readings): return {'n': helper.FACTOR * len(readings), 'here': Path(__file__).parent == HERE}\n"
        f"HERE = Path({str(tmp_path)!r})\n"
    )
    # The name of a module that is loaded already, and of one that is not.
    import json

    for name in ("json", "statistics"):
        loaded = load_file(written(tmp_path, text, name), "f", f"{name}:f")
        assert loaded.call(READINGS, WINDOW, HISTORY).results[0].values == {"n": 4.0, "here": 1.0}
        (tmp_path / f"{name}.py").unlink()
    assert json.dumps([1]) == "[1]"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("def f(:\n", "has a syntax error in line 1: invalid syntax.", "`python "),
        ("def g(readings): ...\n", "does not exist: FILE has no f.", "It has g."),
        ("from math import *\n", "does not exist: FILE has no f.", "Begin with `def f(readings, window, history):`."),
        ("import no_such_module\n", "raised ModuleNotFoundError: No module named 'no_such_module' (mine.py, line 1).",
         "Install what has the module no_such_module"),
        ("1/0\n", "raised ZeroDivisionError: division by zero (mine.py, line 1).", "`python "),
        ("exit(3)\n", "ended the program with the exit code 3.", "`python "),
        ("f = 3\n", "mine:f is not a function but the int 3.", "A function takes (readings)"),
        ("class f: ...\n", "mine:f is not a function but", "A function takes (readings)"),
        ("async def f(readings): ...\n", "mine:f is an async function", "without `async`"),
        ("def f(): ...\n", "mine:f takes no readings.", "A function takes (readings)"),
        ("def f(*, readings): ...\n", "mine:f takes no readings.", "A function takes (readings)"),
        ("def f(readings, window, history, model): ...\n", "mine:f has a parameter 'model'", "A function takes"),
        ("def f(readings, *, model): ...\n", "mine:f has a parameter 'model'", "A function takes"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_one_sentence(tmp_path: Path, text: str, message: str, hint: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ScenarioError) as error:
        load_file(file, "f", "mine:f")
    assert message.replace("FILE", str(file)) in error.value.message
    assert hint in str(error.value.hint)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"cannot be loaded: the file .*/mine\.py does not exist"):
        load_file(tmp_path / "mine.py", "f", "mine:f")


def test_an_analytics_without_a_function_has_nothing_to_call() -> None:
    analytics = Analytics.model_validate({"name": "a", "window": 1, "entity": "All", "telemetry": {"n": "count()"}})
    with pytest.raises(ScenarioError, match="The analytics 'a' has no function"):
        call_function(analytics, READINGS, WINDOW)


# --- arguments ----------------------------------------------------------------------------------------------------


def _positional_only(readings: Any, window: Any, history: Any, /) -> Any:
    return [*map(type, (readings, window, history))]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda readings: (), ()),
        (lambda r, w: (w,), (Window,)),
        (lambda r, w, h: (w, h), (Window, pd.DataFrame)),
        (lambda r, window, history: (window, history), (Window, pd.DataFrame)),
        (lambda r, history: (history,), (pd.DataFrame,)),
        (lambda r, history, window: (history, window), (pd.DataFrame, Window)),
        (lambda r, h, window: (h, window), (pd.DataFrame, Window)),
        (lambda r, *, history: (history,), (pd.DataFrame,)),
        (lambda r, threshold=3: (threshold,), (int,)),
        (lambda r, window=None, threshold=3: (window, threshold), (Window, int)),
        (lambda *a: a[1:], (Window, pd.DataFrame)),
        (lambda r, *more, **options: more, ()),
        (lambda r, w, /, h: (w, h), (Window, pd.DataFrame)),
    ],
)
def test_a_function_takes_what_it_asks_for(function: Callable[..., Any], wanted: tuple[type, ...]) -> None:
    seen: list[Any] = []

    def noting(loaded: Any) -> Any:
        inner = loaded.function
        return type(loaded)(
            loaded.text, lambda *a, **k: seen.extend(inner(*a, **k)), loaded.positional, loaded.keywords
        )

    noting(with_arguments(function, "f:g")).call(READINGS, WINDOW, HISTORY)
    assert tuple(map(type, seen)) == wanted


# --- results ------------------------------------------------------------------------------------------------------


def test_a_mapping_is_the_result_of_the_groups_entity() -> None:
    found = returned({"mean": np.float32(1.5), "n": np.int64(2), "none": None, "nan": float("nan")}, kind="device")
    assert found.results == (Result("Site A", {"mean": 1.5, "n": 2.0}, "device"),)
    assert [type(value) for value in found.results[0].values.values()] == [float, float]


@pytest.mark.parametrize("value", [None, {}, [], (), iter(()), {"nan": float("nan")}, [Result("A", {})]])
def test_nothing_is_no_result(value: Any) -> None:
    assert returned(value).results == returned(value).alarms == ()


def test_results_and_alarms_may_come_from_a_generator() -> None:
    details = {"at": pd.Timestamp(0, unit="s", tz="UTC"), "n": np.int32(1), "nan": float("nan"), "list": np.arange(2)}
    found = returned(each for each in (Result("A", {"x": 1}), Alarm("hot", details=details)))
    assert found.results == (Result("A", {"x": 1.0}),)
    assert found.alarms == (
        Alarm("hot", details={"at": "1970-01-01T00:00:00+00:00", "n": 1, "nan": None, "list": [0, 1]},
              entity="Site A", kind="asset"),
    )  # fmt: skip
    assert returned(Result("A", {"x": 1})).results == found.results


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3.5, "the float 3.5 instead of a mapping of results, or Results and Alarms."),
        ("text", "the str 'text' instead of"),
        (READINGS, "a pandas DataFrame instead of"),
        (READINGS["t"], "a pandas Series (its to_dict() is a mapping) instead of"),
        (np.array([1.0]), "a numpy ndarray instead of"),
        (object(), "an object of type object instead of"),
        ([{"x": 1}], "an object of type dict among its results, which is neither a Result nor an Alarm."),
        ({"x": "warm"}, "the result 'x' is a number, not 'warm'."),
        ({"x": float("inf")}, "the result 'x' is not finite."),
        ({1: 1}, "a result's key is a text, not 1."),
        ({"k" * 256: 1}, "a key of 256 characters, where 255 are possible."),
        ([Result("A\n", {"x": 1})], "a name of an entity with control characters"),
        ([Alarm("x" * 256)], "a type of an alarm of 256 characters"),
        ([Alarm("x", details={"y": object()})], "an Alarm with details that JSON cannot hold"),
        ([Alarm("x", details=[1])], "an Alarm with an object of type list instead of"),  # type: ignore[arg-type]
        ([Alarm("x", kind="room")], "the kind of an Alarm is"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_posted_is_one_sentence(value: Any, reason: str) -> None:
    assert refusal(value).startswith(reason)


@pytest.mark.parametrize(
    ("result", "is_fed_back"),
    [
        (Result("D", {"t": 1}, "device"), True),
        (Result("D", {"t": 1}, "asset"), False),
        (Result("D", {"t_mean": 1}, "device"), False),
        (Result("D_10m", {"t": 1}, "device"), False),
    ],
)
def test_results_that_would_be_counted_as_readings_are_refused(result: Result, is_fed_back: bool) -> None:
    if is_fed_back:
        assert refusal([result], forwarded=["t"]).startswith("'t' for the device 'D', whose own readings are forwarded")
    else:
        assert returned([result], forwarded=["t"]).results[0].values == result.values


def test_without_names_of_devices_any_of_them_may_be_the_one_that_is_read() -> None:
    readings = readings_frame({"ts": [1], "t": [1]}, texts=[], numbers=["t"])
    function = with_arguments(lambda _: [Result("D_10m", {"t": 1}, "device")], "f:g")
    with pytest.raises(FunctionFailed, match="'t' for the device 'D_10m'"):
        function.call(readings, WINDOW, HISTORY, forwarded=["t"])


def test_an_exception_has_the_authors_part_of_the_traceback(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "import numpy\ndef f(readings):\n    return inner()\ndef inner():\n    return numpy.ones(2).reshape(3)\n",
    )
    loaded = load_file(file, "f", "mine:f")
    with pytest.raises(FunctionFailed) as failed:
        loaded.call(READINGS, WINDOW, HISTORY)
    # The line is the author's own, not that of the library that raised.
    assert failed.value.message == (
        "mine:f raised ValueError: cannot reshape array of size 2 into shape (3,) (mine.py, line 5)."
    )
    lines = str(failed.value.traceback).splitlines()
    assert lines[:2] == ["Traceback (most recent call last):", f'  File "{file}", line 3, in f']
    assert "function_calls" not in str(failed.value.traceback)


def test_exceptions_while_results_are_made_are_the_functions(tmp_path: Path) -> None:
    def generator(readings: Any) -> Any:
        yield Result("A", {"x": 1})
        raise KeyError("x")

    def leaves(readings: Any) -> Any:
        sys.exit("that is all")

    for function, what in (
        (generator, "raised KeyError: 'x'"),
        (leaves, "ended the program with the exit code that is"),
    ):
        with pytest.raises(FunctionFailed) as failed:
            with_arguments(function, "f:g").call(READINGS, WINDOW, HISTORY)
        assert failed.value.message.startswith(f"f:g {what}")
        assert failed.value.traceback is not None


# --- tables -------------------------------------------------------------------------------------------------------


def test_readings_have_the_same_form_from_any_source() -> None:
    times = pd.to_datetime(["2026-01-01T00:00:01Z", "2026-01-01T01:00:00+01:00"], format="ISO8601", utc=True)
    frame = readings_frame(
        {"ts": times, "site": [1, None], "t": ["2", 1]}, texts=["deviceName", "site"], numbers=["t", "h"]
    )
    assert [*frame] == ["ts", "deviceName", "site", "t", "h"]
    assert str(frame["ts"].dtype) == "datetime64[ms, UTC]"
    assert frame["ts"].is_monotonic_increasing
    assert frame["t"].tolist() == [1.0, 2.0]
    assert frame["site"].tolist()[1] == "1"
    assert frame[["deviceName", "h"]].isna().all().all()
    assert {str(frame[key].dtype) for key in ("t", "h")} == {"float64"}


def test_history_has_a_column_for_each_result() -> None:
    frame = history_frame([(1000, {"a": 1.0}), (2000, {"b": 2.0})])
    assert [*frame] == ["ts", "a", "b"]
    assert frame["a"].tolist()[0] == 1.0
    assert frame["b"].isna().tolist() == [True, False]
    assert [*history_frame(())] == ["ts"]
    assert len(history_frame(())) == 0


def test_a_window_knows_its_group_and_entity() -> None:
    analytics = Analytics.model_validate(
        {"name": "a", "window": "10s", "group_by": ["site", "room"], "telemetry": {"n": "count()"}}
    )
    window = window_of(analytics, ("S", "R"), 20_000)
    assert (dict(window.group), window.entity) == ({"site": "S", "room": "R"}, "S / R")
    assert (window.start.timestamp(), window.end.timestamp()) == (10, 20)
