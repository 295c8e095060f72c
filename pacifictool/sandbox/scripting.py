"""The JavaScript engine (QuickJS) and the limits of scripts.

Anyone who may edit rules can write scripts, so each gets an engine of its own with limits on time and memory, and only
the language itself.
"""

from __future__ import annotations

import re

import quickjs

TIME_LIMIT_SECONDS = 0.25
"""Processor time that a script or template of a rule may use for one message."""
MEMORY_LIMIT_BYTES = 16 * 1024 * 1024
_STACK_LIMIT_BYTES = 256 * 1024

_TEXTS_AND_COMMENTS = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\"""", re.DOTALL)
_NEWER_SYNTAX = re.compile(r"=>|`|\.\.\.|\*\*|\?\?|\?\.(?!\d)|\b(?:let|class)\s+[A-Za-z_$]")


class ScriptRefused(Exception):
    """The script does not compile; the text is the engine's reason."""


class ScriptFailed(Exception):
    """The script threw, ran too long, or returned a value of the wrong type."""


def refuse_newer_syntax(text: str) -> None:
    """Raises ScriptRefused for syntax that the servers' engine, Nashorn, does not support."""
    if found := _NEWER_SYNTAX.search(_TEXTS_AND_COMMENTS.sub("''", text)):
        raise ScriptRefused(f"Can't compile script: {found.group()!r} is newer than ECMAScript 5")


def first_line(error: Exception) -> str:
    """The reason of an engine's error, without its stack."""
    return str(error).strip().partition("\n")[0]


def limited_context() -> quickjs.Context:
    """An engine with limits on time, memory and stack."""
    context = quickjs.Context()
    context.set_time_limit(TIME_LIMIT_SECONDS)
    context.set_memory_limit(MEMORY_LIMIT_BYTES)
    context.set_max_stack_size(_STACK_LIMIT_BYTES)
    return context
