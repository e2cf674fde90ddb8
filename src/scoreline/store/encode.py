"""Feature rows as bytes, whole batches at a time.

A row is kept as MessagePack: an array's head of three bytes, then the values one after the other. Its key (see
`scoreline.store.keys`) is what follows the head first, so each byte is made once. Here that is done column by column:
numpy lays out numbers, Arrow joins the pieces of each row. `encode_row` is the same for one row.

A state (see `scoreline.store.states`) is encoded likewise, with its own key between the head and the values.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import reduce
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoreline.store.states import LAST, LATEST_US, SUFFIX_BYTES, prefix_of

HEAD_BYTES = 3
_ARRAY, _LONG_ARRAY, _BYTES = 0xDC, 0xDD, 0xC6
_NULL, _FALSE, _TRUE, _FLOAT = 0xC0, 0xC2, 0xC3, 0xCB
# From which number on a whole number is written the next way; each way's tag and bytes, the tag among them.
_INTEGER_FROM = np.array([-(1 << 31), -(1 << 15), -(1 << 7), -(1 << 5), 1 << 7, 1 << 8, 1 << 16, 1 << 32])
_INTEGER_TAGS = np.array([0xD3, 0xD2, 0xD1, 0xD0, 0, 0xCC, 0xCD, 0xCE, 0xCF], np.uint8)
_INTEGER_BYTES = np.array([9, 5, 3, 2, 1, 2, 3, 5, 9])
_IN_ITSELF = 4  # the way of small numbers: one byte without a tag
# The same for a text's length: its head is the length and a tag; up to 31 both are one byte.
_TEXT_FROM = np.array([1 << 5, 1 << 8, 1 << 16])
_TEXT_TAGS = np.array([0xA0, 0xD9, 0xDA, 0xDB], np.uint8)
_TEXT_HEAD_BYTES = np.array([1, 2, 3, 5])
_WORDS_SORTED_BY, _WORDS_LOOKED_AT = (2, 5), 9  # the second where the first leaves two rows alike, as states do
ENCODED = pa.schema([("row", pa.binary()), ("key_bytes", pa.int32())])

Array = np.ndarray[Any, Any]


def encode_row(row: Sequence[Any]) -> bytes:
    """Encode one row of plain values."""
    encoded = msgspec.msgpack.encode(list(row))
    return struct.pack(">BH", _ARRAY, len(row)) + encoded[1 if len(row) < 16 else HEAD_BYTES :]


def encode_rows(rows: Sequence[Sequence[Any]], key_width: int) -> pa.RecordBatch:
    """Encode rows of plain values, one at a time; as `encode_batch` gives them. The rows may be of several widths."""
    encoded = pa.array([encode_row(row) for row in rows], pa.binary())
    key_bytes = [len(encode_row(row[:key_width])) - HEAD_BYTES for row in rows]
    return pa.record_batch([encoded, pa.array(key_bytes, pa.int32())], schema=ENCODED)


def encode_batch(batch: pa.RecordBatch, key_width: int) -> pa.RecordBatch:
    """Encode rows of text, int64, float64, boolean and timestamp("us") columns.

    Parameters
    ----------
    batch : less than 1 GiB
    key_width : how many of the first columns are the key

    Returns
    -------
    pa.RecordBatch
        `row`, the bytes that the store keeps, and `key_bytes`, how many of them, from the head on, are the key.
    """
    head = np.frombuffer(struct.pack(">BH", _ARRAY, batch.num_columns), np.uint8)
    pieces = [_fixed(np.tile(head, (batch.num_rows, 1)))]
    key_bytes = np.zeros(batch.num_rows, np.int32)
    for position, column in enumerate(batch.columns):
        of_column = _encode_column(column)
        if position < key_width:
            key_bytes = reduce(np.add, map(_lengths, of_column), key_bytes)
        pieces += of_column
    rows = pc.binary_join_element_wise(*pieces, b"")
    return pa.record_batch([rows, pa.array(key_bytes, pa.int32())], schema=ENCODED)


def encode_states(batch: pa.RecordBatch, number: int, key_width: int) -> pa.RecordBatch:
    """Encode rows of another table as states.

    Parameters
    ----------
    batch : less than 1 GiB; the key, then its other columns, then two of int64: time in microseconds, and order
    number : stands for the table in keys
    key_width : how many of the first columns are the key

    Returns
    -------
    pa.RecordBatch
        As `encode_batch` gives it: `row` is head, the state's key, then the row's own key and values.
    """
    *values, times, orders = batch.columns
    head = np.frombuffer(struct.pack(">BH", _ARRAY, len(values)) + prefix_of(number), np.uint8)
    own = [_encode_column(column) for column in values]
    key = [piece for column in own[:key_width] for piece in column]
    suffix = np.hstack([_turned_round(times, LATEST_US), _turned_round(orders, LAST)])
    pieces = [_fixed(np.tile(head, (batch.num_rows, 1))), *key, _fixed(suffix), *(p for column in own for p in column)]
    own_bytes = np.full(batch.num_rows, len(head) - HEAD_BYTES + SUFFIX_BYTES, np.int32)
    key_bytes = reduce(np.add, map(_lengths, key), own_bytes)
    rows = pc.binary_join_element_wise(*pieces, b"")
    return pa.record_batch([rows, pa.array(key_bytes, pa.int32())], schema=ENCODED)


def row_order(rows: pa.BinaryArray) -> Array:
    """Return positions that bring encoded rows into the order of their keys; rows of one key come in any order.

    Eight bytes at a time are compared as one number, three times as fast as Arrow's sort, which is left to where two
    such numbers don't tell all rows apart. What is read beyond a key's end counts between equal keys only, since no key
    is the beginning of another of the same width.
    """
    words: list[Array] = []
    for at in range(HEAD_BYTES, HEAD_BYTES + _WORDS_LOOKED_AT * 8, 8):
        word = _words(rows, at)
        if not len(rows) or word.min() == word.max():
            continue
        words.append(word)
        if len(words) in _WORDS_SORTED_BY and (order := _told_apart(words)) is not None:
            return order
        if len(words) == _WORDS_SORTED_BY[-1]:
            break
    order = _told_apart(words)
    return pc.sort_indices(rows).to_numpy() if order is None else order


def _told_apart(words: Sequence[Array]) -> Array | None:
    """Return the order by some words, None where they leave two rows alike."""
    if not words:
        return None
    order = np.lexsort(words[::-1])
    ordered = [word[order] for word in words]
    alike = reduce(np.logical_and, (word[1:] == word[:-1] for word in ordered))
    return None if alike.any() else order


def as_list(rows: pa.BinaryArray) -> list[bytes]:
    """Return the values; msgspec makes the objects from one array of bytes, many times as fast as Arrow does."""
    if not len(rows):
        return []
    sizes = pc.binary_length(rows).to_numpy()
    heads = np.empty((len(rows), 5), np.uint8)
    heads[:, 0] = _BYTES
    heads[:, 1:] = sizes.astype(">u4").view(np.uint8).reshape(-1, 4)
    _, _, data = pc.binary_join_element_wise(_fixed(heads), rows, b"").buffers()
    return _decode_list(struct.pack(">BI", _LONG_ARRAY, len(rows)) + data.to_pybytes())


_decode_list = msgspec.msgpack.Decoder(list[bytes]).decode


def _words(rows: pa.BinaryArray, at: int) -> Array:
    """Return eight bytes of each row, from `at` on, as a number; where they end, the following row's, then zeros."""
    _, ends_buffer, data = rows.buffers()
    starts = np.frombuffer(ends_buffer, np.int32, len(rows) + 1, rows.offset * 4)[:-1].astype(np.int64) + at
    if data is None or data.size < 8:
        return np.zeros(len(rows), np.uint64)
    every = np.ndarray((data.size - 7,), np.dtype(">u8"), data, strides=(1,))
    words = every[np.minimum(starts, len(every) - 1)].astype(np.uint64)
    for position in np.flatnonzero(starts >= len(every)):
        words[position] = int.from_bytes(data[int(starts[position]) :].to_pybytes().ljust(8, b"\0"))
    return words


