"""What compiled TBEL scripts do: values, operators and methods, each within the budget of its run.

An expression is a function of a scope, the variables of one run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pacifictool.sandbox.generation4.readings import metadata_text
from pacifictool.sandbox.scripting import ScriptFailed

Scope = dict[str, Any]
Expression = Callable[[Scope], Any]

BUDGET = 500_000
"""Values that one run may create or compare, counted on each access: a quarter of a second at most."""
_CHARACTERS = 32
"""Characters of a text that count as one value: the whole budget is 16 MB of texts."""
_MAX_DEPTH = 200
BUDGET_LEFT = ""
"""The variable with a run's budget; no variable of a script can have this name."""
_INT = range(-(2**31), 2**31)
LONG = range(-(2**63), 2**63)
TYPES: dict[str, Callable[[Any], bool]] = {
    "Integer": lambda value: type(value) is int and value in _INT,
    "Long": lambda value: type(value) is int and value not in _INT,
    "Double": lambda value: type(value) is float,
    "Float": lambda _value: False,
    "Number": lambda value: type(value) in (int, float),
    "String": lambda value: type(value) is str,
    "Boolean": lambda value: type(value) is bool,
    "Map": lambda value: type(value) is dict,
    "List": lambda value: type(value) is list,
}


class ScriptResult(Exception):
    """Carries a result out of nested blocks."""

    def __init__(self, value: Any) -> None:
        self.value = value


def charge(scope: Scope, made: Any) -> Any:
    """Returns `made` after deducting its size from the run's budget. Raises ScriptFailed."""
    left = scope[BUDGET_LEFT]
    level, depth = [made], 0
    while level:
        left -= sum(1 + (len(value) // _CHARACTERS if isinstance(value, str) else 0) for value in level)
        if left < 0 or depth > _MAX_DEPTH:
            raise ScriptFailed("Script makes values that are too large or nested too deeply")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            if len(below) > left:
                break
        level, depth = below, depth + 1
    scope[BUDGET_LEFT] = left
    return made


def constant(value: Any) -> Expression:
    return lambda _scope: value


def variable(name: str) -> Expression:
    def read(scope: Scope) -> Any:
        if name not in scope:
            raise ScriptFailed(f"unresolvable property: {name}")
        return scope[name]

    return read


def assign_name(name: str, value: Expression) -> Expression:
    def assign(scope: Scope) -> Any:
        scope[name] = value(scope)
        return scope[name]

    return assign


def member(owner: Expression, key: Expression) -> Expression:
    def read(scope: Scope) -> Any:
        value, wanted = owner(scope), key(scope)
        if type(value) is dict and not isinstance(wanted, dict | list):
            return value.get(wanted)
        if type(value) is list and type(wanted) is int and 0 <= wanted < len(value):
            return value[wanted]
        raise ScriptFailed(f"null pointer or property not found: {wanted}")

    read.place = owner, key  # type: ignore[attr-defined]
    return read


def put(owner: Any, key: Any, value: Any) -> None:
    is_item = type(owner) is list and type(key) is int and 0 <= key < len(owner)
    if not is_item and (type(owner) is not dict or isinstance(key, dict | list)):
        raise ScriptFailed(f"null pointer or property not found: {key}")
    owner[key] = value


def boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise ScriptFailed(f"expected Boolean; but found: {'null' if value is None else type(value).__name__}")


def both(left: Expression, right: Expression) -> Expression:
    return lambda scope: boolean(left(scope)) and boolean(right(scope))


def either(left: Expression, right: Expression) -> Expression:
    return lambda scope: boolean(left(scope)) or boolean(right(scope))


def is_a(value: Expression, test: Callable[[Any], bool]) -> Expression:
    return lambda scope: test(value(scope))


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    numbers = (type(left) in (int, float)) + (type(right) in (int, float))
    if numbers == 1 or (numbers == 0 and type(left) is not type(right)):
        # The rules by which servers convert between texts, numbers and Booleans are unknown.
        raise ScriptFailed("The sandbox's TBEL does not compare values of different kinds")
    return bool(left == right)


def compare_equal(left: Expression, right: Expression, *, wanted: bool) -> Expression:
    return lambda scope: _equal(charge(scope, left(scope)), charge(scope, right(scope))) is wanted


def compare(left: Expression, right: Expression, sign: str) -> Expression:
    def compare(scope: Scope) -> bool:
        one, other = left(scope), right(scope)
        if type(one) not in (int, float) or type(other) not in (int, float):
            raise ScriptFailed("The sandbox's TBEL orders numbers only")
        if sign == "<":
            return bool(one < other)
        if sign == ">":
            return bool(one > other)
        return bool(one <= other) if sign == "<=" else bool(one >= other)

    return compare


def calculate(left: Expression, right: Expression, sign: str) -> Expression:
    def calculate(scope: Scope) -> Any:
        one, other = left(scope), right(scope)
        if sign == "+" and str in (type(one), type(other)):
            return charge(scope, _text(one) + _text(other))
        if type(one) not in (int, float) or type(other) not in (int, float):
            raise ScriptFailed("The sandbox's TBEL calculates with numbers only")
        result = one + other if sign == "+" else one - other if sign == "-" else one * other
        if type(result) is int and result not in (_INT if one in _INT and other in _INT else LONG):
            raise ScriptFailed("The sandbox's TBEL does not calculate beyond the range of its numbers")
        return result

    return calculate


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        raise ScriptFailed("The sandbox's TBEL joins texts, numbers and Booleans only")
    return metadata_text(value)


def call_method(name: str, owner: Any, arguments: list[Any]) -> Any:
    if name == "equals" and owner is not None:
        return type(owner) is type(arguments[0]) and bool(owner == arguments[0])
    if name in ("isEmpty", "size") and type(owner) in (dict, list):
        return len(owner) if name == "size" else not owner
    if name == "isEmpty" and type(owner) is str:
        return not owner
    if type(owner) is dict and not isinstance(arguments[0], dict | list):
        if name == "containsKey":
            return arguments[0] in owner
        if name == "get":
            return owner.get(arguments[0])
        if name == "remove":
            return owner.pop(arguments[0], None)
        if name == "put":
            previous = owner.get(arguments[0])
            owner[arguments[0]] = arguments[1]
            return previous
    raise ScriptFailed(f"unable to resolve method: {name}")
