from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import InvalidRequest, UnexpectedAnswer
from pacifictool.rest.values import decode_text, encode_object

finite = st.floats(allow_nan=False, allow_infinity=False)
longs = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"))


@given(finite)
def test_a_float_is_a_plain_decimal_with_a_point_and_loses_nothing(number: float) -> None:
    text = encode_object({"k": number}).removeprefix('{"k":').removesuffix("}")
    assert re.fullmatch(r"-?[0-9]+\.[0-9]+", text)
    assert math.copysign(1, float(text)) == math.copysign(1, number)
    assert float(text) == number


@given(st.dictionaries(texts, finite | longs | st.booleans() | texts))
def test_what_is_sent_is_json_and_reads_back(values: dict[str, Any]) -> None:
    text = encode_object(values)
    assert text.isascii()
    assert json.loads(text) == values
    assert {key: type(value) for key, value in json.loads(text).items()} == {k: type(v) for k, v in values.items()}


@given(finite | longs | st.booleans())
def test_what_a_java_server_would_response_reads_back(value: float | bool) -> None:
    # A double may come back as 1.0E-7, a long as digits.
    shown = str(value).lower() if isinstance(value, bool) else str(value).replace("e", "E")
    assert decode_text(shown, "k") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("31", 31),
        ("-0", 0),
        ("31.0", 31.0),
        ("1.0E-7", 1e-7),
        ("1.23456789E7", 12345678.9),
        ("12345678901234567890", 12345678901234567890),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("gale", "gale"),
        ("", ""),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("1e999", "1e999"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        (" 31", " 31"),
        ("007", "007"),
        ("+5", "+5"),
        ("1.", "1."),
        (".5", ".5"),
        ("٣", "٣"),
        ("9" * 5000, "9" * 5000),
        (None, None),
        (31, 31),
        (31.5, 31.5),
        (True, True),
    ],
)
def test_texts_that_are_numbers_become_numbers(text: Any, value: Any) -> None:
    decoded = decode_text(text, "k")
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize("value", [[], {}, ["1"]])
def test_values_of_other_types_are_no_values(value: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        decode_text(value, "k")


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, 10**400, None, [1], {"a": 1}, b"x"]
)
def test_what_the_platform_cannot_keep_is_not_sent(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="windSpeed"):
        encode_object({"windSpeed": value})


def test_floats_of_other_libraries() -> None:
    class Strange(float):
        def __repr__(self) -> str:
            return f"np.float64({float(self)})"

    assert encode_object({"k": Strange(1.5)}) == '{"k":1.5}'