def _encode_column(values: pa.Array) -> list[pa.BinaryArray]:
    if pa.types.is_string(values.type):
        return [_text_heads(values), pc.fill_null(values, "").cast(pa.binary())]
    null = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    if pa.types.is_boolean(values.type):
        tags = np.where(_filled(values.cast(pa.int8())), np.uint8(_TRUE), np.uint8(_FALSE))
        return [_right_aligned(tags[:, None], np.ones(len(tags), np.int64), null)]
    grid = np.empty((len(values), 9), np.uint8)
    if pa.types.is_floating(values.type):
        grid[:, 0] = _FLOAT
        grid[:, 1:] = _big_endian(_filled(values))
        return [_right_aligned(grid, np.full(len(values), 9), null)]
    numbers = _filled(values.cast(pa.int64()))
    way = np.searchsorted(_INTEGER_FROM, numbers, side="right")
    grid[:, 1:] = _big_endian(numbers)
    _tag(grid, _INTEGER_TAGS[way], _INTEGER_BYTES[way], way != _IN_ITSELF)
    return [_right_aligned(grid, _INTEGER_BYTES[way], null)]


def _text_heads(texts: pa.StringArray) -> pa.BinaryArray:
    null = texts.is_null().to_numpy(zero_copy_only=False) if texts.null_count else None
    lengths = _filled(pc.binary_length(texts)).astype(np.int64)
    way = np.searchsorted(_TEXT_FROM, lengths, side="right")
    if not way.any():
        return _right_aligned((lengths.astype(np.uint8) | _TEXT_TAGS[0])[:, None], np.ones(len(way), np.int64), null)
    grid = np.empty((len(texts), 9), np.uint8)
    grid[:, 1:] = _big_endian(lengths)
    grid[way == 0, 8] |= _TEXT_TAGS[0]
    _tag(grid, _TEXT_TAGS[way], _TEXT_HEAD_BYTES[way], way != 0)
    return _right_aligned(grid, _TEXT_HEAD_BYTES[way], null)


