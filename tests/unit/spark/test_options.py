"""Options: typed, in any spelling that Spark hands on, and refused in one sentence that never holds a secret."""

from __future__ import annotations

import pytest

from pacifictool.errors import SettingsError
from pacifictool.spark.options import (
    AttributeOptions,
    EntityOptions,
    SeriesOptions,
    WriteAttributeOptions,
    WriteOptions,
    parse_options,
)


def series(**given: str) -> SeriesOptions:
    return parse_options(SeriesOptions, given, "the table 'timeseries'")


def test_names_count_in_any_case_and_values_have_their_types() -> None:
    found = series(
        path="timeseries", pageSize="500", ENTITY_KIND="asset", keys="a, b", start="2026-11-01",
        end="2026-11-01T12:00:00+01:00", aggregation="avg", interval="1h", concurrency="3",
    )  # fmt: skip
    assert (found.page_size, found.entity_kind, found.keys, found.concurrency) == (500, ("asset",), ("a", "b"), 3)
    assert (found.start, found.end) == (1_793_491_200_000, 1_793_530_800_000)
    assert (found.aggregation, found.interval) == ("AVG", 3_600_000)


def test_names_with_commas_are_a_json_list() -> None:
    given = {"names": '["Pump 1, north", "Pump 2"]'}
    assert parse_options(EntityOptions, given, "").names == ("Pump 1, north", "Pump 2")


def test_scopes_need_not_be_written_in_full() -> None:
    assert parse_options(AttributeOptions, {"scope": "server,shared"}, "").scope == ("SERVER_SCOPE", "SHARED_SCOPE")
    assert parse_options(WriteAttributeOptions, {"scope": "shared"}, "").scope == "SHARED_SCOPE"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kyes": "a"}, "'kyes' is not an option of the table 'timeseries'"),
        ({"start": "yesterday"}, "start: 'yesterday' is not a time by ISO 8601"),
        ({"start": "2026-11-02", "end": "2026-11-01"}, "end is before start"),
        ({"start": "1969-12-31"}, "start: must be greater than or equal to 0"),
        ({"keys": ""}, "keys: String should have at least 1 character"),
        ({"names": "[1"}, "names: '[1' is neither a list with commas nor a JSON list of texts"),
        (
            {"entity_kind": "devise"},
            "entity_kind: 'devise' is not possible: must be 'device' or 'asset' (did you mean 'device'?)",
        ),
        ({"page_size": "many"}, "page_size: "),
        ({"concurrency": "1000"}, "concurrency: must be less than or equal to 64"),
        ({"aggregation": "AVG"}, "aggregation and interval go together"),
        ({"aggregation": "AVG", "interval": "1h"}, "aggregation needs start and end"),
        ({"interval": "an hour", "aggregation": "AVG"}, "interval: 'an hour' is not a duration"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        series(**given)
    assert said in caught.value.message
    assert caught.value.hint


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(SettingsError) as caught:
        series(pagesizes="10")
    assert caught.value.hint == "Did you mean 'page_size'?"
    with pytest.raises(SettingsError) as caught:
        parse_options(WriteOptions, {"zzz": "1"}, "writing 'timeseries'")
    assert "create" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["password", "PASSWORD", "api_key", "apiKey", "token", "password_file"])
def test_a_secret_is_no_option_and_is_not_repeated(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        series(**{name: "hunter2"})
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}{caught.value.details}"
    assert "PACIFICTOOL_PASSWORD" in str(caught.value.hint)
