"""Writes down every JSON document that commands print in this interpreter, with the command and the test.

The one place through which all of them pass is `Output.write_document`. In the tests' own process `record` replaces it;
`recorded_documents.py` copies this file as `sitecustomize.py` into a folder of `PYTHONPATH`, so that every Python that a
test starts records, too. It therefore imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

_MODULE = "pacifictool.cli.render"


def record(folder: Path, output: Any) -> None:
    """Makes `output`, the class, append a line to a file in `folder` for each document: [command, test, document]."""
    write = output.write_document

    def write_document(self: Any, document: Any, **options: Any) -> None:
        from typer._click.globals import get_current_context

        context = get_current_context(silent=True)
        command = "" if context is None else context.command_path.removeprefix("pacifictool ")
        line = json.dumps([command, os.environ.get("PYTEST_CURRENT_TEST", ""), document], default=str)
        # Another user, or a read-only file system: what is printed there is printed elsewhere, too.
        with contextlib.suppress(OSError):
            file = os.open(folder / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(file, f"{line}\n".encode())
            os.close(file)
        write(self, document, **options)

    output.write_document = write_document


class _WhenImported:
    """Records from when the module is imported; an interpreter that does not import it loses no time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        if name != _MODULE:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            record(self._folder, module.Output)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one import
        return spec


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, _WhenImported(Path(__file__).parent))