def _tag(grid: Array, tags: Array, sizes: Array, has_tag: Array) -> None:
    """Put each row's tag in front of its last bytes."""
    where = np.flatnonzero(has_tag)
    grid[where, grid.shape[1] - sizes[where]] = tags[where]


def _right_aligned(grid: Array, sizes: Array, null: Array | None) -> pa.BinaryArray:
    """Return the last bytes of each row of a grid, as many as `sizes` says; MessagePack's null where `null` says so."""
    if null is not None:
        grid[null, -1] = _NULL
        sizes = np.where(null, 1, sizes)
    rows, width = grid.shape
    if rows and (sizes == sizes[0]).all():
        return _fixed(np.ascontiguousarray(grid[:, width - sizes[0] :]))
    ends = np.zeros(rows + 1, np.int32)
    np.cumsum(sizes, out=ends[1:])
    data = grid[np.arange(width) >= width - sizes[:, None]]
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(ends), pa.py_buffer(data)])


def _fixed(grid: Array) -> pa.BinaryArray:
    """Return each row of a grid as a value."""
    rows, width = grid.shape
    ends = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(ends), pa.py_buffer(grid)])


def _filled(values: pa.Array) -> Array:
    return pc.fill_null(values, 0).to_numpy(zero_copy_only=False)


def _turned_round(numbers: pa.Int64Array, largest: int) -> Array:
    """Return eight bytes each that sort the largest number first."""
    return _big_endian(np.uint64(largest) - _filled(numbers).astype(np.int64).view(np.uint64))


def _big_endian(numbers: Array) -> Array:
    return numbers.astype(numbers.dtype.newbyteorder(">")).view(np.uint8).reshape(-1, 8)


def _lengths(values: pa.BinaryArray) -> Array:
    return pc.binary_length(values).to_numpy()
