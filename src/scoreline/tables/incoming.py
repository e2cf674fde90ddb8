"""Rows on their way into the event log: CSV as tables read it, or JSON Lines with the same types."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number, Text, Time
from scoreline.app.moments import moment_of
from scoreline.app.table import TableSpec
from scoreline.tables.read import LINE, read_file
from scoreline.tables.rejected import Rejected

ROWS_AT_ONCE = 20_000  # of a file; each is a batch, and a transaction, of its own
_BOM = b"\xef\xbb\xbf"
_INT64 = range(-(2**63), 2**63)
_SHOWN = 40  # characters of a number that does not fit
_KINDS = {str: "text that is none", bool: "true or false", list: "a list", dict: "an object"}
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Incoming:
    """Some rows of one source.

    Attributes
    ----------
    rows : plain values of every declared column; times in microseconds, UTC
    rejected : rows that can't be read
    """

    rows: list[dict[str, Any]]
    rejected: list[Rejected]


def read_csv(spec: TableSpec, path: Path) -> Iterator[Incoming]:
    """Read a CSV file as tables are read, some rows at a time.

    Raises
    ------
    TableError
        The file has no header with the table's columns.
    """
    for chunk in read_file(spec, path):
        rejected = chunk.rejected
        for batch in chunk.rows.drop_columns([LINE]).to_batches(ROWS_AT_ONCE) or ():
            yield Incoming(_plain(batch), rejected)
            rejected = []
        if rejected:
            yield Incoming([], rejected)


def read_json_lines(spec: TableSpec, file: IO[bytes], name: str) -> Iterator[Incoming]:
    """Read JSON Lines, an object a line, some rows at a time; blank lines are passed over."""
    numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    while some := list(itertools.islice(numbered, ROWS_AT_ONCE)):
        found = Incoming([], [])
        for number, line in some:
            row = _row_of(spec, line.removeprefix(_BOM) if number == 1 else line)
            if isinstance(row, dict):
                found.rows.append(row)
            else:
                found.rejected.append(Rejected(name, number, *row))
        yield found


def _plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist()


def _row_of(spec: TableSpec, line: bytes) -> dict[str, Any] | tuple[str | None, str]:
    """Return the row on a line, or its first column that does not fit and why."""
    try:
        content = _decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return None, f"expected a JSON object: {error}"
    if not isinstance(content, dict):
        return None, "expected a JSON object"
    row: dict[str, Any] = {}
    for name, kind in spec.columns.items():
        value = content.get(name)
        fits, row[name] = (True, None) if value is None or value == "" else _value(kind, value)
        if not fits:
            return name, f"expected {kind.expects}, got {_told(value)}"
        if row[name] is None and name in spec.required:
            return name, f"expected {kind.expects}, got nothing"
        if name not in content and not kind.optional and name not in spec.required:
            return name, f"expected {kind.expects} or null, it is missing"
    return row


def _told(value: Any) -> str:
    """Say what came; numbers as they are, of texts only that they are."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _KINDS[type(value)]
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _value(kind: ColumnType, value: Any) -> tuple[bool, Any]:
    """Return whether a JSON value is one of the column's, and the value."""
    if isinstance(kind, (Text, Category)):
        return isinstance(value, str), value
    if isinstance(kind, Time):
        moment = moment_of(value) if isinstance(value, str) else None
        return moment is not None, moment
    if isinstance(kind, Boolean):
        return isinstance(value, bool), value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False, None
    if isinstance(kind, Integer):
        whole = int(value) if isinstance(value, int) or value.is_integer() else None
        return whole is not None and whole in _INT64 and kind.fits(whole), whole
    assert isinstance(kind, Number)
    return math.isfinite(value) and kind.fits(value), float(value)
