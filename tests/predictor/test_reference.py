"""Reference tables in memory: found by their whole key, in the order of their key."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoreline import App, Boolean, Category, Integer, Number, Text, Time
from scoreline.predictor import ReferenceData

NOW = 1_625_430_662_000_001
COLUMNS = {
    "card": Text,
    "fee": Number,
    "pieces": Integer,
    "good": Boolean,
    "since": Time,
    "kind": Category("A"),
    "note": Text,
}
ROWS = {
    "card": ["b", "a", "c"],
    "fee": [1.5, None, 0.0],
    "pieces": [3, None, 0],
    "good": [True, None, False],
    "since": [NOW, None, 0],
    "kind": ["A", None, "B"],
    "note": ["of b", None, ""],
}


def held(columns=COLUMNS, rows=ROWS, key="card"):
    return ReferenceData(App("x").reference_table("cards", key=key, rows=(1, 9), columns=columns).spec, rows)


def text(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_rows_are_in_the_order_of_their_key():
    cards = held()
    assert (cards.rows, cards.keys) == (3, ["a", "b", "c"])
    assert cards.columns["note"] == [None, "of b", ""]
    assert cards.arrays["pieces"].tolist() == pytest.approx([math.nan, 3, 0], nan_ok=True)


def test_keys_are_ordered_by_their_code_points_and_whole_numbers_by_their_size():
    rows = {"card": ["b", "B", "é", "a10", "a9"]}
    assert held({"card": Text}, rows).keys == ["B", "a10", "a9", "b", "é"]
    assert held({"card": Integer}, {"card": [10, 9, -1]}).keys == [-1, 9, 10]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("fee", [1.5, None, None, 0.0]),
        ("pieces", [3.0, None, None, 0.0]),
        ("good", [1.0, None, None, 0.0]),
        ("note", ["of b", None, None, ""]),
        ("kind", ["A", None, None, "B"]),
        ("card", ["b", None, "a", "c"]),
    ],
)
def test_a_value_is_found_by_its_key_and_null_where_there_is_none(column, expected):
    found = held().lookup(column, [text("b", "z", "a", "c")]).tolist()
    assert [None if value != value else value for value in found] == expected


def test_times_are_found_to_the_microsecond():
    found = held().lookup("since", [text("b", "z", "a", "c")])
    assert found.dtype == "datetime64[us]"
    assert [str(value) for value in found] == ["2021-07-04T20:31:02.000001", "NaT", "NaT", "1970-01-01T00:00:00.000000"]


@pytest.mark.parametrize("key", [None, "", "A", " a", "a "])
def test_a_key_is_compared_to_the_letter_and_a_null_finds_nothing(key):
    assert held().lookup("note", [text(key, "b")]).tolist() == [None, "of b"]
    assert held().position((key,)) is None


def test_no_keys_find_nothing():
    assert held().lookup("fee", [text()]).tolist() == []


def test_whole_numbers_are_found_though_they_come_as_floats():
    cards = held({"card": Integer, "note": Text}, {"card": [7, -3, 2**53 - 1], "note": ["seven", "minus", "large"]})
    keys = np.array([7.0, -3.0, np.nan, 8.0, -0.0, 2.0**53 - 1])
    assert cards.lookup("note", [keys]).tolist() == ["seven", "minus", None, None, None, "large"]


def test_a_number_too_large_to_be_told_from_its_neighbour_finds_nothing_rather_than_the_neighbour():
    cards = held({"card": Integer, "note": Text}, {"card": [2**53, 2**53 + 1], "note": ["one", "other"]})
    assert cards.lookup("note", [np.array([2**53, 2**53 + 1], dtype=np.float64)]).tolist() == [None, None]
    assert [cards.position((key,)) for key in (2**53, 2**53 + 1)] == [0, 1]  # as they are asked for by name


def test_a_key_of_two_columns_is_found_by_both():
    columns = {"card": Text, "year": Integer, "fee": Number}
    rows = {"card": ["a", "b", "a"], "year": [2, 1, 1], "fee": [12.0, 21.0, 11.0]}
    cards = held(columns, rows, key=["card", "year"])
    found = cards.lookup("fee", [text("a", "a", "b", "b"), np.array([1.0, 2.0, 1.0, 2.0])]).tolist()
    assert found == pytest.approx([11, 12, 21, math.nan], nan_ok=True)
    assert cards.columns["fee"] == [11, 12, 21]
    assert (cards.position(("a", 2)), cards.position(("b", 2))) == (1, None)


def test_nobody_can_write_into_the_table():
    cards = held()
    with pytest.raises(ValueError, match="read-only"):
        cards.arrays["fee"][0] = 99.0
    cards.lookup("fee", [text("b")])[0] = 99.0
    assert cards.lookup("fee", [text("b")]).tolist() == [1.5]
