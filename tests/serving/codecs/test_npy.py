"""npy: arrays of numbers, and all that may call itself one."""

from __future__ import annotations

import io
import math
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scoreline.predictor import InputRow, Sent
from scoreline.serving.codecs.npy import NpyCodec, read_array
from scoreline.serving.problems import Problem


def npy(array, **how):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(array), **how)
    return out.getvalue()


def with_header(text, data=b"", version=1):
    header = text.encode()
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def decode(schema, body):
    return NpyCodec().decode(schema, body, {}, batch=False)


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i8", ">i4", "|i1", "<u2", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_of_numbers_is_its_rows(numeric, dtype, order, version):
    array = np.array([[7, 5, 1], [8, 6, 0]], dtype=dtype, order=order)
    assert list(decode(numeric, npy(array, version=version)).records) == [Sent((7, 5.0, True)), Sent((8, 6.0, False))]


def test_the_number_of_columns_says_whether_rows_are_inputs(numeric):
    assert list(decode(numeric, npy([[5.5, 1.0]])).records) == [InputRow((5.5, True))]
    found = decode(numeric, npy([[1.0]]))
    assert (found.status, found.detail) == (
        400,
        "expected an array with 3 columns (no, length, wide) or 2 columns (length, wide), got 1",
    )


def test_an_array_of_one_dimension_is_one_record(numeric):
    assert list(decode(numeric, npy([5.5, 0.0])).records) == [InputRow((5.5, False))]


def test_where_requests_hold_text_the_rows_are_inputs(schema):
    assert list(decode(schema, npy([[5.5, 0.0]])).records) == [InputRow((5.5, False))]
    assert decode(schema, npy([[1.0, 2, 3, 4, 5]])).status == 400


def test_booleans_are_0_and_1(numeric):
    assert list(decode(numeric, npy([[True, False]])).records) == [InputRow((1.0, False))]


def test_whole_numbers_beyond_2_to_the_53_are_exact(numeric):
    assert decode(numeric, npy(np.array([[2**63 - 1, 1, 1]]))).records[0].values[0] == 2**63 - 1
    found = decode(numeric, npy(np.array([[2**63, 1, 1]], dtype=np.uint64)))
    assert found.records[0].detail == "no: expected a whole number of 64 bits, got a larger one"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ([math.nan, 1, 1], "no"),
        ([7.5, 1, 1], "no"),
        ([2.0**53 + 2, 1, 1], "no"),
        ([math.inf, 1, 1], "no"),
        ([7, math.inf, 1], "length"),
        ([7, -math.inf, 1], "length"),
        ([7, math.nan, 1], "length"),
        ([7, 1, 2], "wide"),
    ],
)
def test_a_bad_row_costs_itself(numeric, row, field):
    found = decode(numeric, npy([[7, 1, 1], row, [8, 1, math.nan]]))
    assert [found.records[0], found.records[2]] == [Sent((7, 1.0, True)), Sent((8, 1.0, None))]
    assert (found.records[1].field, found.records[1].index, found.records[1].status) == (field, 1, 400)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was loaded",))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(npy(np.array([[Bomb()]], dtype=object), allow_pickle=True), id="objects"),
        pytest.param(pickle.dumps(Bomb()), id="a-pickle"),
        pytest.param(npy(np.array([["a", "b"]])), id="text"),
        pytest.param(npy(np.array([[1j, 2]])), id="complex"),
        pytest.param(npy(np.array([["2024-01-01", "NaT"]], dtype="M8[s]")), id="times"),
        pytest.param(npy(np.array([(1.0, 2)], dtype=[("a", float), ("b", int)])), id="records"),
        pytest.param(npy(np.zeros((1, 2), dtype=np.longdouble)), id="long-double"),
        pytest.param(npy(5.0), id="no-dimension"),
        pytest.param(npy(np.zeros((1, 1, 2))), id="three-dimensions"),
        pytest.param(npy([[1.0, 2.0]])[:-1], id="a-byte-short"),
        pytest.param(npy([[1.0, 2.0]]) + b"\0", id="a-byte-long"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x93NUMPY", id="magic-alone"),
        pytest.param(b"\x93NUMPY\x01\x00\xff\xff{}", id="header-cut"),
        pytest.param(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", id="header-of-4-gigabytes"),
        pytest.param(b"\x93NUMPY\x09\x00\x02\x00{}", id="version-9"),
        pytest.param(b"PK\x03\x04", id="npz"),
        pytest.param(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 2), }"), id="huge"),
        pytest.param(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }"), id="negative"),
        pytest.param(
            with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}"), id="long"
        ),
        pytest.param(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 5000), id="nested"),
        pytest.param(with_header("{'descr': '<f8', 'shape': (1, 2), }", b"\0" * 16), id="no-order"),
        pytest.param(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 9000), id="open"),
        pytest.param(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1," + " " * 9000), id="blank"),
        pytest.param(with_header("__import__('os').abort()"), id="code"),
        pytest.param(
            with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1" + ", " * 4000 + "2)}"), id="slow"
        ),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(numeric, body):
    found = decode(numeric, body)
    assert (found.status, found.kind) == (400, "bad-body")
    assert found.detail.startswith("expected an npy file with an array of booleans, integers or floats")


def test_an_array_without_rows_holds_no_record(numeric):
    assert list(decode(numeric, npy(np.zeros((0, 2)))).records) == []


def test_an_array_of_no_columns_is_refused_before_its_rows_are_made(numeric):
    body = with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 0), }")
    assert decode(numeric, body).status == 400


def test_headers_of_other_writers_are_read(numeric):
    data = struct.pack("<2d", 5.5, 1.0)
    for header in (
        "{'shape': (1, 2), 'fortran_order': False, 'descr': '<f8'}\n",
        '{"descr":"<f8","fortran_order":False,"shape":(1,2)}',
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1L, 2L), }   \n",
    ):
        assert list(decode(numeric, with_header(header, data)).records) == [InputRow((5.5, True))]


# Replies


def test_replies_are_rows_of_float64(replies):
    entries = [{"odds": 0.25}, {"odds": None}, Problem(400, "bad-record", "why"), {"odds": True}]
    out = np.load(io.BytesIO(NpyCodec().encode(replies(*entries, of_inputs=range(4)))), allow_pickle=False)
    assert (out.dtype, out.shape) == (np.float64, (4, 1))
    assert np.array_equal(out[:, 0], [0.25, math.nan, math.nan, 1.0], equal_nan=True)


# Round trips

_dtypes = arrays.boolean_dtypes() | arrays.integer_dtypes(endianness="?") | arrays.floating_dtypes(
    endianness="?", sizes=(16, 32, 64)
)  # fmt: skip


@bounded(max_examples=200, deadline=None)
@given(array=arrays.arrays(_dtypes, arrays.array_shapes(min_dims=2, max_dims=2)), is_fortran=st.booleans())
def test_what_numpy_wrote_is_read(array, is_fortran):
    written = np.asfortranarray(array) if is_fortran else array
    read = read_array(npy(written))
    assert np.array_equal(read, array, equal_nan=array.dtype.kind == "f")


@bounded(max_examples=300, deadline=None)
@given(place=st.integers(0, 200), change=st.binary(min_size=1, max_size=3), cut=st.integers(0, 160))
def test_a_broken_file_is_a_problem_of_the_client(numeric, place, change, cut):
    whole = npy([[5.5, 1.0], [2.0, 0.0]])
    broken = whole[:place] + change + whole[place + len(change) :]
    for body in (broken, whole[:cut], broken[:cut]):
        found = decode(numeric, body)
        assert found.status == 400 if isinstance(found, Problem) else found.records
