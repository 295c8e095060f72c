from __future__ import annotations

import pytest

from pacifictool.sandbox.generation1.templates import (
    Template,
    TemplateFailed,
    TemplateReading,
    TemplateRefused,
    attribute_maps,
)
from pacifictool.sandbox.values import Value, Values
from tests.support.sandbox_clients import TEMPLATE


def render(template: str, wind_speed: Value | None = None, client: Values | None = None) -> str:
    context: dict[str, object] = dict(attribute_maps({"cs": client or {}, "ss": {"s": 1}, "shared": {}}))
    if wind_speed is not None:
        context["windSpeed"] = TemplateReading("windSpeed", 5, wind_speed)
    return Template(template).render(context)


@pytest.mark.parametrize(
    ("zone", "wind_speed", "text"),
    [
        ("Zone A", "31", '{"geoZone":"Zone A", "windSpeed":31}'),
        ("Zone A", 31, '{"geoZone":"Zone A", "windSpeed":31}'),
        ("Zone A", 1.23456789e7, '{"geoZone":"Zone A", "windSpeed":1.23456789E7}'),
        ("Zone A", True, '{"geoZone":"Zone A", "windSpeed":true}'),
        ("Zone A", "", '{"geoZone":"Zone A", "windSpeed":}'),
        ("Zone A", '3"1', '{"geoZone":"Zone A", "windSpeed":3"1}'),
        ('Zo"ne', 1, '{"geoZone":"Zo"ne", "windSpeed":1}'),
        ("Zo\\ne\n", 1, '{"geoZone":"Zo\\ne\n", "windSpeed":1}'),
        (7, 1, '{"geoZone":"7", "windSpeed":1}'),
        ("", 1, '{"geoZone":"", "windSpeed":1}'),
        ("Zürich ☃", 1, '{"geoZone":"Zürich ☃", "windSpeed":1}'),
        ("$windSpeed.valueAsString", 1, '{"geoZone":"$windSpeed.valueAsString", "windSpeed":1}'),
        ("#set($x=1)", 1, '{"geoZone":"#set($x=1)", "windSpeed":1}'),
    ],
)
def test_the_tutorials_template_escapes_and_expands_nothing(zone: Value, wind_speed: Value, text: str) -> None:
    assert render(TEMPLATE, wind_speed, {"geoZone": zone}) == text


def test_unresolved_references_stay_as_they_are_written() -> None:
    assert render(TEMPLATE, 77) == '{"geoZone":"$cs.get(\'geoZone\')", "windSpeed":77}'
    assert render("$!cs.get('x')|$nosuch|$!nosuch|$cs.x") == "|$nosuch||$cs.x"


def test_readings_and_maps_have_javas_methods() -> None:
    template = (
        "$windSpeed.key $windSpeed.ts $windSpeed.getValueAsString() $windSpeed.getTs() $ss.containsKey('s') $ss.size()"
    )
    assert render(template, 1) == "windSpeed 5 1 5 True 1"
    assert render("#if($windSpeed)yes#{else}no#end", 1) == "yes"


@pytest.mark.parametrize(
    "template",
    [
        "$cs.__class__",
        "$cs.get.__self__",
        "${cs.__class__}",
        "$!{_x}",
        "$windSpeed.valueAsString.format($cs)",
        "$windSpeed.valueAsString.format_map($cs)",
        "#evaluate($windSpeed.valueAsString)",
        "#parse('x')",
        "#{include}('x')",
        "#if($x",
    ],
)
def test_templates_that_could_reach_the_interpreter_or_do_not_parse_are_refused(template: str) -> None:
    with pytest.raises(TemplateRefused):
        Template(template)


def test_names_with_underscores_are_accepted() -> None:
    assert render('{"format":"$cs.get(\'my_geo_zone\')"}', 1, {"my_geo_zone": "A"}) == '{"format":"A"}'


def test_a_failed_template_raises() -> None:
    with pytest.raises(TemplateFailed):
        render("#foreach($x in $windSpeed.ts)$x#end", 1)


