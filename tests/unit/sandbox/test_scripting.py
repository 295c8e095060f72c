from __future__ import annotations

import time

import pytest

from pacifictool.sandbox.generation1.nashorn import Script, compile_filter, names_json, scopes_json
from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused
from pacifictool.sandbox.values import Value
from tests.support.waiting import SOON_SECONDS


def run(text: str, names: dict[str, Value] | None = None, client: dict[str, Value] | None = None) -> bool:
    return compile_filter(text).test(names_json(names or {}), scopes_json({"cs": client or {}, "ss": {}, "shared": {}}))


@pytest.mark.parametrize(
    "script",
    [
        "windSpeed > 30",
        "typeof windSpeed !== 'undefined' && typeof nosuch === 'undefined'",
        "cs.geoZone === 'Zone A'",
        "cs['geoZone'] === 'Zone A' && cs.get('geoZone') === 'Zone A'",
        "cs.containsKey('geoZone') && !cs.containsKey('x') && cs.get('x') === null && cs.size() === 1",
        "typeof cs.nosuch === 'undefined' && ss.isEmpty()",
        "var limit = 30; windSpeed > limit;",
        "function over(v) { return v > 30; } over(windSpeed)",
        "// a comment at the end\nwindSpeed > 30 // here",
    ],
)
def test_scripts_see_names_and_scopes_and_return_their_last_value(script: str) -> None:
    assert run(script, {"windSpeed": 31}, {"geoZone": "Zone A"}) is True


@pytest.mark.parametrize("script", ["a b", "1 +", "return true", "}); (function () {", "if ("])
def test_scripts_that_do_not_compile_are_refused(script: str) -> None:
    with pytest.raises(ScriptRefused, match="Can't compile script: SyntaxError"):
        Script(script)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cs.nosuch.x", "TypeError"),
        ("nosuch > 1", "ReferenceError"),
        ("5", "Wrong result type: 5"),
        ("'yes'", "Wrong result type: yes"),
        ("undefined", "Wrong result type"),
        ("", "Wrong result type"),
        ("throw 'no'", "no"),
        ("(function f() { f(); })()", "RangeError"),
        ("while (true) {}", "InternalError"),
        ("var x = []; while (true) x.push('0123456789' + x.length)", "InternalError"),
        ("'x'.repeat(1e9) === ''", "InternalError"),
    ],
)
def test_scripts_that_throw_time_out_or_return_no_boolean_fail(script: str, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(ScriptFailed, match=reason):
        run(script)
    assert time.monotonic() - started < SOON_SECONDS


def test_a_script_that_ran_out_of_memory_works_again_with_the_next_message() -> None:
    script = Script("kept = []; while (hungry) kept.push('0123456789' + kept.length); true")
    with pytest.raises(ScriptFailed, match="out of memory"):
        script.test(names_json({"hungry": True}))
    assert script.test(names_json({"hungry": False})) is True


def test_scripts_reach_nothing_outside_and_not_one_another() -> None:
    for name in ("require", "process", "std", "os", "java", "Packages", "load", "print", "console"):
        assert run(f"typeof {name} === 'undefined'") is True
    assert run("globalThis.shared_secret = 1; true") is True
    assert run("typeof shared_secret === 'undefined'") is True


def test_quotes_and_code_in_values_stay_values() -> None:
    text = "'); throw 1; ('"
    assert run("v === expected", {"v": text, "expected": text}) is True
    assert run("cs.get('__proto__') === null && typeof cs.geoZone === 'string'", {}, {"geoZone": "${1}"}) is True


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("n === 5", False),
        ("typeof n === 'object' && typeof d === 'number'", True),
        ("n == 5 && n > 4 && n + 1 === 6 && d === 1.5", True),
        ("cs.n === 7", False),
        ("cs.n == 7", True),
        ("zero || !zero", True),
        ("zero ? true : false", False),
    ],
)
def test_longs_behave_as_the_java_objects_that_they_are_on_the_server(script: str, expected: bool) -> None:
    assert run(script, {"n": 5, "d": 1.5, "zero": 0}, {"n": 7}) is expected


@pytest.mark.parametrize(
    "script",
    ["[1].some(x => x > 0)", "let q = 1; q > 0", "`a` === 'a'", "2 ** 3 == 8", "cs?.a == null", "Math.max(...[1]) > 0"],
)
def test_syntax_that_the_servers_engine_does_not_support_is_refused(script: str) -> None:
    with pytest.raises(ScriptRefused, match="newer than ECMAScript 5"):
        compile_filter(script)


def test_newer_syntax_within_texts_and_comments_is_accepted() -> None:
    assert run("'=> `let x`' !== \"...\" // let x => y\n /* ** `*/ && (a ? .5 : 1) > 0", {"a": 1}) is True


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("this['temp-celsius'] != null", True),
        ("this['no-such'] != null", False),
        ("typeof this['no-such'] === 'undefined'", True),
        ("this['zero'] != null || typeof windSpeed !== 'undefined' && windSpeed != null", True),
        ("this.zero == 0 && this['temp-celsius'] > 4", True),
        ("var found = this['temp-celsius']; found != null", True),
        ("typeof this['toString'] === 'function'", True),
    ],
)
def test_names_are_members_of_this(script: str, expected: bool) -> None:
    """docs/servers/1.x.md#filters-and-templates, row 4."""
    assert run(script, {"temp-celsius": 5, "zero": 0}) is expected


def test_attributes_may_have_the_names_of_a_maps_methods() -> None:
    assert run("cs.containsKey('size') && cs.get('size') === 'XL'", client={"size": "XL"})
    assert run("cs.size() === 1", client={"other": 1})
