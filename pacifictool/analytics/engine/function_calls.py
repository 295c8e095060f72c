"""Loads a user's function from its file and calls it: in the process that a Spark worker keeps for it, and in
`pacifictool analytics test`, in the same way.

This runs where there may be nothing but Python, pandas and this package: it imports no other library.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from pacifictool.analytics.engine.function_frames import history_frame
from pacifictool.analytics.engine.function_results import Returned, described, posted
from pacifictool.errors import ScenarioError
from pacifictool.functions import Alarm, EntityKind, Result, Window

if TYPE_CHECKING:
    import pandas as pd

    from pacifictool.scenario.analytics import Analytics
    from pacifictool.scenario.function import FunctionReference

_DEVICE_NAME: Final = "deviceName"
_LONGEST_REASON: Final = 300
_SIGNATURES: Final = "A function takes (readings), (readings, window) or (readings, window, history)."
_FRAMES_OF_OURS: Final = (__file__, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


class FunctionFailed(Exception):
    """A call without results: the function raised, or returned what cannot be posted.

    `message` is one sentence about the function; `traceback` is its own, without our frames, when it raised.
    """

    def __init__(self, message: str, traceback: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.traceback = traceback


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """A function of the user's that can be called."""

    text: str
    """As the scenario has it: "anomaly:score"."""
    function: Callable[..., Any] = field(repr=False)
    positional: tuple[str, ...] = ()
    """What it takes after the readings by position: "window", "history"."""
    keywords: Mapping[str, str] = field(default_factory=dict)
    """What it takes by name: by parameter, "window" or "history"."""

    def call(
        self,
        readings: pd.DataFrame,
        window: Window,
        history: pd.DataFrame,
        *,
        kind: EntityKind = "asset",
        forwarded: Collection[str] = (),
    ) -> Returned:
        """Results and alarms of one window.

        `kind` is that of the group's entity. `forwarded` are the keys of telemetry that the platform forwards: a device
        whose readings these are gets no result with such a key, which would be counted as one more reading. Raises
        FunctionFailed; its cause is what the function raised.
        """
        given = {"window": window, "history": history}
        devices = readings.get(_DEVICE_NAME)
        try:
            returned = self.function(
                readings,
                *(given[what] for what in self.positional),
                **{name: given[what] for name, what in self.keywords.items()},
            )
            if isinstance(returned, Iterable) and not isinstance(returned, Mapping | str | bytes):
                returned = _listed(returned)
        except (Exception, SystemExit) as error:
            raise FunctionFailed(f"{self.text} {_what_happened(error)}.", own_traceback(error)) from error
        try:
            return posted(returned, window, kind=kind, forwarded=forwarded, devices=devices)
        except (TypeError, ValueError) as error:
            raise FunctionFailed(f"{self.text} returned what cannot be posted: {one_line(error)}.") from error


def call_function(
    analytics: Analytics,
    readings: pd.DataFrame,
    window: Window,
    history: pd.DataFrame | None = None,
    *,
    forwarded: Collection[str] = (),
) -> Returned:
    """Calls an analytics' function once in this process, without its limits. Raises ScenarioError, FunctionFailed.

    For many windows, use `load_function` once, then `LoadedFunction.call`.
    """
    if analytics.function is None:
        raise ScenarioError(
            f"The analytics {analytics.name!r} has no function.", hint="docs/your-analytics.md shows how to write one."
        )
    history = history_frame(()) if history is None else history
    return load_function(analytics.function).call(
        readings, window, history, kind=analytics.entity_kind, forwarded=forwarded
    )


def load_function(reference: FunctionReference) -> LoadedFunction:
    """The function of a scenario, from exactly its file, which can import modules next to it.

    Raises ScenarioError with a sentence for the author; `details` have the traceback of what the file raised.
    """
    return load_file(reference.file, reference.name, reference.text)


