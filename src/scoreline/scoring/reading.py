"""Records of a partition, a few thousand at a time, as serving takes them.

CSV and Parquet are read as tables are, so that a value is what `inference` would have sent; a value that does not fit
stays as it came, and costs its record alone. JSON Lines are read as they are over HTTP.
"""

from __future__ import annotations

import decimal
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoreline.app.columns import ColumnType, Time
from scoreline.app.declaration import App
from scoreline.errors import ScoringError, TableError
from scoreline.scoring.partitions import Partition
from scoreline.scoring.source import Format
from scoreline.serving.codecs.json_lines import JsonLinesCodec
from scoreline.serving.kinds import Field, from_text
from scoreline.serving.problems import Problem
from scoreline.serving.records import Layout, Records, RequestSchema
from scoreline.tables import csv_lines, parquet

_CHUNK_BYTES = 4 << 20
_BATCH_ROWS = 1 << 15
_HEADER_LINES = 1
_decode = msgspec.json.Decoder().decode
_json_lines = JsonLinesCodec()


@dataclass(frozen=True)
class Piece:
    """Some records of a partition, in its order.

    Attributes
    ----------
    records : what serving takes: records, and problems in the place of those that are none
    places : of each in its file, from 0; a blank line of a text file counts as a place. None where it is not known
    given : of the record of that number in the piece, the columns that could be read, as they came
    """

    records: Records
    places: Sequence[int | None]
    given: Callable[[int], Mapping[str, Any]]


class Columns:
    """Which columns of a file of rows are which of a record, and how their values are read.

    Attributes
    ----------
    names : of the columns that are read, in the order of the file
    positions : their places in the header
    unused : columns that no record has; they are passed over

    Raises
    ------
    ScoringError
        A column is missing or twice in the header; the message names it.
    """

    def __init__(self, app: App, schema: RequestSchema, header: Sequence[str], where: str) -> None:
        self.unused = [name for name in header if name not in schema.known]
        layout = schema.layout_of([name for name in header if name in schema.known])
        if isinstance(layout, Problem):
            told = schema.layout_of(header)  # it sees the misspelt names too
            raise ScoringError(f"{where}: {(told if isinstance(told, Problem) else layout).detail}")
        known = [position for position, name in enumerate(header) if name in schema.known]
        taken = sorted(
            {known[place] for place in layout.places if place is not None} | {known[p] for _, p in layout.more}
        )
        self.positions = taken
        self.names = [header[position] for position in taken]
        self.of_inputs = layout.kind is schema.inputs
        at = {position: place for place, position in enumerate(taken)}
        self._layout = Layout(
            layout.kind,
            tuple(None if place is None else at[known[place]] for place in layout.places),
            len(taken),
            tuple((name, at[known[place]]) for name, place in layout.more),
        )
        request = app.declared_request
        types = {**app.feature_types, **app.spine.spec.columns, **(request.table.spec.columns if request else {})}
        own = {field.name: field.kind for field in layout.kind.fields}
        self.types: list[ColumnType] = [types.get(name) or own[name] for name in self.names]

    def take(self, row: Sequence[Any]) -> Any:
        """Return a row of plain values as a record or the problem with it."""
        return self._layout.take(row, Field.take)

    def values(self, columns: Sequence[pa.Array]) -> list[list[Any]]:
        """Return columns, in the order of `names`, as lists of plain values."""
        return [_plain(column, kind) for column, kind in zip(columns, self.types, strict=True)]

    def piece(self, rows: Sequence[Any], places: Sequence[int | None]) -> Piece:
        """Return rows as a piece; what is no row is a Problem already."""
        taken = [row if type(row) is Problem else self.take(row) for row in rows]
        return Piece(Records(taken, "list"), places, lambda number: self._given(rows[number]))

    def _given(self, row: Any) -> dict[str, Any]:
        return {} if type(row) is Problem else dict(zip(self.names, row, strict=True))


def columns_of(app: App, schema: RequestSchema, format: Format, path: Path, where: str) -> Columns | None:
    """Return the columns of a file; None for JSON Lines, whose records name their own.

    Raises
    ------
    ScoringError
        The head of the file does not fit, or can't be read.
    """
    if format == "jsonl":
        return None
    try:
        if format == "csv":
            return Columns(app, schema, csv_lines.read_header(path), where)
        held = parquet.read_schema(path)
        columns = Columns(app, schema, held.names, where)
        for name, kind in zip(columns.names, columns.types, strict=True):
            parquet.check_type(f"{where}, column '{name}'", held.field(name).type, kind)
    except TableError as error:
        raise ScoringError(str(error)) from error
    return columns


