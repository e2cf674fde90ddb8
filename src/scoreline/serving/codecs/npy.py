"""npy: an array of numbers, a record a row. Nothing in it is executed, nothing is made before its size is known."""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoreline.serving.codecs.replies import Replies
from scoreline.serving.kinds import Field, RecordKind
from scoreline.serving.problems import Problem
from scoreline.serving.records import Records, RequestSchema, several

_MAGIC = b"\x93NUMPY"
_HEADER_BYTES = 10_000  # numpy's own limit; an array of numbers needs about a hundred
# https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html: the header is a Python dictionary.
# It is matched, never evaluated.
_DESCR = r"""['"]descr['"]\s*:\s*['"]([^'"]*)['"]"""
_FORTRAN = r"""['"]fortran_order['"]\s*:\s*(True|False)"""
_SIZE = r"\s*([0-9]{1,18})L?\s*"
_SHAPE = rf"""['"]shape['"]\s*:\s*\({_SIZE}(?:,(?:{_SIZE},?)?\s*)?\)"""
_PARTS = [re.compile(part) for part in (_DESCR, _FORTRAN, _SHAPE)]
_NUMBERS = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248])|\?")


class NpyCodec:
    """An array of shape (records, columns), or (columns,) for one record, of booleans, integers or floats.

    Taken where a record of one kind is numbers and booleans alone: the columns stand in the order of that kind, NaN
    is null, 0 and 1 are false and true.
    """

    types: tuple[str, ...] = ("application/x-npy",)

    def decode(
        self, schema: RequestSchema, body: bytes, parameters: Mapping[str, str], *, batch: bool
    ) -> Records | Problem:
        """Return one record for each row."""
        array = read_array(body)
        if isinstance(array, Problem):
            return array
        kind = _kind_of(schema, array.shape[1])
        if isinstance(kind, Problem):
            return kind
        return several(kind.take(row, Field.take_number) for row in array.tolist())

    def encode(self, replies: Replies) -> bytes:
        """Return float64 of shape (records, columns of the reply); null is NaN, a problem is a row of NaN."""
        places = range(len(replies.entries))
        width = max(len(replies.table_of(place).columns) for place in places)
        rows = np.full((len(places), width), math.nan)
        for place, entry in enumerate(replies.entries):
            if not isinstance(entry, Problem):
                cells: list[Any] = replies.table_of(place).row(entry)
                rows[place, : len(cells)] = [math.nan if cell is None else cell for cell in cells]
        out = io.BytesIO()
        np.save(out, rows, allow_pickle=False)
        return out.getvalue()


def read_array(body: bytes) -> np.ndarray[Any, Any] | Problem:
    """Return the array that an npy file holds, as rows; it shares the body's memory.

    Returns
    -------
    array of shape (n, columns), of integers or floats (booleans as 0 and 1), or the Problem with the file
    """
    split = _split(body)
    found = [part.search(split[0]) for part in _PARTS] if split is not None else [None]
    if split is None or not all(found):
        return _bad("it has no header that says so")
    descr, fortran, *sizes = (text for match in found if match is not None for text in match.groups())
    if not _NUMBERS.fullmatch(descr):
        return _bad("its elements are something else")
    dtype = np.dtype(descr)
    shape = tuple(int(size) for size in sizes if size is not None)
    needed, there = math.prod(shape) * dtype.itemsize, len(body) - split[1]
    if needed != there:
        return _bad(f"its header speaks of {needed} bytes, there are {there}")
    array = np.frombuffer(body, dtype, offset=split[1]).reshape(shape, order="F" if fortran == "True" else "C")
    rows = array if len(shape) == 2 else array.reshape(1, -1)
    return rows.astype(np.uint8) if dtype == np.bool_ else rows


def _split(body: bytes) -> tuple[str, int] | None:
    """Return the header as text, and where the data begin; None where there is no header."""
    if body[:6] != _MAGIC or len(body) < 12 or body[6] not in (1, 2, 3):
        return None
    size = struct.Struct("<H" if body[6] == 1 else "<I")
    (length,) = size.unpack_from(body, 8)
    start = 8 + size.size
    if length > min(_HEADER_BYTES, len(body) - start):
        return None
    return body[start : start + length].decode("latin-1"), start + length


def _kind_of(schema: RequestSchema, columns: int) -> RecordKind | Problem:
    kinds = [kind for kind in schema.kinds if kind.is_numeric]
    for kind in kinds:
        if len(kind.fields) == columns:
            return kind
    expected = " or ".join(kind.describe("columns") for kind in kinds)
    return Problem(400, "bad-body", f"expected an array with {expected}, got {columns}")


def _bad(why: str) -> Problem:
    expected = "expected an npy file with an array of booleans, integers or floats, of shape (records, columns)"
    return Problem(400, "bad-body", f"{expected}: {why}")
