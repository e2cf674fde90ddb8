"""Keys as bytes: equal exactly if they are equal part by part, types and all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreline.store.embedded import META_KEY
from scoreline.store.keys import MAX_KEY_BYTES, RESERVED, encode_key

parts = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.integers(-(2**63), 2**63 - 1))
keys = st.lists(parts, min_size=1, max_size=5).map(tuple)
close_parts = st.sampled_from(["", "a", "ab", "b", "1", "01", "t", "i", "\0", "\0\0\0\x01", 0, 1, -1, 97])
close_keys = st.lists(close_parts, max_size=4).map(tuple)


@given(keys | close_keys, keys | close_keys)
def test_two_keys_are_equal_as_bytes_exactly_if_they_are_equal(one, other):
    assert (encode_key(one) == encode_key(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("1",), (1,), id="text-and-number"),
        pytest.param(("1",), ("01",), id="leading-zero"),
        pytest.param(("1",), ("1 ",), id="trailing-space"),
        pytest.param(("ab", "c"), ("a", "bc"), id="parts-cut-elsewhere"),
        pytest.param(("a", ""), ("a",), id="an-empty-part"),
        pytest.param(("é",), ("e\u0301",), id="composed-and-decomposed"),
        pytest.param((-1,), (2**63 - 1,), id="signs"),
        pytest.param((127,), (-1,), id="small-numbers"),
        pytest.param((255,), (256,), id="numbers-written-in-another-way"),
        pytest.param(("a",) * 15, ("a",) * 16, id="many-parts"),
        pytest.param(("x" * 600,), ("x" * 601,), id="long-keys"),
    ],
)
def test_look_alikes_are_told_apart(one, other):
    assert encode_key(one) != encode_key(other)


@given(keys)
def test_no_key_is_one_that_the_store_needs_itself(key):
    encoded = encode_key(key)
    assert not encoded.startswith(RESERVED) or len(encoded) == 33
    assert encoded != META_KEY


@given(keys, keys)
def test_no_key_is_the_beginning_of_another_of_the_same_width(one, other):
    width = min(len(one), len(other))
    first, second = encode_key(one[:width]), encode_key(other[:width])
    assert first == second or not first.startswith(second)


@given(keys)
def test_no_key_is_longer_than_the_store_takes(key):
    assert 0 < len(encode_key(key)) <= MAX_KEY_BYTES


@pytest.mark.parametrize(("size", "encoded"), [(508, 511), (509, 33)])
def test_only_a_key_that_is_too_long_is_stored_by_its_digest(size, encoded):
    assert len(encode_key(["x" * size])) == encoded