def read_pieces(app: App, schema: RequestSchema, part: Partition, path: Path, at_once: int) -> Iterator[Piece]:
    """Read a partition in bounded memory.

    Parameters
    ----------
    path : the file, or the copy of an object
    at_once : records of a piece, at the most
    """
    columns = columns_of(app, schema, part.format, path, part.file)
    if columns is None:
        yield from _json_pieces(schema, part, path, at_once)
        return
    if part.format == "csv":
        table = app.spine if app.declared_request is None else app.declared_request.table
        chunks = _csv_chunks(part, path, columns, multiline=table.spec.multiline)
    else:
        chunks = _parquet_chunks(part, path, columns)
    for places, rows in chunks:
        for at in range(0, len(rows), at_once):
            yield columns.piece(rows[at : at + at_once], places[at : at + at_once])


def text_piece(columns: Columns, fields: int, lines: Sequence[bytes]) -> Piece:
    """Return lines of CSV as a piece; places are those among these lines.

    Parameters
    ----------
    fields : how many a line has
    lines : without what ends them, and none of them blank
    """
    block = b"\n".join(lines) + b"\n"
    places, rows = _in_order(columns, csv_lines.split_block(block, _HEADER_LINES + 1, fields, columns.positions))
    return columns.piece(rows, places)


def json_piece(schema: RequestSchema, lines: Sequence[bytes], places: Sequence[int | None]) -> Piece:
    """Return lines of JSON as a piece.

    Parameters
    ----------
    lines : without what ends them, and none of them blank
    """
    decoded = _json_lines.decode(schema, b"\n".join(lines), {}, batch=False)
    assert isinstance(decoded, Records)
    return Piece(decoded, places, functools.partial(_named_on, lines))


def _csv_chunks(
    part: Partition, path: Path, columns: Columns, *, multiline: bool
) -> Iterator[tuple[Sequence[int], list[Any]]]:
    """Yield lines with the place of each: rows of plain values, and problems where a line is no row."""
    fields = len(csv_lines.read_header(path))
    if multiline:
        chunks = csv_lines.read_multiline(path, fields, columns.positions)
    else:
        first_line = part.first + _HEADER_LINES + 1
        span = None if part.begin < 0 else csv_lines.Span(part.begin, part.end, first_line)
        chunks = csv_lines.read_lines(path, fields, columns.positions, _CHUNK_BYTES, span)
    for lines in chunks:
        yield _in_order(columns, lines)


def _in_order(columns: Columns, lines: csv_lines.Lines) -> tuple[Sequence[int], list[Any]]:
    """Return places and rows of a chunk of CSV, with a problem in the place of each line that is no row."""
    places = [line - _HEADER_LINES - 1 for line in lines.line.to_pylist()]
    rows: list[Any] = list(zip(*columns.values(lines.columns), strict=True))
    if lines.torn:
        torn = [(line - _HEADER_LINES - 1, _torn(why)) for line, why in lines.torn]
        both = sorted([*zip(places, rows, strict=True), *torn], key=lambda placed: placed[0])
        places, rows = [place for place, _ in both], [row for _, row in both]
    return places, rows


def _parquet_chunks(part: Partition, path: Path, columns: Columns) -> Iterator[tuple[Sequence[int], list[Any]]]:
    place = part.first
    with pq.ParquetFile(path) as file:
        groups = None if part.begin < 0 else range(part.begin, part.end)
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns.names, use_threads=False):
            held = [batch.column(name) for name in columns.names]
            yield range(place, place + batch.num_rows), list(zip(*columns.values(held), strict=True))
            place += batch.num_rows


def _json_pieces(schema: RequestSchema, part: Partition, path: Path, at_once: int) -> Iterator[Piece]:
    with path.open("rb") as file:
        file.seek(max(0, part.begin))
        end = part.end if part.end >= 0 else path.stat().st_size
        placed = ((place, line) for place, line in enumerate(_lines_before(file, end), part.first) if line.strip())
        while some := list(itertools.islice(placed, at_once)):
            yield json_piece(schema, [line.rstrip(b"\r\n") for _, line in some], [place for place, _ in some])


def _lines_before(file: Any, end: int) -> Iterator[bytes]:
    at = file.tell()
    while at < end and (line := file.readline()):
        at += len(line)
        yield line


def _named_on(lines: Sequence[bytes], number: int) -> dict[str, Any]:
    try:
        content = _decode(lines[number])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _torn(why: str) -> Problem:
    told = why if why.startswith("expected") else f"expected a line of comma separated values: {why}"
    return Problem(400, "bad-record", told)


def _plain(column: pa.Array, kind: ColumnType) -> list[Any]:
    """Return values as a client would send them: None for null, times as text; what does not fit as it came."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(kind, Time):  # as it is written: a new row's is read by serving, and nobody else asks
        return parquet.as_shown(column).cast(pa.string()).to_pylist()
    typed = parquet.convert_column(column, kind)
    values: list[Any] = typed.values.to_pylist()
    if typed.bad is not None:
        for place in np.flatnonzero(pc.fill_null(typed.bad, False).to_numpy(zero_copy_only=False)):
            values[place] = _as_it_came(column[int(place)].as_py(), kind)
    return values


def _as_it_came(value: Any, kind: ColumnType) -> Any:
    if isinstance(value, str):
        return from_text(value, kind)
    return float(value) if isinstance(value, decimal.Decimal) else value
