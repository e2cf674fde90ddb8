"""Trying a feature function on made-up rows: what it may give, and what is found out about it."""

from __future__ import annotations

import numpy as np
import pytest

from scoreline.app.columns import Boolean, Category, Integer, Number, Text, Time
from scoreline.app.probe import column_type_of, probe_function
from scoreline.errors import AppError

NOTHING = frozenset()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(lambda n: n > 1, Boolean(), id="comparison"),
        pytest.param(lambda n: n * 2, Number(), id="arithmetic"),
        pytest.param(lambda n: np.isnan(n).astype(np.int32), Integer(), id="int32"),
        pytest.param(lambda n: np.isnan(n).astype(np.uint8), Integer(), id="uint8"),
        pytest.param(lambda n: n.astype(np.float32), Number(), id="float32"),
        pytest.param(lambda n: np.where(n > 0, "yes", "no"), Text(), id="numpy-text"),
        pytest.param(lambda n: np.where(n > 0, "yes", None), Text(), id="objects"),
        pytest.param(lambda n: np.full(len(n), "2021-07-04", "datetime64[D]"), Time(), id="days"),
    ],
)
def test_the_type_of_a_feature_is_that_of_what_its_function_gives(function, expected):
    assert probe_function("f", function, {"n": Number()}, NOTHING) == expected


@pytest.mark.parametrize(
    ("kind", "dtype", "null"),
    [
        pytest.param(Text(), "O", None, id="text"),
        pytest.param(Category("A", "B"), "O", None, id="category"),
        pytest.param(Integer(), "f", np.nan, id="integer"),
        pytest.param(Number(), "f", np.nan, id="number"),
        pytest.param(Boolean(), "f", np.nan, id="boolean"),
        pytest.param(Time(), "M", np.datetime64("NaT", "us"), id="time"),
    ],
)
def test_a_function_is_tried_with_a_null_unless_the_column_never_has_one(kind, dtype, null):
    seen = []

    def function(column):
        seen.append(column.copy())
        return np.zeros(len(column))

    probe_function("f", function, {"column": kind}, NOTHING)
    probe_function("f", function, {"column": kind}, frozenset(["column"]))
    with_null, without = seen[0], seen[4]
    assert [len(column) for column in seen] == [3, 1, 1, 1] * 2
    assert with_null.dtype.kind == without.dtype.kind == dtype
    assert str(with_null[2]) == str(null)
    assert str(null) not in [str(value) for value in without]


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda n: n - n.mean(), id="less-the-mean"),
        pytest.param(lambda n: n - np.nanmin(n), id="less-the-least"),
        pytest.param(lambda n: np.sort(n), id="sorted"),
        pytest.param(lambda n: np.roll(n, 1), id="the-row-before"),
        pytest.param(lambda n: np.nancumsum(n), id="a-running-sum"),
        pytest.param(lambda n: np.argsort(n), id="its-rank"),
        pytest.param(lambda n: np.full(len(n), len(n)), id="the-row-count"),
        pytest.param(lambda n: n if len(n) > 1 else n > 0, id="another-type-for-one-row"),
    ],
)
def test_a_function_that_looks_at_other_rows_is_found_out(function):
    with pytest.raises(AppError, match=r"feature 'f': its function answers differently for a row alone"):
        probe_function("f", function, {"n": Number()}, NOTHING)


def test_whole_numbers_that_turn_to_floats_beside_a_missing_one_are_no_difference():
    def hours(at):
        whole = at.astype("datetime64[h]").astype(np.int64) % 24
        return np.where(np.isnat(at), np.nan, whole) if np.isnat(at).any() else whole

    assert probe_function("f", hours, {"at": Time()}, NOTHING) == Number()
    assert probe_function("f", hours, {"at": Time()}, frozenset(["at"])) == Integer()


def test_a_null_equals_a_null_alone_and_among_others():
    assert probe_function("f", lambda at: at, {"at": Time()}, NOTHING) == Time()
    assert probe_function("f", lambda code: code, {"code": Text()}, NOTHING) == Text()


def test_a_division_by_zero_on_made_up_rows_is_no_mistake():
    assert probe_function("f", lambda n: 1 / n, {"n": Number()}, NOTHING) == Number()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        pytest.param(lambda n: n[:2], r"changes the row count: it got 3 rows and gave shape \(2,\)", id="fewer-rows"),
        pytest.param(lambda n: n[:, None], r"gave shape \(3, 1\)", id="a-column-of-a-matrix"),
        pytest.param(lambda n: None, "must give an array, it gave NoneType", id="no-return"),
        pytest.param(lambda n: np.array([b"x"] * len(n)), r"gives dtype \|S1", id="bytes"),
        pytest.param(lambda n: np.array([1.5] * len(n), object), "objects that are no text", id="numbers-as-objects"),
        pytest.param(lambda n: np.array([np.nan] * len(n), object), "objects that are no text", id="nan-for-None"),
        pytest.param(lambda n: 1 // 0, "failed on made-up rows: ZeroDivisionError", id="raises"),
        pytest.param(lambda n: n.sort(), "failed on made-up rows: ValueError: .*read-only", id="writes"),
    ],
)
def test_what_is_no_column_is_refused(function, says):
    with pytest.raises(AppError, match=rf"feature 'f': its function.*{says}"):
        probe_function("f", function, {"n": Number()}, NOTHING)


def test_bytes_and_complex_numbers_stand_for_no_column_type():
    assert column_type_of(np.array([b"a"])) is None
    assert column_type_of(np.array([1j])) is None