@pytest.mark.parametrize(
    ("template", "is_plain"),
    [
        (TEMPLATE, True),
        ("", True),
        ("plain", True),
        ("$windSpeed.valueAsString", True),
        ("$windSpeed.valueAsString$cs.get('geoZone')", True),
        ("$ss.get('s')$shared.get('none')|$nosuch.valueAsString", True),
        ("$cs.get('valueAsString')", True),
        ("$windSpeed.valueAsString.length()", False),
        ("$windSpeed.valueAsStringX", False),
        ("$windSpeed.valueAsString[0]", False),
        ("$cs.get('geoZone').size()", False),
        ("$!cs.get('geoZone')", False),
        ("${windSpeed.valueAsString}", False),
        ('$cs.get("geoZone")', False),
        ("\\$windSpeed.valueAsString", False),
        ("$windSpeed.valueAsString #if($cs)x#end", True),
        ("#if($windSpeed)a#elseif($nosuch)b#{else}c#end", False),
        ("#if($windSpeed)a#elseif($nosuch)b#else c#end", True),
        ("#if($nosuch)a#elseif($cs.containsKey('geoZone'))b#else#if($windSpeed)c#end#end|", True),
        ("#if($windSpeed.dataType == 'STRING')\"$windSpeed.valueAsString\"#else$windSpeed.valueAsString#end", True),
        ('#set($comma = "")#if($ss.containsKey(\'s\'))${comma}1#set($comma = ", ")#end${comma}2', True),
        ("#if($windSpeed)a#end\nb", False),
        ("#if($windSpeed)a", None),
        ("a#end", None),
        ("#if($windSpeed)a#else b#else c#end", None),
        ("#if($windSpeed)" * 2000 + "x" + "#end" * 2000, None),
        ("$windSpeed.valueAsString ## remark", False),
    ],
)
def test_directly_filled_templates_give_the_same_text_as_airspeed(template: str, is_plain: bool | None) -> None:
    """None: the template is refused."""
    if is_plain is None:
        with pytest.raises(TemplateRefused):
            Template(template)
        return
    compiled = Template(template)
    assert (compiled._plain is not None) is is_plain
    clients: list[Values] = [{}, {"geoZone": "Zone A"}, {"geoZone": ""}, {"geoZone": "$x #set", "valueAsString": 7}]
    for client in clients:
        for wind_speed in (31, 1.5, "thirty", True):
            context: dict[str, object] = dict(attribute_maps({"cs": client, "ss": {"s": 1}, "shared": {}}))
            assert compiled.render(context) == compiled._render(context)
            context["windSpeed"] = TemplateReading("windSpeed", 5, wind_speed)
            assert compiled.render(context) == compiled._render(context)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$temp-celsius.valueAsString|$temp-celsius.ts", "5|7"),
        ("#if($temp-celsius)yes#end#if($nosuch-key)no#end", "yes"),
        ("#if($text.dataType == 'STRING')\"$text.valueAsString\"#else$text.valueAsString#end", '"gale"'),
        ("#if($temp-celsius.dataType == 'STRING')q#else$temp-celsius.valueAsString#end", "5"),
        ("$flag.dataType $half.dataType $temp-celsius.dataType $text.dataType", "BOOLEAN DOUBLE LONG STRING"),
        ("#if($cs.containsKey('empty'))[$cs.get('empty')]#end#if($cs.containsKey('none'))no#end", "[]"),
        ('#set($comma = "")$comma|#set($comma = ", ")${comma}x', "|, x"),
        ("#if($nosuch)$nosuch.ts#elseif($half)$half.ts#end", "7"),
        ("$cs.get('site id')|$cs.get('none')", "North|$cs.get('none')"),
    ],
)
def test_velocity_as_it_was_tried(template: str, text: str) -> None:
    """docs/servers/1.x.md#filters-and-templates, rows 1 to 3."""
    context: dict[str, object] = dict(attribute_maps({"cs": {"site id": "North", "empty": ""}, "ss": {}, "shared": {}}))
    readings: dict[str, Value] = {"temp-celsius": 5, "text": "gale", "half": 0.5, "flag": True}
    context |= {key: TemplateReading(key, 7, value) for key, value in readings.items()}
    assert Template(template).render(context) == text
