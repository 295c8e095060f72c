from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.sandbox.values import InvalidJson, PayloadRefused, java_text, parse_json, parse_telemetry


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("31", "31"),
        ("31.0", "31.0"),
        ("31.5", "31.5"),
        ("1.5e3", "1500.0"),
        ("12345678.9", "1.23456789E7"),
        ("1.0e-7", "1.0E-7"),
        ("0.001", "0.001"),
        ("0.00012", "1.2E-4"),
        ("9999999.5", "9999999.5"),
        ("10000000.0", "1.0E7"),
        ("-0.0", "-0.0"),
        ("1.0e400", "Infinity"),
        ("-1.0e400", "-Infinity"),
        ("true", "true"),
        ("false", "false"),
        ("NaN", "NaN"),
        ('"gale"', "gale"),
        ("9223372036854775807", "9223372036854775807"),
    ],
)
def test_values_are_printed_as_java_prints_them(literal: str, text: str) -> None:
    ((_, values),) = parse_telemetry(parse_json('{"v":' + literal + "}"), 0)
    assert java_text(values["v"]) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_double_reads_back_as_the_same_double(number: float) -> None:
    text = java_text(number)
    assert float(text) == number
    assert "." in text


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ('{"v":1e3}', "Big integer values are not supported!"),
        ('{"v":1e400}', "Big integer values are not supported!"),
        ('{"v":12345678901234567890}', "Big integer values are not supported!"),
        ('{"v":9223372036854775808}', "Big integer values are not supported!"),
        ('{"v":null}', "Can't parse value: null"),
        ('{"v":{"a":1}}', 'Can\'t parse value: {"a":1}'),
        ('{"v":[1]}', "Can't parse value: [1]"),
        ('"str"', 'Can\'t parse value: "str"'),
        ("5", "Can't parse value: 5"),
        ("null", "Can't parse value: null"),
        ("[1]", "Can't parse value: 1"),
        ('{"ts":1,"values":5}', "Can't parse value: 5"),
        ('{"ts":"x","values":{}}', 'For input string: "x"'),
        ('{"ts":true,"values":{}}', "Can't parse value: true"),
        ('{"ts":1.0e400,"values":{}}', 'For input string: "inf"'),
    ],
)
def test_invalid_values_are_refused_with_the_servers_message(payload: str, message: str) -> None:
    with pytest.raises(PayloadRefused) as caught:
        parse_telemetry(parse_json(payload), 0)
    assert str(caught.value) == message


@pytest.mark.parametrize("payload", ["", "{", "x", '{"a":}', "[" * 100_000, '{"v":' + "9" * 5000 + "}"])
def test_invalid_json_is_refused(payload: str) -> None:
    with pytest.raises(InvalidJson):
        parse_json(payload)


def test_timestamps_come_with_the_values_or_from_the_server() -> None:
    assert parse_telemetry(parse_json('{"a":1}'), 7) == [(7, {"a": 1})]
    assert parse_telemetry(parse_json('{"ts":"15","values":{"a":1}}'), 7) == [(15, {"a": 1})]
    assert parse_telemetry(parse_json('[{"a":1},{"ts":2,"values":{"b":"x"}}]'), 7) == [(7, {"a": 1}), (2, {"b": "x"})]
    assert parse_telemetry(parse_json('{"ts":3}'), 7) == [(7, {"ts": 3})]


def test_invalid_utf8_is_replaced_as_on_the_server() -> None:
    assert parse_json(b'{"a":"\xff"}') == {"a": "\ufffd"}


@given(st.binary(max_size=200))
def test_no_payload_raises_anything_but_a_refusal(payload: bytes) -> None:
    try:
        parse_telemetry(parse_json(payload), 0)
    except PayloadRefused:
        return
