"""Checks every JSON document that a command prints in any test against the command's schema.

A field that no schema describes, or one that is missing, fails the test during which it was printed, also when a
process of a test printed it. `document_recorder.py` records them. Not recorded: interpreters that a test starts without
the `PYTHONPATH` of its own environment.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pacifictool.cli.render import Output
from pacifictool.output_schemas import output_schemas
from tests.support import document_recorder


class UndescribedDocument(AssertionError):
    """A command printed a document that is not as its schema says."""


def problems_of(command: str, document: Any) -> list[str]:
    """What differs from the command's schema: where in the document, and what. Empty if it is as described."""
    schemas = output_schemas()
    is_error = isinstance(document, dict) and "error" in document
    if command not in schemas and not is_error:
        return [f"no schema of {command!r} in pacifictool/resources/schemas"]
    # Errors are also printed by what is not, or not yet, a command: any schema has them.
    name = command if command in schemas else "setup"
    return [
        f"{_place(error)}: {error.message[:300]}" for error in _leaves(_validator(name, is_error).iter_errors(document))
    ]


def assert_described(command: str, document: Any) -> None:
    """For a document that a test makes without the command, with what a command prints rarely."""
    assert problems_of(command, json.loads(json.dumps(document))) == []


@cache
def _validator(command: str, is_error: bool) -> Any:
    """For the result or the error alone: that neither of both matches would say little about why."""
    schema = output_schemas()[command].bundled(closed=True)
    del schema["oneOf"]
    return jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{'error' if is_error else 'result'}"})


def _leaves(errors: Iterator[Any]) -> Iterator[Any]:
    """Of alternatives, why the one that comes closest does not match."""
    for error in errors:
        if error.validator not in ("anyOf", "oneOf"):
            yield error
            continue
        alternatives: dict[int, list[Any]] = {}
        for inner in error.context:
            alternatives.setdefault(inner.schema_path[0], []).append(inner)
        closest: list[Any] = min(alternatives.values(), key=len)
        yield from _leaves(iter(closest))


def _place(error: Any) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return path.lstrip(".") or "the document"


class RecordedDocuments:
    """The plugin that records and checks."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pacifictool-documents-"))
        self._read: dict[str, int] = {}
        source = Path(document_recorder.__file__)
        shutil.copyfile(source, self._folder / "sitecustomize.py")
        earlier = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(self._folder), *([earlier] if earlier else [])])
        document_recorder.record(self._folder, Output)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        result = yield
        self.check()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        result = yield
        self.check()
        return result

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def check(self) -> None:
        """Raises UndescribedDocument for what was printed since the last call."""
        found = [
            f"`{command or 'pacifictool'}` printed (in {test or 'no test'}):\n    {problem}"
            for command, test, document in self._new()
            if command or (isinstance(document, dict) and "error" in document)  # else a test of `Output` itself
            for problem in problems_of(command, document)
        ]
        if found:
            listed = "\n".join(dict.fromkeys(found))
            raise UndescribedDocument(f"{listed}\nDescribe it in pacifictool/resources/schemas (see CONTRIBUTING.md).")

    def _new(self) -> Iterator[list[Any]]:
        for entry in os.scandir(self._folder):
            done = self._read.get(entry.name, 0)
            if not entry.name.endswith(".jsonl") or entry.stat().st_size <= done:
                continue
            with Path(entry.path).open("rb") as file:
                file.seek(done)
                lines = file.read()
            lines = lines[: lines.rfind(b"\n") + 1]
            self._read[entry.name] = done + len(lines)
            yield from map(json.loads, lines.splitlines())
