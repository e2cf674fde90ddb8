"""Whole batches as bytes: the same bytes as one row after the other, and as MessagePack has them."""

from __future__ import annotations

import struct

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.store.encode import HEAD_BYTES, as_list, encode_batch, encode_row, encode_rows, row_order
from scoreline.store.keys import encode_key

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["a" * size for size in (31, 32, 255, 256, 65_535, 65_536)] + ["ü" * 16, "\0", "", "01"]
)
EDGES = [sign * 2**bits + step for bits in (5, 7, 8, 15, 16, 31, 32, 62) for sign in (1, -1) for step in (-1, 0, 1)]
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([*EDGES, 0, -(2**63), 2**63 - 1])
COLUMNS = {
    pa.string(): TEXTS,
    pa.int64(): INTEGERS,
    pa.timestamp("us"): INTEGERS,
    pa.float64(): st.floats(allow_nan=False) | st.sampled_from([-0.0, 5e-324, float("inf")]),
    pa.bool_(): st.booleans(),
}


@st.composite
def tables(draw):
    """Draw a key's width, the columns' types, and rows of plain values (a time is its microseconds)."""
    kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=20))
    width = draw(st.integers(1, min(len(kinds), 4)))
    values = [COLUMNS[kind] if place < width else st.none() | COLUMNS[kind] for place, kind in enumerate(kinds)]
    return width, kinds, draw(st.lists(st.tuples(*values).map(list), max_size=12))


def as_batch(kinds, rows):
    """Return plain rows as a batch."""
    columns = list(zip(*rows, strict=True)) or [[] for _ in kinds]
    arrays = [
        pa.array(values, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)
        for kind, values in zip(kinds, columns, strict=True)
    ]
    return pa.record_batch(arrays, names=[str(place) for place in range(len(kinds))])


@settings(max_examples=150, deadline=None)
@given(tables())
def test_a_batch_has_the_bytes_of_its_rows_one_by_one(table):
    width, kinds, rows = table
    encoded = encode_batch(as_batch(kinds, rows), width)
    assert encoded.equals(encode_rows(rows, width))
    encoded.validate(full=True)
    for row, raw, key_bytes in zip(rows, *(column.to_pylist() for column in encoded.columns), strict=True):
        assert raw == struct.pack(">BH", 0xDC, len(row)) + b"".join(msgspec.msgpack.encode(value) for value in row)
        assert msgspec.msgpack.decode(raw) == row
        if key_bytes <= 511:
            assert raw[HEAD_BYTES : HEAD_BYTES + key_bytes] == encode_key(row[:width])


@settings(max_examples=50, deadline=None)
@given(tables(), st.data())
def test_a_part_of_a_batch_is_encoded_as_that_part(table, data):
    width, kinds, rows = table
    first = data.draw(st.integers(0, len(rows)))
    last = data.draw(st.integers(first, len(rows)))
    part = as_batch(kinds, rows)[first:last]
    assert encode_batch(part, width).equals(encode_rows(rows[first:last], width))


@pytest.mark.parametrize("columns", [15, 16, 300])
def test_rows_of_many_columns_are_rows_like_others(columns):
    row = ["key", *range(columns - 1)]
    assert msgspec.msgpack.decode(encode_row(row)) == row
    kinds = [pa.string(), *[pa.int64()] * (columns - 1)]
    assert encode_batch(as_batch(kinds, [row, row]), 1)["row"].to_pylist() == [encode_row(row)] * 2


PREFIXES = st.sampled_from(["", "customer-", "customer-0000000000000000000", "x" * 100])
KEYS = st.builds(lambda prefix, rest: prefix + rest, PREFIXES, st.text("0129", max_size=12))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(KEYS, KEYS, st.integers(-200, 200)), unique=True, max_size=30), st.integers(0, 3))
def test_rows_are_ordered_by_their_keys_bytes(keys, first):
    rows = encode_rows([[*key, place] for place, key in enumerate(keys)], 3)[first:]["row"]
    ordered = [msgspec.msgpack.decode(row)[3] for row in rows.take(pa.array(row_order(rows))).to_pylist()]
    assert ordered == sorted(range(first, len(keys)), key=lambda place: encode_key(keys[place]))


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 3))
def test_arrays_of_bytes_become_lists(values, first):
    assert as_list(pa.array(values, pa.binary())[first:]) == values[first:]
