"""Errors as Spark shows them: it quotes an exception's text, and nothing else of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

from pacifictool.errors import PacificToolError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@contextmanager
def hints_shown() -> Iterator[None]:
    """Inside, an error's text has its hint."""
    try:
        yield
    except PacificToolError as error:
        if error.hint and error.hint not in str(error):
            error.args = (f"{error} {error.hint}",)
        raise


def spoken(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same function, whose errors show their hints; also those of an iterator that it returns."""

    @functools.wraps(call)
    def wrapped(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        with hints_shown():
            result = call(*arguments, **options)
        return cast(Result, _iterated(result)) if isinstance(result, Iterator) else result

    return wrapped


def _iterated(items: Iterator[Any]) -> Iterator[Any]:
    with hints_shown():
        yield from items
