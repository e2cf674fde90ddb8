"""The inputs matrix: what stands in it for each value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline import Boolean, Category, Integer, Number
from scoreline.model.inputs import Inputs, inputs_of

TYPES = {"stock": Integer(), "price": Number(), "served": Boolean(), "status": Category("OK", "FAILED")}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        pytest.param("stock", 3, 3.0, id="whole-number"),
        pytest.param("stock", -(2**53), -(2.0**53), id="the-largest-exact-whole-number"),
        pytest.param("price", 12.5, 12.5, id="number"),
        pytest.param("price", -0.0, -0.0, id="minus-zero"),
        pytest.param("served", True, 1.0, id="true"),
        pytest.param("served", False, 0.0, id="false"),
        pytest.param("status", "OK", 0.0, id="the-first-value"),
        pytest.param("status", "FAILED", 1.0, id="the-second-value"),
        pytest.param("status", "LOST", 2.0, id="an-unknown-value-has-the-lists-length"),
        pytest.param("status", "", 2.0, id="empty-text-is-unknown-not-null"),
        pytest.param("status", "ok", 2.0, id="letters-in-another-case-are-unknown"),
    ],
)
def test_a_value_stands_in_the_matrix_as_its_code(name, value, code):
    inputs = Inputs({name: TYPES[name]})
    assert inputs.code(name, value) == code
    assert inputs.encode([[value]]).tolist() == [[code]]


@pytest.mark.parametrize("name", TYPES)
def test_null_is_nan_whatever_the_type(name):
    assert math.isnan(Inputs(TYPES).code(name, None))
    assert math.isnan(Inputs({name: TYPES[name]}).encode([[None]])[0, 0])


def test_columns_stand_in_the_order_of_the_names():
    inputs = Inputs(TYPES)
    assert inputs.names == ("stock", "price", "served", "status")
    assert inputs.position("served") == 2
    matrix = inputs.encode([[1, 2], [0.5, 1.5], [True, False], ["FAILED", "OK"]])
    assert matrix.tolist() == [[1, 0.5, 1, 1], [2, 1.5, 0, 0]]
    assert (matrix.dtype, matrix.flags.c_contiguous) == (np.float64, True)


def test_no_rows_give_an_empty_matrix_of_the_right_width():
    assert Inputs(TYPES).encode([[], [], [], []]).shape == (0, 4)


def test_a_missing_column_is_an_error_not_a_shift():
    with pytest.raises(ValueError, match=r"zip"):
        Inputs(TYPES).encode([[1], [2.0], [True]])


rows = st.tuples(
    st.none() | st.integers(-(10**18), 10**18),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.none() | st.sampled_from(["OK", "FAILED", "LOST", ""]),
)


@given(st.lists(rows, min_size=1, max_size=20))
@settings(deadline=None, database=None, max_examples=100)
def test_a_row_alone_is_what_it_is_among_others(many):
    inputs = Inputs(TYPES)
    together = inputs.encode([list(column) for column in zip(*many, strict=True)])
    alone = [inputs.encode([[value] for value in row])[0] for row in many]
    assert np.array_equal(together, np.array(alone), equal_nan=True)


def test_the_schema_describes_names_and_types():
    assert Inputs({"status": TYPES["status"], "stock": Integer()}).describe() == {
        "status": {"type": "category", "values": ["OK", "FAILED"]},
        "stock": {"type": "integer"},
    }


def test_an_app_takes_what_its_heads_look_at_in_the_order_of_its_features(order_triage):
    assert inputs_of(order_triage).names == (
        "order_hour_of_day", "inventory", "payment_status", "zip_code_available", "quantity", "payment_method",
    )  # fmt: skip