def load_file(file: Path, name: str, text: str) -> LoadedFunction:
    """The function `name` of a file; errors call it `text`. Raises ScenarioError, as `load_function` does."""
    if not file.is_file():
        raise ScenarioError(
            f"The function {text} cannot be loaded: the file {file} does not exist.",
            hint="The path is relative to the folder of the scenario's file.",
        )
    module = _loaded_module(file, text)
    function = getattr(module, name, None)
    if function is None:
        found = [
            each
            for each, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and each[0] != "_"
        ]
        raise ScenarioError(
            f"The function {text} does not exist: {file} has no {name}.",
            hint=f"It has {', '.join(found)}." if found else f"Begin with `def {name}(readings, window, history):`.",
        )
    return with_arguments(function, text)


def with_arguments(function: Any, text: str) -> LoadedFunction:
    """The function and which of window and history it takes. Raises ScenarioError when it cannot be called so."""
    if not callable(function) or inspect.isclass(function):
        raise ScenarioError(f"{text} is not a function but {described(function)}.", hint=_SIGNATURES)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ScenarioError(f"{text} is an async function, which cannot be used.", hint="Write it without `async`.")
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):  # some of C libraries do not say
        return LoadedFunction(text, function, ("window", "history"))
    if not parameters or parameters[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        raise ScenarioError(f"{text} takes no readings.", hint=_SIGNATURES)
    if parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return LoadedFunction(text, function, ("window", "history"))
    more = [each for each in parameters[1:] if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    left = [what for what in ("window", "history") if what not in {each.name for each in more}]
    positional: list[str] = []
    keywords: dict[str, str] = {}
    for each in more:
        if each.name in ("window", "history"):
            what = each.name
        elif each.default is not each.empty:
            continue
        elif left and each.kind is not each.KEYWORD_ONLY:
            what = left.pop(0)
        else:
            raise ScenarioError(f"{text} has a parameter {each.name!r}, for which there is nothing.", hint=_SIGNATURES)
        if each.kind is each.POSITIONAL_ONLY:
            positional.append(what)
        else:
            keywords[each.name] = what
    return LoadedFunction(text, function, tuple(positional), keywords)


def own_traceback(error: BaseException) -> str:
    """The traceback as the author of the function knows it: without the frames of this package."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _FRAMES_OF_OURS:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def one_line(error: BaseException) -> str:
    """What an exception says, as the end of a sentence."""
    lines = str(error).strip().splitlines()
    text = lines[0].rstrip(" .:") if lines else ""
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def _loaded_module(file: Path, text: str) -> ModuleType:
    """The module of a file, loaded again if it was loaded before. Raises ScenarioError."""
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # No name that another module could have: pickles and dataclasses look modules up by it.
    name = f"_pacifictool_function_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"The function {text} cannot be loaded: {file} is not a file of Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise ScenarioError(
            f"The function {text} cannot be loaded: {file} {_what_happened(error)}.",
            hint=_load_hint(error, file),
            traceback=own_traceback(error),
        ) from error
    return module


def _load_hint(error: BaseException, file: Path) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        return f"Install what has the module {top}; one of your own stands next to {file.name} and in `files`."
    return f"`python {file}` shows more."


def _what_happened(error: BaseException) -> str:
    """What an exception means, as the end of a sentence whose subject is the function or its file."""
    if isinstance(error, SystemExit):
        return f"ended the program with the exit code {error.code or 0}"
    if isinstance(error, MemoryError):
        return "ran out of memory"
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"has a syntax error in line {error.lineno}: {one_line(Exception(error.msg))}"
    reason = one_line(error)
    return f"raised {type(error).__name__}{f': {reason}' if reason else ''}{_where(error)}"


def _where(error: BaseException) -> str:
    """The innermost line of code that is next to the function's own file, which is what its author wrote."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in _FRAMES_OF_OURS]
    if not frames:
        return ""
    folder = Path(frames[0].filename).parent
    own = [frame for frame in frames if folder in Path(frame.filename).parents]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _listed(returned: Iterable[Any]) -> Any:
    """What an iterable of results holds; others, such as a column of pandas, as they are."""
    if isinstance(returned, Result | Alarm) or hasattr(returned, "dtype") or hasattr(returned, "columns"):
        return returned
    return list(returned)
