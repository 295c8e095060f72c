"""Templates and scripts of rules cannot exceed their limits of time and memory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from pacifictool.sandbox.generation1.templates import Template, TemplateFailed, TemplateReading, TemplateRefused
from pacifictool.sandbox.generation4.tbel import Tbel
from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused
from tests.support.waiting import SOON_SECONDS

GREEDY = {
    "a long loop": "#foreach($i in [1..1000000000])x#end",
    "an empty loop": "#foreach($i in [1..1000000000])#end",
    "nested loops": "#foreach($i in [1..9999])#foreach($j in [1..9999])#set($x = $j)#end#end",
    "a doubled text": '#set($x = "xxxxxxxx")#foreach($i in [1..60])#set($x = "$x$x")#end$x.length()',
    "a repeated text": '#set($x = "x" * 2000000000)$x',
    "a padded text": '#set($x = "x")#set($y = $x.ljust(2000000000))ok',
    "a formatted text": '#set($x = "%2000000000d" % 1)ok',
    "a replaced text": '#set($x = "xx" * 1000000)#set($y = $x.replace("x", $x))ok',
    "a repeated list": "#set($x = [1, 2] * 500000000)ok",
    "a doubled list": "#set($x = [1])#foreach($i in [1..40])#set($x = $x + $x)#end ok",
    "a list of lists": "#set($x = [1])#foreach($i in [1..40])#set($x = [$x, $x])#end $x",
    "compared lists": "#set($x = [1])#set($y = [1])#foreach($i in [1..40])"
    "#set($x = [$x, $x])#set($y = [$y, $y])#end#if($x == $y)x#end",
    "a power": "#set($x = 3)#foreach($i in [1..60])#set($x = $x * $x)#end ok",
    "bytes": '#set($x = 1)#set($y = $x.to_bytes(2000000000, "big"))ok',
    "a macro that calls itself": "#macro(m $x)#m($x)#m($x)#end#m(1)",
    "a macro that calls others": "#macro(a)#foreach($i in [1..999])x#end#end"
    "#macro(b)#foreach($i in [1..999])#a()#end#end#foreach($i in [1..999])#b()#end",
    "a definition that uses itself": "#define($d)$d$d#end$d",
    "a large output": "#foreach($i in [1..30000])0123456789012345678901234567890123456789#end",
}
UNREADABLE = {
    "open indices": "$a" + "[$a" * 60,
    "open parentheses": "#if(" + "(" * 5000,
    "deep nesting": "#if($a)" * 5000 + "#end" * 5000,
}
THEIRS = {"windSpeed": TemplateReading("windSpeed", 5, 31)}


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """The test's own process must not grow; a child has its own limit."""
    before = psutil.Process().memory_info().rss
    yield
    assert psutil.Process().memory_info().rss - before < 100_000_000


@pytest.mark.parametrize("template", GREEDY.values(), ids=GREEDY)
def test_a_greedy_template_fails_soon_and_the_next_message_passes(template: str) -> None:
    compiled = Template(template)
    began = time.monotonic()
    with pytest.raises(TemplateFailed):
        compiled.render(THEIRS)
    assert time.monotonic() - began < SOON_SECONDS
    assert Template("#if($windSpeed)$windSpeed.value#end").render(THEIRS) == "31"


@pytest.mark.parametrize("template", UNREADABLE.values(), ids=UNREADABLE)
def test_a_template_that_is_hard_to_read_is_refused_soon(template: str) -> None:
    began = time.monotonic()
    with pytest.raises(TemplateRefused):
        Template(template)
    assert time.monotonic() - began < SOON_SECONDS


def workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if any("template_worker" in word for word in child.cmdline()):
                found.append(child)
    return found


def test_templates_of_the_usual_form_need_no_process() -> None:
    before = workers()
    for template in ("$windSpeed.valueAsString", "$cs.get('geoZone')", "$nosuch.valueAsString", "#if($a)b#end", "x"):
        Template(template).render(THEIRS)
    assert workers() == before


def test_a_worker_that_is_gone_is_replaced() -> None:
    template = Template("#foreach($i in [1..3])$i#end")
    assert template.render(THEIRS) == "123"
    [worker] = workers()
    worker.kill()
    worker.wait(60)
    assert template.render(THEIRS) == "123"
    [worker] = workers()
    os.kill(worker.pid, signal.SIGINT)  # Ctrl-C in the terminal of a sandbox in the foreground
    assert template.render(THEIRS) == "123"
    assert workers() == [worker]


SCRIPTS = {
    "a doubled text": "var x = 'xxxxxxxxxxxxxxxx'; " + "x = x + x; " * 500 + "return x;",
    "a large number": "var x = 3; " + "x = x * x; " * 500 + "return x;",
    "maps of maps": "var x = {}; " + "x = {a: x, b: x}; " * 500 + "return x;",
    "maps put into maps": "msg.a = {}; "
    + "msg.b = {a: msg.a}; msg.b.put('b', msg.a); msg.a = msg.b; " * 300
    + "return msg;",
    "a deep list": "var x = [1]; " + "x = [x]; " * 2000 + "return x;",
    "a list as a key": "var x = {}; return x.get([1]);",
    "a map as a key": "return msg[msg];",
    "lists of lists": "var x = [1]; var y = [1]; " + "x = [x, x]; y = [y, y]; " * 400 + "return x == y;",
    "a map in itself": "msg.a = msg; return msg == msg.a;",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_greedy_tbel_script_fails_soon(script: str) -> None:
    compiled = Tbel(script)
    began = time.monotonic()
    with pytest.raises(ScriptFailed):
        compiled.run({"a": {"b": 1}}, {}, "POST_TELEMETRY_REQUEST")
    assert time.monotonic() - began < SOON_SECONDS


def test_a_deeply_nested_message_fails_as_a_script_does() -> None:
    message: dict[str, object] = {}
    for _ in range(900):
        message = {"a": message}
    with pytest.raises(ScriptFailed, match="nested"):
        Tbel("msg.b = 1; return msg;").run(message, {}, "POST_TELEMETRY_REQUEST")


@pytest.mark.parametrize("script", ["(" * 9000, "!" * 19_000 + "true", "if (true) " * 1900, "{" * 19_000])
def test_a_tbel_script_that_is_nested_deeply_is_refused(script: str) -> None:
    began = time.monotonic()
    with pytest.raises(ScriptRefused):
        Tbel(script)
    assert time.monotonic() - began < SOON_SECONDS
