"""TBEL, the servers' own script language, as far as the sandbox knows it.

TBEL looks like JavaScript but is typed like Java: `msg.windSpeed instanceof Integer` tells 31 from 31.0, and both come
out as they went in. JavaScript has one type of number and cannot say that, so these scripts are not run by the
JavaScript engine. They are read by a grammar of their own that holds only what means the same here and on a server;
everything else is refused when the node starts, with a reason, and never silently misunderstood.

A script cannot loop, so its length bounds its steps. A budget for the whole run bounds what the steps may cost, so
that doubled texts and lists of lists end like any script that takes too much.

Known: `return`, `var`, assignment, `if`/`else`, `?:`, `&& || !`, comparisons, `instanceof`, `+ - *`, member access,
maps, lists, and the methods `containsKey`, `get`, `put`, `remove`, `isEmpty`, `size`, `equals`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from pacifictool.sandbox.generation4.readings import metadata_text
from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused

Scope = dict[str, Any]
Expression = Callable[[Scope], Any]

_TOKENS = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/
    |(?P<number>(?:\d+\.\d+|\d+)(?:[eE][+-]?\d+)?[LlDd]?)
    |(?P<text>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")
    |(?P<name>[A-Za-z_$][A-Za-z_$0-9]*)
    |(?P<sign>===|!==|==|!=|<=|>=|&&|\|\||[-+*/%<>=!?:;,.(){}\[\]])""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_MAX_LENGTH = 20_000
_BUDGET = 500_000
"""Values that one run may make or compare, counted as often as they are reached: a quarter of a second at most."""
_CHARACTERS = 32
"""Of a text count as one value: 16 MB of texts are the whole budget."""
_MAX_DEPTH = 200
_BUDGET_LEFT = ""
"""Where a run keeps its budget among the script's variables, none of which can have this name."""
_INT = range(-(2**31), 2**31)
_LONG = range(-(2**63), 2**63)
_TYPES: dict[str, Callable[[Any], bool]] = {
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
_METHODS = frozenset({"containsKey", "get", "put", "remove", "isEmpty", "size", "equals"})
_WORDS = (
    "return var if else instanceof true false null new for foreach while do switch function def import empty nil"
    " contains is strsim soundslike convertable_to until this typeof let const"
)
_KEYWORDS = frozenset(re.findall(r"\w+", _WORDS))


class _Return(Exception):
    """Carries a result out of nested blocks."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _refused(what: str) -> ScriptRefused:
    return ScriptRefused(f"The sandbox's TBEL does not know {what}; write it simpler, or use scriptLang JS")


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            raise _refused(repr(text[position : position + 10]))
        if match.lastgroup is not None:
            found.append((match.lastgroup, match.group()))
        position = match.end()
    found.append(("end", ""))
    return found


class Tbel:
    """A compiled script. Raises ScriptRefused."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_LENGTH:
            raise _refused(f"scripts of more than {_MAX_LENGTH} characters")
        parser = _Parser(_tokens(text))
        try:
            self._statements = parser.program()
        except RecursionError:
            raise _refused("an expression nested so deeply") from None
        self._changes_values = parser.changes_values

    def run(self, data: Any, metadata: dict[str, str], message_type: str) -> Any:
        """What the script returns; None for nothing. Raises ScriptFailed."""
        try:
            return self._run(data, metadata, message_type)
        except RecursionError:
            raise ScriptFailed("Script is nested too deeply") from None

    def _run(self, data: Any, metadata: dict[str, str], message_type: str) -> Any:
        if self._changes_values:
            data, metadata = copy.deepcopy(data), dict(metadata)
        scope: Scope = {"msg": data, "metadata": metadata, "msgType": message_type, _BUDGET_LEFT: _BUDGET}
        value = None
        try:
            for statement in self._statements:
                value = statement(scope)
        except _Return as result:
            return result.value
        return value


class _Parser:
    """Turns tokens into functions of a scope."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self.changes_values = False

    def _peek(self, *signs: str) -> bool:
        kind, text = self._tokens[self._at]
        return kind in ("sign", "name") and text in signs

    def _take(self, *signs: str) -> str | None:
        if not self._peek(*signs):
            return None
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise ScriptRefused(f"Can't compile script: expected {sign!r} before {self._tokens[self._at][1]!r}")

    def _name(self) -> str:
        kind, text = self._tokens[self._at]
        if kind != "name" or text in _KEYWORDS:
            raise _refused(repr(text) if text else "this end")
        self._at += 1
        return text

    def program(self) -> list[Expression]:
        statements = []
        while self._tokens[self._at][0] != "end":
            statements.append(self._statement())
        return statements

    def _statement(self) -> Expression:
        if self._take("return"):
            return self._return()
        if self._take("if"):
            return self._if()
        if self._take("{"):
            return self._block()
        if self._take("var"):
            name = self._name()
            self._expect("=")
            statement = _assign_name(name, self._expression())
        else:
            statement = self._assignment_or_expression()
        if not self._peek("}") and self._tokens[self._at][0] != "end":
            self._expect(";")
        return statement

    def _return(self) -> Expression:
        value = _constant(None) if self._peek(";", "}") or self._tokens[self._at][0] == "end" else self._expression()
        self._take(";")

        def leave(scope: Scope) -> Any:
            raise _Return(value(scope))

        return leave

    def _if(self) -> Expression:
        self._expect("(")
        condition = self._expression()
        self._expect(")")
        then = self._statement()
        other = self._statement() if self._take("else") else _constant(None)
        return lambda scope: then(scope) if _boolean(condition(scope)) else other(scope)

    def _block(self) -> Expression:
        statements = []
        while self._take("}") is None:
            if self._tokens[self._at][0] == "end":
                raise ScriptRefused("Can't compile script: expected '}'")
            statements.append(self._statement())

        def run(scope: Scope) -> Any:
            value = None
            for statement in statements:
                value = statement(scope)
            return value

        return run

    def _assignment_or_expression(self) -> Expression:
        start = self._at
        target = self._postfix()
        if self._take("="):
            value = self._expression()
            return self._assign(start, target, value)
        self._at = start
        return self._expression()

    def _assign(self, start: int, target: Expression, value: Expression) -> Expression:
        owner_and_key = getattr(target, "place", None)
        if owner_and_key is None:
            kind, text = self._tokens[start]
            if kind != "name":
                raise _refused("an assignment to this")
            return _assign_name(text, value)
        self.changes_values = True
        owner, key = owner_and_key

        def assign(scope: Scope) -> Any:
            result = value(scope)
            place = owner(scope)
            _put(place, key(scope), result)
            _charge(scope, place if isinstance(result, dict | list) else result)
            return result

        return assign

    def _expression(self) -> Expression:
        condition = self._or()
        if self._take("?") is None:
            return condition
        then = self._expression()
        self._expect(":")
        other = self._expression()
        return lambda scope: then(scope) if _boolean(condition(scope)) else other(scope)

    def _or(self) -> Expression:
        left = self._and()
        while self._take("||"):
            left = _either(left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._equality()
        while self._take("&&"):
            left = _both(left, self._equality())
        return left

    def _equality(self) -> Expression:
        left = self._relation()
        while (sign := self._take("==", "!=")) is not None:
            left = _compare_equal(left, self._relation(), wanted=sign == "==")
        if self._peek("===", "!=="):
            raise _refused(repr(self._tokens[self._at][1]))
        return left

    def _relation(self) -> Expression:
        left = self._sum()
        while (sign := self._take("<", ">", "<=", ">=", "instanceof")) is not None:
            if sign == "instanceof":
                name = self._name()
                if name not in _TYPES:
                    raise _refused(f"the type {name}")
                left = _is_a(left, _TYPES[name])
            else:
                left = _compare(left, self._sum(), sign)
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while (sign := self._take("+", "-")) is not None:
            left = _calculate(left, self._product(), sign)
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while self._take("*"):
            left = _calculate(left, self._unary(), "*")
        if self._peek("/", "%"):
            raise _refused("division")
        return left

    def _unary(self) -> Expression:
        if self._take("!"):
            operand = self._unary()
            return lambda scope: not _boolean(operand(scope))
        if self._take("-"):
            return _calculate(_constant(0), self._unary(), "-")
        return self._postfix()

    def _postfix(self) -> Expression:
        value = self._primary()
        while True:
            if self._take("."):
                name = self._name()
                value = self._method(value, name) if self._peek("(") else _member(value, _constant(name))
            elif self._take("["):
                key = self._expression()
                self._expect("]")
                value = _member(value, key)
            else:
                return value

    def _method(self, owner: Expression, name: str) -> Expression:
        if name not in _METHODS:
            raise _refused(f"the method {name}")
        self._expect("(")
        arguments = [] if self._peek(")") else [self._expression()]
        while self._take(","):
            arguments.append(self._expression())
        self._expect(")")
        if len(arguments) != {"isEmpty": 0, "size": 0, "put": 2}.get(name, 1):
            raise _refused(f"{name} with {len(arguments)} arguments")
        self.changes_values |= name in ("put", "remove")

        def call(scope: Scope) -> Any:
            place, given = owner(scope), [argument(scope) for argument in arguments]
            if name == "equals":
                _charge(scope, [place, *given])
            result = _call(name, place, given)
            if name == "put" and isinstance(given[1], dict | list):
                _charge(scope, place)
            return result

        return call

    def _primary(self) -> Expression:
        kind, text = self._tokens[self._at]
        if kind == "number":
            self._at += 1
            return _constant(_number(text))
        if kind == "text":
            self._at += 1
            return _constant(_unescape(text[1:-1]))
        if self._take("("):
            value = self._expression()
            self._expect(")")
            return value
        if self._take("["):
            return self._list()
        if self._take("{"):
            return self._map()
        for word, constant in (("true", True), ("false", False), ("null", None)):
            if self._take(word):
                return _constant(constant)
        name = self._name()
        if self._peek("("):
            raise _refused(f"the function {name}")
        return _variable(name)

    def _list(self) -> Expression:
        items: list[Expression] = []
        while self._take("]") is None:
            items.append(self._expression())
            if not self._peek("]"):
                self._expect(",")
        return lambda scope: _charge(scope, [item(scope) for item in items])

    def _map(self) -> Expression:
        entries: list[tuple[str, Expression]] = []
        while self._take("}") is None:
            kind, text = self._tokens[self._at]
            if kind not in ("name", "text"):
                raise _refused(f"the key {text!r}")
            self._at += 1
            self._expect(":")
            entries.append((text if kind == "name" else _unescape(text[1:-1]), self._expression()))
            if not self._peek("}"):
                self._expect(",")
        return lambda scope: _charge(scope, {key: value(scope) for key, value in entries})


def _charge(scope: Scope, made: Any) -> Any:
    """Gives back `made` after taking what it holds off the run's budget. Raises ScriptFailed."""
    left = scope[_BUDGET_LEFT]
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
    scope[_BUDGET_LEFT] = left
    return made


def _constant(value: Any) -> Expression:
    return lambda _scope: value


def _variable(name: str) -> Expression:
    def read(scope: Scope) -> Any:
        if name not in scope:
            raise ScriptFailed(f"unresolvable property: {name}")
        return scope[name]

    return read


def _assign_name(name: str, value: Expression) -> Expression:
    def assign(scope: Scope) -> Any:
        scope[name] = value(scope)
        return scope[name]

    return assign


def _member(owner: Expression, key: Expression) -> Expression:
    def read(scope: Scope) -> Any:
        value, wanted = owner(scope), key(scope)
        if type(value) is dict and not isinstance(wanted, dict | list):
            return value.get(wanted)
        if type(value) is list and type(wanted) is int and 0 <= wanted < len(value):
            return value[wanted]
        raise ScriptFailed(f"null pointer or property not found: {wanted}")

    read.place = owner, key  # type: ignore[attr-defined]
    return read


def _put(owner: Any, key: Any, value: Any) -> None:
    is_item = type(owner) is list and type(key) is int and 0 <= key < len(owner)
    if not is_item and (type(owner) is not dict or isinstance(key, dict | list)):
        raise ScriptFailed(f"null pointer or property not found: {key}")
    owner[key] = value


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise ScriptFailed(f"expected Boolean; but found: {'null' if value is None else type(value).__name__}")


def _both(left: Expression, right: Expression) -> Expression:
    return lambda scope: _boolean(left(scope)) and _boolean(right(scope))


def _either(left: Expression, right: Expression) -> Expression:
    return lambda scope: _boolean(left(scope)) or _boolean(right(scope))


def _is_a(value: Expression, test: Callable[[Any], bool]) -> Expression:
    return lambda scope: test(value(scope))


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    numbers = (type(left) in (int, float)) + (type(right) in (int, float))
    if numbers == 1 or (numbers == 0 and type(left) is not type(right)):
        # Servers convert between texts, numbers and Booleans by rules that nobody has looked at.
        raise ScriptFailed("The sandbox's TBEL does not compare values of different kinds")
    return bool(left == right)


def _compare_equal(left: Expression, right: Expression, *, wanted: bool) -> Expression:
    return lambda scope: _equal(_charge(scope, left(scope)), _charge(scope, right(scope))) is wanted


def _compare(left: Expression, right: Expression, sign: str) -> Expression:
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


def _calculate(left: Expression, right: Expression, sign: str) -> Expression:
    def calculate(scope: Scope) -> Any:
        one, other = left(scope), right(scope)
        if sign == "+" and str in (type(one), type(other)):
            return _charge(scope, _text(one) + _text(other))
        if type(one) not in (int, float) or type(other) not in (int, float):
            raise ScriptFailed("The sandbox's TBEL calculates with numbers only")
        result = one + other if sign == "+" else one - other if sign == "-" else one * other
        if type(result) is int and result not in (_INT if one in _INT and other in _INT else _LONG):
            raise ScriptFailed("The sandbox's TBEL does not calculate beyond the range of its numbers")
        return result

    return calculate


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        raise ScriptFailed("The sandbox's TBEL joins texts, numbers and Booleans only")
    return metadata_text(value)


def _call(name: str, owner: Any, arguments: list[Any]) -> Any:
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


def _number(text: str) -> int | float:
    digits = text.rstrip("LlDd")
    if digits.isdigit() and text[-1] not in "Dd":
        value = int(digits)
        if value not in _LONG:
            raise _refused(f"the number {text}")
        return value
    return float(digits)


def _unescape(text: str) -> str:
    if "\\u" in text:
        raise _refused("characters by number")
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
