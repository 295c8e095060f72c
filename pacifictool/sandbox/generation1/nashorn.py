"""Filter scripts of rules, run in QuickJS as in the server's engine (Nashorn, ECMAScript 5).

Attributes and telemetry are plain names, attribute scopes are maps with `get` and `containsKey`, the value of the last
statement is the result, and a result that is not a Boolean is an error. Measured: 200,000 calls/s, JSON included.

Tried with nashorn-core 15.4: a long arrives as a Java object, so `windSpeed === 31` is false and `typeof windSpeed`
is "object", while `==`, `>` and arithmetic work; a missing key of a map is undefined; names are members of `this`, too;
arrow functions and `let` do not compile. A script that works in the sandbox must work on a real server, which runs it
in Nashorn (docs/servers/1.x.md#filters-and-templates), so these are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import quickjs

from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused, first_line, limited_context, refuse_newer_syntax
from pacifictool.sandbox.values import Values, json_value

_PRELUDE = """
(function () {
  const methods = {
    get: function (key) { return Object.hasOwn(this, key) ? this[key] : null; },
    containsKey: function (key) { return Object.hasOwn(this, key); },
    size: function () { return Object.keys(this).length; },
    isEmpty: function () { return Object.keys(this).length === 0; },
  };
  const maps = Object.create(null);
  for (const name in methods) {
    // Writable, or no map could have an attribute of that name.
    Object.defineProperty(maps, name, {value: methods[name], writable: true});
  }
  function values(document, target) {
    const parsed = Object.assign(target, document.values);
    for (const key of document.boxed || []) {
      parsed[key] = new Number(parsed[key]);
    }
    return parsed;
  }
  return function (names, scopes) {
    const bindings = values(JSON.parse(names), Object.create(null));
    const parsed = JSON.parse(scopes);
    for (const scope in parsed) {
      bindings[scope] = values(parsed[scope], Object.create(maps));
    }
    return bindings;
  };
})()
"""

_RUNNER = "(function (__bindings, __script) {{ {call} }})"
_EXPRESSION = "(function (__bindings) {{ {call} }})"
_STATEMENT = "with (__bindings) {{ return ({script}); }}"
_WITH_THIS = "return (function () {{ {statement} }}).call(Object.assign(Object.create(globalThis), __bindings));"
"""For scripts that name `this`, the global object, which has the bindings as members, too."""
_THIS = re.compile(r"\bthis\b")


class Script:
    """A compiled filter. Raises ScriptRefused if the text is not JavaScript."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._compile(text)

    def _compile(self, text: str) -> None:
        self._context = limited_context()
        self._bind = self._context.eval(_PRELUDE)
        self._check_syntax(text)
        try:
            # A plain expression, the usual case, is compiled once.
            self._call = self._context.eval(_EXPRESSION.format(call=_call(f"\n{text}\n", text)))
        except quickjs.JSException:
            runner = self._context.eval(_RUNNER.format(call=_call("eval(__script)", text)))
            self._call = lambda bindings: runner(bindings, text)

    def _check_syntax(self, text: str) -> None:
        # The engine parses everything before it runs anything, so the first statement keeps the rest from running.
        try:
            self._context.eval(f"throw 'parsed';\n{text}")
        except quickjs.JSException as error:
            reason = first_line(error)
            if reason != "parsed":
                raise ScriptRefused(f"Can't compile script: {reason}") from None

    def test(self, names: str, scopes: str = "{}") -> bool:
        """Runs the filter. Raises ScriptFailed.

        `names` is JSON, `{"values": {…}, "boxed": […]}`: what the script sees by name, and which of the numbers are to
        be Number objects; `scopes` maps the names of maps to such documents.
        """
        try:
            result = self._call(self._bind(names, scopes))
        except (quickjs.JSException, quickjs.StackOverflow) as error:
            reason = first_line(error)
            if reason == "null":
                reason = "InternalError: out of memory"  # Not even enough for the error object.
            if reason.startswith("InternalError"):
                # The state of the script's engine must not fail every later message.
                self._compile(self._text)
            raise ScriptFailed(reason) from None
        if result is True or result is False:
            return bool(result)
        raise ScriptFailed(f"Wrong result type: {result if isinstance(result, str | int | float) else 'null'}")


def _call(expression: str, text: str) -> str:
    """The statement that evaluates `expression`, which stands for the script `text`."""
    statement = _STATEMENT.format(script=expression)
    return _WITH_THIS.format(statement=statement) if _THIS.search(text) else statement


def compile_filter(text: str) -> Script:
    """A compiled script, limited to ECMAScript 5. Raises ScriptRefused."""
    refuse_newer_syntax(text)
    return Script(text)


def _document(values: Values) -> dict[str, Any]:
    # A boxed zero would be true in a condition, which it is not in Nashorn; so zero stays a plain number.
    boxed = [key for key, value in values.items() if type(value) is int and value]
    return {"values": {key: json_value(value) for key, value in values.items()}, "boxed": boxed}


def names_json(values: Values) -> str:
    """Values as the names that `Script.test` takes, longs boxed."""
    return json.dumps(_document(values))


def scopes_json(scopes: Mapping[str, Values]) -> str:
    """Maps such as {"cs": {…}, "ss": {…}} as the scopes that `Script.test` takes, longs boxed."""
    return json.dumps({name: _document(values) for name, values in scopes.items()})
