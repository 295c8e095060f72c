from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.rest.forwarding.compare import differences, merged

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=3), json_values, max_size=4)


@pytest.mark.parametrize(
    ("wanted", "actual", "said"),
    [
        ({"a": 1}, {"a": 1, "id": "x"}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": None}, {}, []),
        ({"a": 1}, {}, ["a: 1 instead of nothing"]),
        ({"a": True}, {"a": 1}, ["a: true instead of 1"]),
        ({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [1, {"c": "é"}]}}, ['a.b[2].c: "x" instead of "é"']),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] instead of [1, 2]"]),
        ({"a": {"b": 1}}, {"a": None}, ['a: {"b": 1} instead of nothing']),
        ({"a": {"b": 1}}, {"a": "text"}, ['a: {"b": 1} instead of "text"']),
        ({"a": "x" * 100}, {"a": "y"}, [f'a: "{"x" * 59}… instead of "y"']),
        ({"apiToken": "x"}, {"apiToken": "y"}, ['apiToken: "x" instead of "y"']),
        ({"configuration": {"password": "s3cret"}}, {"configuration": {}}, ["configuration.password: differs"]),
        (
            {"configuration": {"otherProperties": [{"key": "sasl.jaas.config", "value": "s3cret"}]}},
            {"configuration": {"otherProperties": []}},
            ["configuration.otherProperties: differs"],
        ),
        (
            {"configuration": {"otherProperties": [{"key": "k", "value": "s3cret"}]}},
            {"configuration": {"otherProperties": [{"key": "k", "value": "other"}]}},
            ["configuration.otherProperties[1].value: differs"],
        ),
    ],
)
def test_what_differs_in_words(wanted: Any, actual: Any, said: list[str]) -> None:
    assert list(differences(wanted, actual)) == said


@given(objects)
def test_nothing_differs_from_itself(document: dict[str, Any]) -> None:
    assert list(differences(document, document)) == []


@given(objects, objects)
def test_a_merge_is_all_that_was_wanted_and_keeps_the_rest(wanted: dict[str, Any], actual: dict[str, Any]) -> None:
    result = merged(wanted, actual)
    assert list(differences(wanted, result)) == []
    assert all(result[key] == actual[key] for key in actual.keys() - wanted.keys())
