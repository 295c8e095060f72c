"""The subset of TBEL, the servers' own script language, that the sandbox supports.

TBEL looks like JavaScript but is typed like Java: `msg.windSpeed instanceof Integer` distinguishes 31 from
31.0, and both keep their type. JavaScript has a single type of number, so the JavaScript engine cannot run these
scripts. This grammar has only what means the same here and on a server; everything else is refused, with a reason, when
the node starts.

A script cannot loop, so its length limits the number of its steps. A budget for the whole run limits the cost of the
steps, such as doubling a text or nesting lists.

Supported: `return`, `var`, assignment, `if`/`else`, `?:`, `&& || !`, comparisons, `instanceof`, `+ - *`, member access,
maps, lists, and the methods `containsKey`, `get`, `put`, `remove`, `isEmpty`, `size`, `equals`.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from pacifictool.sandbox.generation4 import tbel_operations as op
from pacifictool.sandbox.generation4.tbel_operations import Expression, Scope
from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused

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
_METHODS = frozenset({"containsKey", "get", "put", "remove", "isEmpty", "size", "equals"})
_WORDS = (
    "return var if else instanceof true false null new for foreach while do switch function def import empty nil"
    " contains is strsim soundslike convertable_to until this typeof let const"
)
_KEYWORDS = frozenset(re.findall(r"\w+", _WORDS))


def _refused(what: str) -> ScriptRefused:
    return ScriptRefused(f"The sandbox's TBEL does not support {what}; simplify the script, or use scriptLang JS")


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
            raise _refused("an expression that is nested this deeply") from None
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
        scope: Scope = {"msg": data, "metadata": metadata, "msgType": message_type, op.BUDGET_LEFT: op.BUDGET}
        value = None
        try:
            for statement in self._statements:
                value = statement(scope)
        except op.ScriptResult as result:
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
            raise _refused(repr(text) if text else "a script that ends here")
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
            statement = op.assign_name(name, self._expression())
        else:
            statement = self._assignment_or_expression()
        if not self._peek("}") and self._tokens[self._at][0] != "end":
            self._expect(";")
        return statement

    def _return(self) -> Expression:
        value = op.constant(None) if self._peek(";", "}") or self._tokens[self._at][0] == "end" else self._expression()
        self._take(";")

        def leave(scope: Scope) -> Any:
            raise op.ScriptResult(value(scope))

        return leave

    def _if(self) -> Expression:
        self._expect("(")
        condition = self._expression()
        self._expect(")")
        then = self._statement()
        other = self._statement() if self._take("else") else op.constant(None)
        return lambda scope: then(scope) if op.boolean(condition(scope)) else other(scope)

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
                raise _refused("this kind of assignment")
            return op.assign_name(text, value)
        self.changes_values = True
        owner, key = owner_and_key

        def assign(scope: Scope) -> Any:
            result = value(scope)
            place = owner(scope)
            op.put(place, key(scope), result)
            op.charge(scope, place if isinstance(result, dict | list) else result)
            return result

        return assign

    def _expression(self) -> Expression:
        condition = self._or()
        if self._take("?") is None:
            return condition
        then = self._expression()
        self._expect(":")
        other = self._expression()
        return lambda scope: then(scope) if op.boolean(condition(scope)) else other(scope)

    def _or(self) -> Expression:
        left = self._and()
        while self._take("||"):
            left = op.either(left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._equality()
        while self._take("&&"):
            left = op.both(left, self._equality())
        return left

    def _equality(self) -> Expression:
        left = self._relation()
        while (sign := self._take("==", "!=")) is not None:
            left = op.compare_equal(left, self._relation(), wanted=sign == "==")
        if self._peek("===", "!=="):
            raise _refused(repr(self._tokens[self._at][1]))
        return left

    def _relation(self) -> Expression:
        left = self._sum()
        while (sign := self._take("<", ">", "<=", ">=", "instanceof")) is not None:
            if sign == "instanceof":
                name = self._name()
                if name not in op.TYPES:
                    raise _refused(f"the type {name}")
                left = op.is_a(left, op.TYPES[name])
            else:
                left = op.compare(left, self._sum(), sign)
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while (sign := self._take("+", "-")) is not None:
            left = op.calculate(left, self._product(), sign)
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while self._take("*"):
            left = op.calculate(left, self._unary(), "*")
        if self._peek("/", "%"):
            raise _refused("division")
        return left

    def _unary(self) -> Expression:
        if self._take("!"):
            operand = self._unary()
            return lambda scope: not op.boolean(operand(scope))
        if self._take("-"):
            return op.calculate(op.constant(0), self._unary(), "-")
        return self._postfix()

    def _postfix(self) -> Expression:
        value = self._primary()
        while True:
            if self._take("."):
                name = self._name()
                value = self._method(value, name) if self._peek("(") else op.member(value, op.constant(name))
            elif self._take("["):
                key = self._expression()
                self._expect("]")
                value = op.member(value, key)
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
                op.charge(scope, [place, *given])
            result = op.call_method(name, place, given)
            if name == "put" and isinstance(given[1], dict | list):
                op.charge(scope, place)
            return result

        return call

    def _primary(self) -> Expression:
        kind, text = self._tokens[self._at]
        if kind == "number":
            self._at += 1
            return op.constant(_number(text))
        if kind == "text":
            self._at += 1
            return op.constant(_unescape(text[1:-1]))
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
                return op.constant(constant)
        name = self._name()
        if self._peek("("):
            raise _refused(f"the function {name}")
        return op.variable(name)

    def _list(self) -> Expression:
        items: list[Expression] = []
        while self._take("]") is None:
            items.append(self._expression())
            if not self._peek("]"):
                self._expect(",")
        return lambda scope: op.charge(scope, [item(scope) for item in items])

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
        return lambda scope: op.charge(scope, {key: value(scope) for key, value in entries})


def _number(text: str) -> int | float:
    digits = text.rstrip("LlDd")
    if digits.isdigit() and text[-1] not in "Dd":
        value = int(digits)
        if value not in op.LONG:
            raise _refused(f"the number {text}")
        return value
    return float(digits)


def _unescape(text: str) -> str:
    if "\\u" in text:
        raise _refused("characters by number")
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
