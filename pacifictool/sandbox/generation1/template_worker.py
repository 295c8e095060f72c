"""A process that compiles and renders templates, with limits that the kernel enforces.

airspeed has no limits: a template may loop over a range of a billion, double a text until memory is full, or multiply
numbers of a million digits, and most of that happens in single operations that nothing within the process can
interrupt. So the kernel ends this process when a template uses up its time, and limits its memory.

Reads requests from standard input and writes responses to standard output, each a length of four bytes and JSON. Ends
with its standard input. `template_process` is the other side.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airspeed

from pacifictool.sandbox.generation1.template_values import MAX_OUTPUT, context_of
from pacifictool.sandbox.scripting import MEMORY_LIMIT_BYTES, TIME_LIMIT_SECONDS

LENGTH = struct.Struct("!I")
COMPILE_SECONDS = 2.0
_KEPT = 64
"""Compiled templates; a sandbox has a few."""


# Velocity 1.7 takes hyphens in names (docs/servers/1.x.md#filters-and-templates, row 2), airspeed does not.
airspeed.NameOrCall.NAME = re.compile(r"([_a-z][a-z0-9_-]*)", re.IGNORECASE)


def main() -> None:
    """Serves until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sandbox, which ends this process.
    _limit_memory()
    templates: dict[str, airspeed.Template] = {}
    while len(header := sys.stdin.buffer.read(LENGTH.size)) == LENGTH.size:
        request = json.loads(sys.stdin.buffer.read(LENGTH.unpack(header)[0]))
        try:
            response = _respond(request, templates)
            data = json.dumps(response).encode("ascii")
        except MemoryError:
            os._exit(1)
        sys.stdout.buffer.write(LENGTH.pack(len(data)) + data)
        sys.stdout.buffer.flush()


def _respond(request: dict[str, Any], templates: dict[str, airspeed.Template]) -> dict[str, str]:
    text = request["template"]
    template = templates.get(text)
    if template is None:
        template = airspeed.Template(text)
        try:
            with _limited(COMPILE_SECONDS):
                template.ensure_compiled()
        except (airspeed.TemplateError, RecursionError) as error:
            return {"invalid": _reason(error)}
        if len(templates) >= _KEPT:
            templates.clear()
        templates[text] = template
    if "context" not in request:
        return {}
    try:
        with _limited(TIME_LIMIT_SECONDS):
            rendered = str(template.merge(context_of(request["context"])))
    except (airspeed.TemplateError, RecursionError) as error:
        return {"failed": _reason(error)}
    if len(rendered) > MAX_OUTPUT:
        return {"failed": "The rendered text is longer than 1 MB."}
    return {"text": rendered}


def _reason(error: Exception) -> str:
    """The text of an error, which may quote what the template has made."""
    if isinstance(error.__cause__, MemoryError):
        return "The template uses too much memory."
    return str(error)[:1000]


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Ends the process by signal after `seconds` of processor time, without Python's cooperation."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where the kernel does not report the memory in use, only the time limit applies.
    with contextlib.suppress(OSError, ValueError):
        in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limit = in_use + MEMORY_LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
