"""Filter scripts as the server's engine (Nashorn, ECMAScript 5) runs them.

Tried with nashorn-core 15.4: a long arrives as a Java object, so `windSpeed === 31` is false and `typeof windSpeed`
is "object", while `==`, `>` and arithmetic work; a missing key of a map is undefined; arrow functions and `let` do not
compile. A script that works in the sandbox must work on a real server, which runs it in Nashorn
(docs/servers/1.x.md#before-14, row 4), so these are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pacifictool.sandbox.scripting import Script, refuse_newer_syntax
from pacifictool.sandbox.values import Values, json_value


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
